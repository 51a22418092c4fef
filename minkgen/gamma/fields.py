"""What γ, pairs and weights are computed from: checks of fields and options, pixel sizes, tiles."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from minkgen.errors import InputError
from minkgen.gamma.kernel import LARGEST_TILE, as_kernel_input

__all__ = [
    "apply_to_tiles",
    "as_field",
    "as_floors",
    "as_pixel_km",
    "as_tiles",
]

Float32 = npt.NDArray[np.float32]

KM_PER_UNIT = {"m": 0.001, "km": 1.0}

# Relative: coordinates in float64 metres are uniform to 1e-10, those in float32 to 1e-4.
SPACING_TOLERANCE = 1e-6


def as_floors(min_persistence: float | tuple[float, float]) -> tuple[float, float]:
    """Return the persistence floors of components and of holes, given as a pair or as one number.

    Raises
    ------
    InputError
        If they are no numbers >= 0.
    """
    floors: Any = min_persistence
    if np.ndim(floors) == 0:
        floors = (floors, floors)
    if np.shape(floors) != (2,) or not all(floor >= 0 for floor in floors):
        raise InputError(
            "the persistence floors cannot be used",
            where="min_persistence",
            got=repr(min_persistence),
            expected="two numbers >= 0 in mm/h, of components and of holes, or one for both",
        )
    return float(floors[0]), float(floors[1])


def as_pixel_km(pixel_km: float | None) -> float:
    """Return the side of a pixel in km, as given.

    Raises
    ------
    InputError
        If it is not given, or is no positive number.
    """
    if pixel_km is None:
        raise InputError(
            "the pixel size is not known",
            where="pixel_km",
            hint="give pixel_km=2.0, say, or a DataArray with coordinates",
        )
    if not 0 < pixel_km < math.inf:
        raise InputError(
            "the pixel size cannot be used",
            where="pixel_km",
            got=repr(pixel_km),
            expected="a positive number of km",
        )
    return float(pixel_km)


def as_field(rain_rate: npt.ArrayLike) -> npt.NDArray[np.floating[Any]]:
    """Return a NumPy field, checked: floats of shape (..., H, W), H and W at least 1.

    Raises
    ------
    InputError
        If it is none.
    """
    if isinstance(rain_rate, xr.Dataset | np.ma.MaskedArray):
        raise InputError(
            "the field is a container that γ cannot be computed from",
            got=type(rain_rate).__name__,
            expected="a NumPy array or an xarray.DataArray",
            hint="select a variable (dataset['rain_rate']); fill masked values with NaN",
        )
    field = np.asarray(rain_rate)
    _check_field(field)
    return field


def as_tiles(field: npt.NDArray[np.floating[Any]]) -> Float32:
    """Return a checked field as the kernel takes it: rounded to float32, shape (N, H, W)."""
    # A finite value beyond the range of float32 becomes infinite, which is missing.
    with np.errstate(over="ignore"):
        rounded = field.astype(np.float32, copy=False)
    # -1 cannot be resolved where a leading dimension is 0.
    tiles = rounded.reshape(math.prod(field.shape[:-2]), *field.shape[-2:])
    return as_kernel_input(tiles)


def apply_to_tiles(
    rain_rate: xr.DataArray,
    compute: Callable[..., Float32],
    pixel_km: float | None,
    dimensions: tuple[object, ...],
    sizes: dict[object, int],
) -> xr.DataArray:
    """Map a function of whole tiles over labelled ones; lazily, where they are.

    Parameters
    ----------
    rain_rate : DataArray of floats, shape (..., H, W)
        With coordinates that have units along its last two dimensions, the tile.
    compute : callable
        Takes a NumPy field and `pixel_km`, and returns the leading dimensions and its own.
    pixel_km : float, optional
        To agree with the coordinates.
    dimensions, sizes
        The result's own dimensions, and the sizes of those that are no dimensions of the field.

    Raises
    ------
    InputError
        If the field, its coordinates or its chunks cannot be used.
    """
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
    mapped: xr.DataArray = xr.apply_ufunc(
        compute,
        rain_rate,
        kwargs={"pixel_km": pixel_km},
        input_core_dims=[spatial],
        output_core_dims=[dimensions],
        dask="parallelized",
        output_dtypes=[np.float32],
        dask_gufunc_kwargs={"output_sizes": sizes},
    )
    return mapped


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
    if (field.shape[-2] + 2) * (field.shape[-1] + 2) > LARGEST_TILE:
        raise InputError(
            "the tile is too large",
            where="rain_rate",
            got=f"{field.shape[-2]} x {field.shape[-1]} pixels",
            expected=f"at most {LARGEST_TILE} pixels with a border of one",
        )


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
        return as_pixel_km(given)
    if not math.isclose(steps[0], steps[-1], rel_tol=SPACING_TOLERANCE):
        raise InputError(
            "the pixels are not square",
            where="rain_rate",
            got=f"{steps[0]:.9g} km by {steps[-1]:.9g} km",
        )
    if given is None:
        return steps[-1]
    if not math.isclose(as_pixel_km(given), steps[-1], rel_tol=SPACING_TOLERANCE):
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
