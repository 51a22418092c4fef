"""Elevation models for the tests, written by the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pyproj import Transformer
from scipy.io import netcdf_file

from minkgen.grid import Grid, opera_crs

__all__ = ["SMALL", "degrees_of", "write_elevation", "write_geotiff", "write_netcdf"]

# 100 km about 10 E, 52 N.
SMALL = Grid("small", 50, 50, 2.0, 1_900_000.0, -2_380_000.0)


def degrees_of(
    grid: Grid, per_pixel: int = 1
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return longitude and latitude of places spread evenly over the pixels of a grid."""
    side = grid.pixel_m / per_pixel
    x = grid.west + side * (np.arange(grid.width * per_pixel) + 0.5)
    y = grid.north - side * (np.arange(grid.height * per_pixel) + 0.5)
    to_degrees = Transformer.from_crs(opera_crs(), opera_crs().geodetic_crs, always_xy=True)
    longitude, latitude = to_degrees.transform(*np.meshgrid(x, y))
    return longitude, latitude


def write_geotiff(
    path: Path,
    heights: npt.NDArray[Any],
    *,
    west: float,
    north: float,
    step: float,
    crs: str = "EPSG:4326",
    south_first: bool = False,
    unit: str | None = None,
    **options: Any,
) -> Path:
    """Write heights (north first) as a GeoTIFF whose outer north-west corner is given."""
    rasterio = pytest.importorskip("rasterio", reason="needs the extra geo")
    transform = rasterio.Affine(step, 0.0, west, 0.0, -step, north)
    if south_first:
        heights = heights[::-1]
        transform = rasterio.Affine(step, 0.0, west, 0.0, step, north - step * len(heights))
    layers = heights if heights.ndim == 3 else heights[None]
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=len(layers),
        height=layers.shape[1],
        width=layers.shape[2],
        dtype=layers.dtype,
        crs=crs,
        transform=transform,
        **options,
    ) as file:
        file.write(layers)
        if unit is not None:
            file.units = [unit] * len(layers)
    return path


def write_netcdf(
    path: Path,
    heights: npt.NDArray[Any],
    longitude: npt.NDArray[np.float64],
    latitude: npt.NDArray[np.float64],
    *,
    names: tuple[str, ...] = ("height",),
    unit: str = "m",
    axis_units: tuple[str, str] = ("degrees_north", "degrees_east"),
) -> Path:
    """Write heights (latitude, longitude) as a NetCDF file, in the order of the coordinates."""
    with netcdf_file(path, "w") as file:
        axes = (("latitude", latitude), ("longitude", longitude))
        for (name, values), axis_unit in zip(axes, axis_units, strict=True):
            file.createDimension(name, len(values))
            variable = file.createVariable(name, "d", (name,))
            variable[:] = values
            variable.units = axis_unit
        for name in names:
            variable = file.createVariable(name, heights.dtype, ("latitude", "longitude"))
            variable[:] = heights
            variable.units = unit
    return path


def write_elevation(path: Path) -> Path:
    """Write a sea where the North Sea is, and land that rises southward to the Alps."""
    longitude, latitude = np.arange(-5.0, 30.0, 0.5), np.arange(62.0, 42.0, -0.5)
    heights = np.repeat(150.0 * (56.0 - latitude)[:, None], len(longitude), axis=1)
    heights[np.ix_(latitude > 53.5, longitude < 8.0)] = -20.0
    write_netcdf(path, heights.astype(np.float32), longitude, latitude)
    return path
