"""Weight maps: every functional as a sum over pixels, for all thresholds at once."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import xarray as xr

from minkgen.gamma.fields import apply_to_tiles, as_field, as_floors, as_pixel_km, as_tiles
from minkgen.gamma.functionals import FUNCTIONALS, rows_of
from minkgen.gamma.kernel import map_weights
from minkgen.gamma.neighbourhoods import NEIGHBOURHOODS

__all__ = ["weight_maps"]


@overload
def weight_maps(
    rain_rate: xr.DataArray,
    *,
    pixel_km: float | None = ...,
    min_persistence: float | tuple[float, float] = ...,
    functionals: Sequence[str] = ...,
) -> xr.DataArray: ...


@overload
def weight_maps(
    rain_rate: npt.ArrayLike,
    *,
    pixel_km: float | None = ...,
    min_persistence: float | tuple[float, float] = ...,
    functionals: Sequence[str] = ...,
) -> npt.NDArray[np.float32]: ...


def weight_maps(
    rain_rate: xr.DataArray | npt.ArrayLike,
    *,
    pixel_km: float | None = None,
    min_persistence: float | tuple[float, float] = 0.0,
    functionals: Sequence[str] = FUNCTIONALS,
) -> xr.DataArray | npt.NDArray[np.float32]:
    """Compute the maps w_f with γ_f(u) = Σ_p w_f[p] 1[x_p >= u], for every u > 0.

    Pixels enter the excursion set from the highest to the lowest, of equal ones the last first; the
    weight is what a pixel changes as it enters. Components and holes have 1 where a pair is born
    and -1 where it dies (they add up, where several do at one pixel), and 1 at the maximum.
    Conventions are those of `gamma_matrix` with ``essential="alive"``: rain is 8-connected, dry
    ground 4-connected; missing pixels count as dry. Exact, lengths to float32 rounding.

    Parameters
    ----------
    rain_rate : array_like or DataArray of floats, shape (..., H, W)
        Rain rate in mm/h, as for `gamma_matrix`; a DataArray backed by Dask stays lazy. float64 is
        rounded to float32. Not modified.
    pixel_km : float, optional
        Side of a pixel in km. Required with NumPy input. With a DataArray it comes from the
        coordinates, and may be given only to agree with them.
    min_persistence : float or tuple of float
        Floors ε in mm/h of components and of holes, or one for both.
    functionals : sequence of str
        Which, and in what order; each takes a map of memory.

    Returns
    -------
    ndarray or DataArray of float32, shape (..., F, H, W)
        Weights in the functionals' units. A DataArray has dimensions (..., functional, y, x), by
        the names of the field, and keeps its coordinates.

    Raises
    ------
    InputError
        If the field is no float16, float32 or float64 array of at least two dimensions with
        pixels in it, or floors, functionals, pixel size or coordinates cannot be used.

    Examples
    --------
    >>> ridge = np.array([[3.0, 1.0, 2.0]], dtype=np.float32)
    >>> weight_maps(ridge, pixel_km=2.0, functionals=["components"])
    array([[[ 1., -1.,  1.]]], dtype=float32)
    """
    compute = functools.partial(
        _weights_of_array, epsilons=as_floors(min_persistence), rows=rows_of(functionals)
    )
    if not isinstance(rain_rate, xr.DataArray):
        field = as_field(rain_rate)
        return compute(field, pixel_km=as_pixel_km(pixel_km))
    spatial = rain_rate.dims[-2:]
    weights = apply_to_tiles(
        rain_rate, compute, pixel_km, ("functional", *spatial), {"functional": len(functionals)}
    )
    weights = weights.assign_coords(functional=("functional", list(functionals)))
    weights.name = "weight"
    weights.attrs["long_name"] = "change of the functionals as the pixel enters the excursion set"
    return weights


def _weights_of_array(
    field: npt.NDArray[Any],
    *,
    pixel_km: float,
    epsilons: tuple[float, float],
    rows: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32]:
    tiles = as_tiles(field)
    weights = np.empty((len(tiles), rows.size, *tiles.shape[1:]), np.float32)
    map_weights(tiles, pixel_km, epsilons, rows, NEIGHBOURHOODS, weights)
    return weights.reshape(*field.shape[:-2], *weights.shape[1:])
