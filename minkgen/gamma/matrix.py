"""The public γ-matrix: shapes, types, units and errors around the kernel."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import xarray as xr

from minkgen.errors import InputError
from minkgen.gamma.fields import apply_to_tiles, as_field, as_floors, as_pixel_km, as_tiles
from minkgen.gamma.functionals import FUNCTIONALS, UNITS, essential_ceiling, rows_of
from minkgen.gamma.kernel import as_kernel_input, gamma_batch
from minkgen.gamma.neighbourhoods import NEIGHBOURHOODS
from minkgen.gamma.thresholds import as_thresholds

__all__ = ["FUNCTIONALS", "UNITS", "gamma_matrix"]


@overload
def gamma_matrix(
    rain_rate: xr.DataArray,
    thresholds: npt.ArrayLike,
    *,
    pixel_km: float | None = ...,
    min_persistence: float | tuple[float, float] = ...,
    functionals: Sequence[str] = ...,
    essential: str = ...,
    cast: bool = ...,
) -> xr.DataArray: ...


@overload
def gamma_matrix(
    rain_rate: npt.ArrayLike,
    thresholds: npt.ArrayLike,
    *,
    pixel_km: float | None = ...,
    min_persistence: float | tuple[float, float] = ...,
    functionals: Sequence[str] = ...,
    essential: str = ...,
    cast: bool = ...,
) -> npt.NDArray[np.float32]: ...


def gamma_matrix(
    rain_rate: xr.DataArray | npt.ArrayLike,
    thresholds: npt.ArrayLike,
    *,
    pixel_km: float | None = None,
    min_persistence: float | tuple[float, float] = 0.0,
    functionals: Sequence[str] = FUNCTIONALS,
    essential: str = "alive",
    cast: bool = False,
) -> xr.DataArray | npt.NDArray[np.float32]:
    """Compute the γ-matrix: geometry and topology of the sets {x >= u}, for all thresholds u.

    Rain is 8-connected and dry ground 4-connected; `perimeter` and `holes` leave out what touches
    the tile's frame, the other functionals count the frame as border. NaN and infinities are
    missing and count as dry. All values are exact (lengths to float32 rounding).

    Parameters
    ----------
    rain_rate : array_like or DataArray of floats, shape (..., H, W)
        Rain rate in mm/h; H and W at least 1. The last two dimensions are the tile. Not modified.
        A DataArray needs coordinates with `units` "m" or "km" along them, and may be backed by
        Dask, with whole tiles in its chunks; it stays lazy.
    thresholds : array_like of real numbers, shape (Q,)
        In mm/h, positive and strictly increasing. Compared in float32.
    pixel_km : float, optional
        Side of a pixel in km. Required with NumPy input. With a DataArray it comes from the
        coordinates, and may be given only to agree with them.
    min_persistence : float or tuple of float
        Floors ε of components and of holes in mm/h, or one for both: a pair counts when
        birth - death > ε.
    functionals : sequence of str
        Which, and in what order. All of them cost as much as one.
    essential : {"alive", "background"}
        Where the component that never dies counts: wherever max(x) >= u, or of these only at
        u <= 0.01 mm/h.
    cast : bool
        Accept a float64 field although rounding it (and the thresholds) to float32 carries a
        value across a threshold.

    Returns
    -------
    ndarray or DataArray of float32, shape (..., F, Q)
        Rows in the order of `functionals`, units in `UNITS`. A DataArray has dimensions
        (..., functional, threshold) and keeps the leading coordinates.

    Raises
    ------
    InputError
        If the field is no float16, float32 or float64 array of at least two dimensions with
        pixels in it; thresholds, floors, functionals, pixel size or coordinates cannot be used; or
        rounding to float32 changes an excursion set (for Dask input, when it is computed).

    Examples
    --------
    >>> rain = np.array([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0]], dtype=np.float32)
    >>> gamma = gamma_matrix(rain, [1.0, 3.0], pixel_km=2.0)
    >>> gamma.shape, gamma[FUNCTIONALS.index("area")]
    ((8, 2), array([4., 0.], dtype=float32))
    """
    rounded_thresholds = as_thresholds(thresholds)
    compute = functools.partial(
        _gamma_of_array,
        given_thresholds=np.asarray(thresholds, dtype=np.float64),
        thresholds=rounded_thresholds,
        epsilons=as_floors(min_persistence),
        rows=rows_of(functionals),
        ceiling=essential_ceiling(essential),
        cast=cast,
    )
    if not isinstance(rain_rate, xr.DataArray):
        field = as_field(rain_rate)
        return compute(field, pixel_km=as_pixel_km(pixel_km))
    gamma = apply_to_tiles(
        rain_rate,
        compute,
        pixel_km,
        ("functional", "threshold"),
        {"functional": len(functionals), "threshold": rounded_thresholds.size},
    )
    gamma = gamma.assign_coords(
        functional=("functional", list(functionals)),
        threshold=(
            "threshold",
            rounded_thresholds,
            {"long_name": "rain rate threshold", "units": "mm/h"},
        ),
    )
    gamma.name = "gamma"
    gamma.attrs["long_name"] = "Minkowski functionals and Betti numbers of excursion sets"
    return gamma


def _gamma_of_array(
    field: npt.NDArray[Any],
    *,
    given_thresholds: npt.NDArray[np.float64],
    thresholds: npt.NDArray[np.float32],
    pixel_km: float,
    epsilons: tuple[float, float],
    rows: npt.NDArray[np.int64],
    ceiling: np.float32,
    cast: bool,
) -> npt.NDArray[np.float32]:
    """Round a checked field to float32 and run the kernel over its leading dimensions."""
    tiles = as_tiles(field)
    if field.dtype.itemsize == 8 and not cast:
        _refuse_crossing(field, given_thresholds, tiles.reshape(field.shape), thresholds)
    gamma = gamma_batch(
        tiles,
        as_kernel_input(thresholds),
        pixel_km,
        epsilons,
        int(np.searchsorted(thresholds, ceiling, side="right")),
        NEIGHBOURHOODS,
    )
    if not np.array_equal(rows, np.arange(len(FUNCTIONALS))):
        gamma = gamma[:, rows]
    return gamma.reshape(*field.shape[:-2], rows.size, thresholds.size)


def _refuse_crossing(
    field: npt.NDArray[np.float64],
    given_thresholds: npt.NDArray[np.float64],
    rounded: npt.NDArray[np.float32],
    thresholds: npt.NDArray[np.float32],
) -> None:
    """Raise where (x >= u) in float64 differs from (x >= u) in float32 for any pixel and u."""
    # Thresholds are positive, so that only positive values can cross one. A finite value beyond
    # the range of float32 becomes infinite, which is missing: dry.
    positive = np.isfinite(field) & (field > 0)
    x, x_rounded = field[positive], rounded[positive]
    passed = np.searchsorted(given_thresholds, x, side="right")
    passed_rounded = np.searchsorted(thresholds, x_rounded, side="right")
    passed_rounded[np.isinf(x_rounded)] = 0
    crossing = np.flatnonzero(passed != passed_rounded)
    if crossing.size == 0:
        return
    first = crossing[0]
    threshold = given_thresholds[min(passed[first], passed_rounded[first])]
    raise InputError(
        "rounding the float64 field to float32 carries values across a threshold",
        where="rain_rate",
        got=f"{crossing.size} values, first {x[first]!r} at threshold {threshold!r} mm/h",
        hint="give the field as float32, or accept the rounding with cast=True",
    )
