"""Where everything lies in a store, and the sizes of its chunks and shards."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import zarr
from pyproj import CRS
from zarr.codecs import ZstdCodec
from zarr.errors import ZarrUserWarning

from minkgen.products import PRODUCTS, SYNTHETIC_MARK

__all__ = [
    "LAYOUT_VERSION",
    "OPERA_ATTRIBUTION",
    "SAMPLES_PER_CHUNK",
    "SAMPLES_PER_SHARD",
    "SYNTHETIC_ATTRIBUTION",
    "StorePaths",
    "attribution_of",
    "consolidate",
    "grid_mapping_attributes",
    "own_source",
    "zstd",
]

LAYOUT_VERSION = 1
SAMPLES_PER_SHARD = 4096
SAMPLES_PER_CHUNK = 16
OPERA_ATTRIBUTION = "Data: EUMETNET OPERA, CC BY 4.0"
_OWN_MARK = "own:"
SYNTHETIC_ATTRIBUTION = "Made-up data: minkgen's synthetic rain, not a measurement"


@dataclass(frozen=True)
class StorePaths:
    """The paths inside one store, for the composites of one product.

    Attributes
    ----------
    root : Path
        The store's folder.
    group : str
        The product's group, for example `rain_rate`; products share nothing but the store.
    """

    root: Path
    group: str = PRODUCTS["RATE"].group

    @property
    def identity(self) -> Path:
        """What the composites of the group are: layout version, product, grid and years."""
        return self.root / f"{self.group}.json"

    @property
    def composites(self) -> Path:
        """The Zarr hierarchy of composites."""
        return self.root / "composites.zarr"

    @property
    def static(self) -> Path:
        """The Zarr hierarchy of what never changes: terrain and sea."""
        return self.root / "static.zarr"

    @property
    def features(self) -> Path:
        """The folder of snapshots."""
        return self.root / "features"

    @property
    def current(self) -> Path:
        """The symbolic link to the snapshot that readers should take."""
        return self.features / "current"

    @property
    def history(self) -> Path:
        """What was published when, in order: JSON, one line per publication."""
        return self.features / "history.json"

    @property
    def leases(self) -> Path:
        """The folder of leases: snapshots that somebody asked to keep for a while."""
        return self.features / "leases"

    @property
    def runs(self) -> Path:
        """The folder of training runs."""
        return self.root / "runs"

    @property
    def raw(self) -> Path:
        """The folder of fetched files that are kept, under their archive keys."""
        return self.root / "raw"

    @property
    def corrupt(self) -> Path:
        """The folder of fetched files that cannot be used, under their archive keys."""
        return self.root / "corrupt"

    def lock(self, name: str) -> Path:
        """Return the folder of a lock's tickets."""
        return self.root / "locks" / name

    def incoming(self, day: date) -> Path:
        """Return the folder of a day's files on their way."""
        return self.root / "incoming" / self.group / f"{day:%Y-%m-%d}"

    def ledger(self, day: date) -> Path:
        """Return the path of the states of a day's slots."""
        return self.root / "ledger" / self.group / f"{day:%Y-%m-%d}.json"

    def frames(self, day: date) -> Path:
        """Return the path of a day's frame table."""
        return self.root / "frames" / self.group / f"{day:%Y-%m-%d}.parquet"

    def tiles(self, key: str) -> Path:
        """Return the path of a tile table."""
        return self.root / "tiles" / f"{key}.parquet"

    def climate(self, key: str) -> Path:
        """Return the path of thresholds, floors, histograms and normalisation."""
        return self.root / "climate" / f"{key}.json"


def own_source(attribution: str | None, licence: str | None) -> str:
    """Return what the frame table says of the source of one's own fields.

    Examples
    --------
    >>> attribution_of([own_source("Radar of the university", "CC BY 4.0")])
    'Data: Radar of the university, CC BY 4.0'
    """
    said = attribution or "rain fields of one's own, source not stated"
    return f"{_OWN_MARK}{said}, {licence or 'licence not stated'}"


def attribution_of(sources: Iterable[str]) -> str:
    """Return source and licence of frames, by what the frame table says who made each of them."""
    said = set(sources)
    own = sorted(source.removeprefix(_OWN_MARK) for source in said if source.startswith(_OWN_MARK))
    if own:  # a store of one's own fields has no others
        return f"Data: {'; '.join(own)}"
    made_up = {SYNTHETIC_MARK in source for source in said}
    if made_up == {True}:
        return SYNTHETIC_ATTRIBUTION
    return f"{OPERA_ATTRIBUTION}; in part made up" if True in made_up else OPERA_ATTRIBUTION


def zstd() -> ZstdCodec:
    """Return the compressor of all arrays: 0.7 MB a frame, against 1.7 MB with blosc."""
    return ZstdCodec(level=3)


@contextmanager
def _consolidation_is_wanted() -> Iterator[None]:
    with warnings.catch_warnings():
        # Every reader of the store is zarr-python 3, which understands consolidated metadata.
        warnings.filterwarnings("ignore", "Consolidated metadata", ZarrUserWarning)
        warnings.filterwarnings("ignore", "Object at parts.json", ZarrUserWarning)
        yield


def consolidate(path: Path) -> None:
    """Gather the metadata of a hierarchy at its root."""
    with _consolidation_is_wanted():
        zarr.consolidate_metadata(path, zarr_format=3)


def grid_mapping_attributes(crs: CRS) -> dict[str, Any]:
    """Return the CF attributes of a grid mapping variable, WKT included."""
    return {key: value for key, value in crs.to_cf().items() if value is not None}
