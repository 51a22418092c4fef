"""The elevation model behind the terrain and the sea mask."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from minkgen.recipe.sections import Section

__all__ = ["Dem"]


class Dem(Section):
    """A digital elevation model in metres that covers the grid (up to 73.93 N)."""

    path: Path = Field(description="GeoTIFF, or NetCDF in longitude and latitude")
    variable: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,99}$")] | None = Field(
        default=None, description="of a NetCDF file, where it has several"
    )
    sea_level_m: float = Field(
        default=0.0, ge=-500, le=500, description="at or below it the model's pixels are sea"
    )
    nodata_is_sea: bool = Field(
        default=False, description="missing values are sea, as in models of land alone"
    )
