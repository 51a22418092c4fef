"""Where composites come from, and how they are fetched."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from minkgen.recipe.sections import PositiveFloat, Section

__all__ = [
    "ApiSource",
    "ArchiveSource",
    "Download",
    "FolderSource",
    "OperaSource",
    "Reading",
    "Scaling",
    "Source",
    "XarraySource",
]

# Those of fsspec that lead to a server, without a user or a password in them.
_ZARR_URL = re.compile(r"(https?|s3|gs|abfs)://[^\s/?#@]+(/[^\s?#]*)?")
Url = Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")]


class FolderSource(Section):
    """A folder laid out like the public archive."""

    kind: Literal["folder"] = "folder"
    path: Path


class ArchiveSource(Section):
    """The public archive, or a copy of it behind an S3-style endpoint."""

    kind: Literal["archive"]
    endpoint: Url = "https://s3.waw3-1.cloudferro.com"
    bucket: str = Field(default="openradar-archive", description="holds all but the last day")
    recent_bucket: str = Field(default="openradar-24h", description="holds the last day")


class ApiSource(Section):
    """The Open Radar Data API: the last 24 hours."""

    kind: Literal["api"]
    endpoint: Url = "https://api.meteogate.eu/eu-eumetnet-weather-radar"
    file_endpoints: tuple[Url, ...] = Field(
        default=("https://s3.waw3-1.cloudferro.com",),
        description="servers that may hold the files it links to",
    )


def _plain_place(place: str) -> str:
    if not place.strip():
        raise ValueError("must not be empty")
    if ("://" in place or "::" in place) and _ZARR_URL.fullmatch(place) is None:
        raise ValueError(
            "must be a path, or a URL of a Zarr hierarchy: http(s)://, s3://, gs:// or abfs:// "
            "without user, password or query"
        )
    return place


Place = Annotated[str, AfterValidator(_plain_place)]


class XarraySource(Section):
    """Rain rates of your own: CF-like NetCDF files or a Zarr hierarchy, (time, y, x).

    Pixel size, extent, projection and time step are those of their coordinates.
    """

    kind: Literal["xarray"]
    path: Place | Annotated[tuple[Place, ...], Field(min_length=1)] = Field(
        description="a NetCDF file, files as a pattern (`rain-*.nc`) or a list, or a Zarr "
        "hierarchy (a folder, or a URL that fsspec knows)"
    )
    variable: str | None = Field(
        default=None, description="of the rain rate; needed only where there are several"
    )
    crs: str | None = Field(
        default=None,
        description="projection where the file has no grid mapping: `EPSG:3035`, PROJ or WKT",
    )
    attribution: str | None = Field(
        default=None, max_length=300, description="who made the data; printed with every result"
    )
    licence: str | None = Field(default=None, max_length=100, description="of the data")

    @property
    def places(self) -> tuple[str, ...]:
        """The paths, patterns or URLs."""
        return (self.path,) if isinstance(self.path, str) else self.path


OperaSource = FolderSource | ArchiveSource | ApiSource


def _kind(source: Any) -> Any:
    if isinstance(source, Mapping):
        return source.get("kind", "folder")
    return getattr(source, "kind", None)


Source = Annotated[
    Annotated[FolderSource, Tag("folder")]
    | Annotated[ArchiveSource, Tag("archive")]
    | Annotated[ApiSource, Tag("api")]
    | Annotated[XarraySource, Tag("xarray")],
    Discriminator(_kind),
]


class Download(Section):
    """How politely, and how often, files are asked for; decides no number."""

    connections: int = Field(default=4, ge=1, le=64, description="simultaneous, over all workers")
    requests_per_second: PositiveFloat = Field(default=10.0, description="over all workers")
    attempts: int = Field(default=6, ge=1, le=20, description="of each request, with back-off")
    contact: str | None = Field(
        default=None,
        pattern=r"^[\x21-\x7e]{3,100}$",
        description="e-mail or web address, sent to the servers in the User-Agent",
    )
    keep_raw: bool = Field(default=False, description="keep the fetched files in STORE/raw")
    recheck_absent_hours: float = Field(
        default=72.0,
        ge=0,
        description="ask servers again for absent composites that are younger; folders always",
    )


class Scaling(Section):
    """Numbers that may describe an array of a file, besides those of the products."""

    gain: float
    offset: float
    nodata: float
    undetect: float


class Reading(Section):
    """What files may be like; the digests of what they hold decide the numbers."""

    scalings: tuple[Scaling, ...] = ()
