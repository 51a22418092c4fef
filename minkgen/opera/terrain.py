"""Terrain on the composites' grid: mean heights and the sea, from a digital elevation model.

A pixel's value is the mean of k x k samples spread evenly over it, each interpolated bilinearly
between the model's pixel centres. k is chosen so that samples lie no farther apart than the model's
pixels: a fine model is averaged, a coarse one (k = 1) is interpolated, and nothing in between
jumps.

GDAL's warper is not used, because it is wrong here (GDAL 3.10, measured on this grid): `average`
takes the box between two opposite corners of a pixel, which shrinks to a line where meridians cross
the grid at 45 degrees (on white noise in the northern corners its errors are 0.8 to 2.6 times the
signal), and places are approximated (up to 59 m off in height with a model of 20 arc minutes).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pyproj import Transformer
from scipy.ndimage import map_coordinates

from minkgen.errors import InputError
from minkgen.grid import Grid
from minkgen.opera.dem_file import DemFile, open_dem

__all__ = ["Terrain", "read_terrain"]

# Bounds the work: 8 x 8 samples of a 2 km pixel are 250 m apart.
_MOST_SAMPLES = 8
# Rows and columns worked on at a time: some 200 MB of a model with pixels of 90 m.
_BLOCK = 64

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Terrain:
    """Terrain on a grid.

    Attributes
    ----------
    height : ndarray of float32, shape (H, W)
        Mean height of the surface over the pixel in metres, north first, never NaN. Sea counts
        with the height of its surface: depths are not in it, and a coastal pixel is the mean of
        land and water.
    sea : ndarray of bool, shape (H, W)
        Whether at least half of the pixel is sea.
    variable : str or None
        The NetCDF variable the heights come from.
    samples : int
        k: heights are means of k x k samples a pixel.
    """

    height: Float32
    sea: npt.NDArray[np.bool_]
    variable: str | None
    samples: int


def read_terrain(
    path: Path,
    grid: Grid,
    *,
    variable: str | None = None,
    sea_level_m: float = 0.0,
    nodata_is_sea: bool = False,
) -> Terrain:
    """Read an elevation model onto a grid, aligned by coordinates.

    Parameters
    ----------
    path : Path
        GeoTIFF (one band, any projection) or NetCDF (longitude and latitude, any order), in metres.
    grid : Grid
    variable : str, optional
        The NetCDF variable; needed only where there are several.
    sea_level_m : float, optional
        Pixels of the model at or below this height are sea, land below it included.
    nodata_is_sea : bool, optional
        Whether missing values inside the file stand for sea, as in models of land alone.

    Returns
    -------
    Terrain

    Raises
    ------
    InputError
        If the file cannot be used, or leaves a pixel of the grid without a height.
    MinkgenError
        If the extra `geo` is not installed.
    """
    height = np.full(grid.shape, np.nan, np.float32)
    sea_share = np.zeros(grid.shape, np.float32)
    with open_dem(path, variable) as dem:
        to_dem = Transformer.from_crs(grid.crs, dem.crs, always_xy=True)
        samples = _samples_per_pixel(dem, grid, to_dem)
        for rows, columns in _blocks(grid.shape):
            x, y = _corners(grid, rows, columns, to_dem)
            # Infinite where the model's projection does not reach.
            if not (np.isfinite(x).all() and np.isfinite(y).all()):
                continue
            found = dem.read(x.min(), y.min(), x.max(), y.max())
            if found is None:
                continue
            heights, (west, first_edge) = found
            if nodata_is_sea:
                heights[np.isnan(heights)] = sea_level_m
            surface = np.maximum(heights, np.float32(sea_level_m))
            sea = (heights <= sea_level_m).astype(np.float32)
            places = (
                (_spread(y, samples) - first_edge) / dem.step_y - 0.5,
                (_spread(x, samples) - west) / dem.step_x - 0.5,
            )
            height[rows, columns] = _means(surface, places, samples)
            sea_share[rows, columns] = _means(sea, places, samples)
        variable = dem.variable
    _refuse_gaps(path, grid, np.isnan(height))
    return Terrain(height, sea_share >= 0.5, variable, samples)


def _samples_per_pixel(dem: DemFile, grid: Grid, to_dem: Transformer) -> int:
    """Return k, from the shortest side that the model's pixels have on the grid."""
    x, y = np.meshgrid(grid.x[:: max(1, grid.width // 8)], grid.y[:: max(1, grid.height // 8)])
    there = to_dem.transform(x, y)
    sides = []
    for step_x, step_y in ((dem.step_x, 0.0), (0.0, dem.step_y)):
        beside = to_dem.transform(there[0] + step_x, there[1] + step_y, direction="INVERSE")
        sides.append(np.hypot(beside[0] - x, beside[1] - y))
    finite = np.array(sides)[np.isfinite(sides)]
    if not finite.size:
        return 1
    return int(np.clip(ceil(grid.pixel_m / finite.min()), 1, _MOST_SAMPLES))


def _blocks(shape: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    for row in range(0, shape[0], _BLOCK):
        for column in range(0, shape[1], _BLOCK):
            yield (
                slice(row, min(row + _BLOCK, shape[0])),
                slice(column, min(column + _BLOCK, shape[1])),
            )


def _corners(
    grid: Grid, rows: slice, columns: slice, to_dem: Transformer
) -> tuple[Float64, Float64]:
    """Return where the corners of h x w pixels lie in the model, two arrays (h + 1, w + 1)."""
    x = grid.west + grid.pixel_m * np.arange(columns.start, columns.stop + 1)
    y = grid.north - grid.pixel_m * np.arange(rows.start, rows.stop + 1)
    there: tuple[Float64, Float64] = to_dem.transform(*np.meshgrid(x, y))
    return there


def _spread(corners: Float64, samples: int) -> Float64:
    """Return the coordinate of k x k samples in each pixel, between those of its corners.

    Coordinates bend by less than a metre within a pixel of 2 km.
    """
    share = (np.arange(samples)[:, None] + 0.5) / samples
    for _ in range(2):  # along the rows, then along the columns
        between = corners[:-1, None] * (1 - share) + corners[1:, None] * share
        corners = between.reshape(-1, corners.shape[1]).T
    return corners


def _means(layer: Float32, places: tuple[Float64, Float64], samples: int) -> Float64:
    """Return the means over pixels; NaN where a sample is missing or beyond the layer's edge."""
    values = map_coordinates(layer, places, output=np.float64, order=1, mode="nearest")
    for place, size in zip(places, layer.shape, strict=True):
        values[(place < -0.5) | (place > size - 0.5)] = np.nan
    height, width = values.shape
    means: Float64 = values.reshape(height // samples, samples, width // samples, samples).mean(
        axis=(1, 3)
    )
    return means


def _refuse_gaps(path: Path, grid: Grid, gaps: npt.NDArray[np.bool_]) -> None:
    if not gaps.any():
        return
    rows, columns = np.nonzero(gaps)
    to_lonlat = Transformer.from_crs(grid.crs, grid.crs.geodetic_crs, always_xy=True)
    _, latitude = to_lonlat.transform(grid.x[columns], grid.y[rows])
    raise InputError(
        "the DEM leaves a part of the grid without a height",
        where=path,
        got=f"{gaps.mean():.2%} of the pixels, from {latitude.min():.2f} to "
        f"{latitude.max():.2f} N, lie beyond its edges or where it has no data",
        expected=f"heights for all of {grid.name}",
        hint="take a model that covers the grid; if it has no data at sea only, say so: "
        "dem.nodata_is_sea: true",
    )
