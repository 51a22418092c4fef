"""Rain that the pictures of several pages are drawn of: synthetic, the same on every machine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from minkgen.grid import TEST_2KM
from minkgen.opera.synthetic import rain_field

__all__ = ["DRIZZLE", "IMAGES", "NOTE", "PIXEL_KM", "Float32", "tile"]

IMAGES = Path(__file__).parent.parent / "images"
PIXEL_KM = 2.0
SIZE = 128
# In mm/h; less is no rain.
DRIZZLE = np.float32(0.1)
NOTE = "Made-up rain, pixels of 2 km"

Float32 = npt.NDArray[np.float32]

_TIME = datetime(2024, 7, 1, 15, tzinfo=UTC)


def tile(row: int, column: int) -> Float32:
    """Return a tile of one synthetic composite, drizzle zeroed, by its place among the tiles."""
    frame = np.nan_to_num(rain_field(TEST_2KM, _TIME, seed=0), nan=0.0)
    north, west = SIZE * row, SIZE * column
    rain = frame[north : north + SIZE, west : west + SIZE].astype(np.float32)
    rain[rain < DRIZZLE] = 0.0
    return rain
