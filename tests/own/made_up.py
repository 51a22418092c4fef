"""Made-up rain fields of one's own: arrays, and datasets with CF coordinates of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from pyproj import CRS
from scipy.ndimage import gaussian_filter

Float32 = npt.NDArray[np.float32]

START = np.datetime64("2024-07-01T00:00")
PROJECTION = "EPSG:3035"
WEST, NORTH = 4_000_000.0, 3_400_000.0


def rain(fields: int, height: int, width: int, seed: int = 1) -> Float32:
    """Return showers on a grid, in mm/h, to 0.01 mm/h."""
    noise = np.random.default_rng(seed).standard_normal((fields, height, width))
    smooth = gaussian_filter(noise, (2.0, 3.0, 3.0))
    smooth /= smooth.std()
    rates: Float32 = np.maximum(np.expm1(1.2 * (smooth - 0.8)), 0.0).astype(np.float32).round(2)
    return rates


def ramp(fields: int = 3, height: int = 4, width: int = 6) -> Float32:
    """Return fields no two pixels of which are the same: turned or mirrored ones differ."""
    return np.arange(fields * height * width, dtype=np.float32).reshape(fields, height, width)


def dataset(
    rates: npt.NDArray[Any],
    *,
    minutes: int = 10,
    pixel_m: float = 1000.0,
    start: np.datetime64 = START,
) -> xr.Dataset:
    """Return fields, north first, as a CF dataset on a grid of EPSG:3035."""
    fields, height, width = rates.shape
    coordinates = {
        "time": start + np.arange(fields) * np.timedelta64(minutes, "m"),
        "y": (
            "y",
            NORTH - pixel_m * (np.arange(height) + 0.5),
            {"standard_name": "projection_y_coordinate", "units": "m"},
        ),
        "x": (
            "x",
            WEST + pixel_m * (np.arange(width) + 0.5),
            {"standard_name": "projection_x_coordinate", "units": "m"},
        ),
        "crs": ((), np.int32(0), CRS.from_user_input(PROJECTION).to_cf()),
    }
    attributes = {"units": "mm/h", "grid_mapping": "crs"}
    return xr.Dataset({"rain": (("time", "y", "x"), rates, attributes)}, coords=coordinates)
