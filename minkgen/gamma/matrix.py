"""The public γ-matrix: shapes, types, units and errors around the kernel."""

from __future__ import annotations

import functools
import math
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import xarray as xr

from minkgen.errors import InputError
from minkgen.gamma import kernel
from minkgen.gamma.functionals import FUNCTIONALS, UNITS, essential_ceiling
from minkgen.gamma.pairs import finite_pairs
from minkgen.gamma.thresholds import as_thresholds

__all__ = ["FUNCTIONALS", "UNITS", "gamma_matrix", "warm_up"]

KM_PER_UNIT = {"m": 0.001, "km": 1.0}

# Relative: coordinates in float64 metres are uniform to 1e-10, those in float32 to 1e-4.
SPACING_TOLERANCE = 1e-6


@overload
def gamma_matrix(
    rain_rate: xr.DataArray,
    thresholds: npt.ArrayLike,
    *,
    pixel_km: float | None = ...,
    min_persistence: tuple[float, float] = ...,
    essential: str = ...,
    cast: bool = ...,
) -> xr.DataArray: ...


@overload
def gamma_matrix(
    rain_rate: npt.ArrayLike,
    thresholds: npt.ArrayLike,
    *,
    pixel_km: float | None = ...,
    min_persistence: tuple[float, float] = ...,
    essential: str = ...,
    cast: bool = ...,
) -> npt.NDArray[np.float32]: ...


def gamma_matrix(
    rain_rate: xr.DataArray | npt.ArrayLike,
    thresholds: npt.ArrayLike,
    *,
    pixel_km: float | None = None,
    min_persistence: tuple[float, float] = (0.0, 0.0),
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
    min_persistence : tuple of float
        Floors ε of components and of holes in mm/h: a pair counts when birth - death > ε.
    essential : {"alive", "background"}
        Where the component that never dies counts: wherever max(x) >= u, or of these only at
        u <= 0.01 mm/h.
    cast : bool
        Accept a float64 field although rounding it (and the thresholds) to float32 carries a
        value across a threshold.

    Returns
    -------
    ndarray or DataArray of float32, shape (..., 8, Q)
        Rows in the order of `FUNCTIONALS`, units in `UNITS`. A DataArray has dimensions
        (..., functional, threshold) and keeps the leading coordinates.

    Raises
    ------
    InputError
        If the field is no float16, float32 or float64 array of at least two dimensions with
        pixels in it; thresholds, floors, pixel size or coordinates cannot be used; or rounding to
        float32 changes an excursion set (for Dask input, when it is computed).

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
        epsilons=_check_floors(min_persistence),
        ceiling=float(essential_ceiling(essential)),
        cast=cast,
    )
    if isinstance(rain_rate, xr.DataArray):
        return _gamma_of_data_array(rain_rate, compute, rounded_thresholds, pixel_km)
    if isinstance(rain_rate, xr.Dataset | np.ma.MaskedArray):
        raise InputError(
            "the field is a container that γ cannot be computed from",
            got=type(rain_rate).__name__,
            expected="a NumPy array or an xarray.DataArray",
            hint="select a variable (dataset['rain_rate']); fill masked values with NaN",
        )
    field = np.asarray(rain_rate)
    _check_field(field)
    if pixel_km is None:
        raise InputError(
            "the pixel size is not known",
            where="pixel_km",
            hint="give pixel_km=2.0, say, or a DataArray with coordinates",
        )
    return compute(field, pixel_km=_check_pixel(pixel_km))


def warm_up() -> None:
    """Compile the kernels, or read them from numba's cache on disk, before they are needed.

    Processes that share a cache directory must not fill it at the same time: warm up once before
    workers start, or give each node its own ``NUMBA_CACHE_DIR``.
    """
    pixel = np.zeros((1, 1), np.float32)
    gamma_matrix(pixel, [1.0], pixel_km=1.0)
    finite_pairs(pixel)


def _check_floors(min_persistence: tuple[float, float]) -> tuple[float, float]:
    if np.shape(min_persistence) != (2,) or not all(floor >= 0 for floor in min_persistence):
        raise InputError(
            "the persistence floors cannot be used",
            where="min_persistence",
            got=repr(min_persistence),
            expected="two numbers >= 0 in mm/h, of components and of holes",
        )
    return float(min_persistence[0]), float(min_persistence[1])


def _check_pixel(pixel_km: float) -> float:
    if not 0 < pixel_km < math.inf:
        raise InputError(
            "the pixel size cannot be used",
            where="pixel_km",
            got=repr(pixel_km),
            expected="a positive number of km",
        )
    return float(pixel_km)


def _check_field(field: npt.NDArray[Any] | xr.DataArray) -> None:
    if field.dtype.kind != "f" or field.dtype.itemsize not in (2, 4, 8):
        raise InputError(
            "the field has a type that γ is not computed from",
            where="rain_rate",
            got=field.dtype,
            expected="float32 (or float16, or float64)",
            hint="convert with .astype('float32')",
        )
    if field.ndim < 2 or 0 in field.shape[-2:]:
        raise InputError(
            "the field has no tile",
            where="rain_rate",
            got=f"shape {field.shape}",
            expected="shape (..., H, W), H and W at least 1",
        )
    if (field.shape[-2] + 2) * (field.shape[-1] + 2) > kernel.LARGEST_TILE:
        raise InputError(
            "the tile is too large",
            where="rain_rate",
            got=f"{field.shape[-2]} x {field.shape[-1]} pixels",
            expected=f"at most {kernel.LARGEST_TILE} pixels with a border of one",
        )


def _gamma_of_array(
    field: npt.NDArray[Any],
    *,
    given_thresholds: npt.NDArray[np.float64],
    thresholds: npt.NDArray[np.float32],
    pixel_km: float,
    epsilons: tuple[float, float],
    ceiling: float,
    cast: bool,
) -> npt.NDArray[np.float32]:
    """Round a checked field to float32 and run the kernel over its leading dimensions."""
    with np.errstate(over="ignore"):
        rounded = field.astype(np.float32, copy=False)
    if field.dtype.itemsize == 8 and not cast:
        _refuse_crossing(field, given_thresholds, rounded, thresholds)
    leading = field.shape[:-2]
    # -1 cannot be resolved where a leading dimension is 0.
    tiles = rounded.reshape(math.prod(leading), *field.shape[-2:])
    gamma = kernel.gamma_batch(
        kernel.as_kernel_input(tiles),
        kernel.as_kernel_input(thresholds),
        pixel_km,
        epsilons,
        ceiling,
    )
    return gamma.reshape(*leading, len(FUNCTIONALS), thresholds.size)


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


def _gamma_of_data_array(
    rain_rate: xr.DataArray,
    compute: functools.partial[npt.NDArray[np.float32]],
    thresholds: npt.NDArray[np.float32],
    pixel_km: float | None,
) -> xr.DataArray:
    _check_field(rain_rate)
    spatial = rain_rate.dims[-2:]
    pixel_km = _pixel_of_coordinates(rain_rate, pixel_km)
    if rain_rate.chunks is not None and any(len(chunks) > 1 for chunks in rain_rate.chunks[-2:]):
        raise InputError(
            "a tile is cut by Dask's chunks",
            where="rain_rate",
            got=f"chunks {dict(rain_rate.chunksizes)}",
            hint=f"rechunk with .chunk({dict.fromkeys(spatial, -1)})",
        )
    gamma: xr.DataArray = xr.apply_ufunc(
        compute,
        rain_rate,
        kwargs={"pixel_km": pixel_km},
        input_core_dims=[spatial],
        output_core_dims=[("functional", "threshold")],
        dask="parallelized",
        output_dtypes=[np.float32],
        dask_gufunc_kwargs={
            "output_sizes": {"functional": len(FUNCTIONALS), "threshold": thresholds.size}
        },
    )
    gamma = gamma.assign_coords(
        functional=("functional", list(FUNCTIONALS)),
        threshold=("threshold", thresholds, {"long_name": "rain rate threshold", "units": "mm/h"}),
    )
    gamma.name = "gamma"
    gamma.attrs["long_name"] = "Minkowski functionals and Betti numbers of excursion sets"
    return gamma


def _pixel_of_coordinates(rain_rate: xr.DataArray, given: float | None) -> float:
    """Derive the side of a pixel in km from the last two dimensions' coordinates."""
    # One pixel has no spacing: then the other dimension decides.
    steps = [_step_km(rain_rate, dim) for dim in rain_rate.dims[-2:] if rain_rate.sizes[dim] > 1]
    if not steps:
        if given is None:
            raise InputError(
                "the pixel size cannot be derived from a single pixel",
                where="pixel_km",
                hint="give pixel_km=2.0, say",
            )
        return _check_pixel(given)
    if not math.isclose(steps[0], steps[-1], rel_tol=SPACING_TOLERANCE):
        raise InputError(
            "the pixels are not square",
            where="rain_rate",
            got=f"{steps[0]:.9g} km by {steps[-1]:.9g} km",
        )
    if given is None:
        return steps[-1]
    if not math.isclose(_check_pixel(given), steps[-1], rel_tol=SPACING_TOLERANCE):
        raise InputError(
            "the given pixel size is not that of the coordinates",
            where="pixel_km",
            got=given,
            expected=f"{steps[-1]:.9g} km, or nothing",
        )
    return float(given)


def _step_km(rain_rate: xr.DataArray, dim: object) -> float:
    """Return the uniform spacing of a dimension's coordinate in km."""
    if dim not in rain_rate.coords:
        raise InputError(
            "a spatial dimension has no coordinate to take the pixel size from",
            where=f"rain_rate.{dim}",
            expected="pixel centres with the attribute units, 'm' or 'km'",
            hint="add coordinates, or give the NumPy array and pixel_km",
        )
    coordinate = rain_rate.coords[dim]
    units = coordinate.attrs.get("units")
    if units not in KM_PER_UNIT:
        raise InputError(
            "a spatial coordinate has no length unit",
            where=f"rain_rate.{dim}",
            got=f"units {units!r}",
            expected=" or ".join(map(repr, KM_PER_UNIT)),
            hint=f"set .{dim}.attrs['units']",
        )
    centres = coordinate.values.astype(np.float64)
    step = abs(centres[-1] - centres[0]) / (centres.size - 1)
    # Written so that NaN is refused, too.
    if not (np.abs(np.abs(np.diff(centres)) - step) <= SPACING_TOLERANCE * step).all() or step == 0:
        raise InputError(
            "a spatial coordinate is not uniformly spaced",
            where=f"rain_rate.{dim}",
            got=f"steps from {np.diff(centres).min()} to {np.diff(centres).max()} {units}",
        )
    return float(step * KM_PER_UNIT[units])
