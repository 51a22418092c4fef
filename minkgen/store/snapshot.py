"""Reading snapshots: resolve once, then keep what was resolved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr
from zarr.storage import FsspecStore

from minkgen.errors import StoreError
from minkgen.grid import Grid, grid_of
from minkgen.store.layout import LAYOUT_VERSION, StorePaths
from minkgen.store.remote import RemoteFolder
from minkgen.store.shards import ShardedRows

__all__ = ["SPLITS", "Snapshot", "open_features", "open_snapshot"]

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Snapshot:
    """A published snapshot, pinned: `current` may move on, this object does not.

    Attributes
    ----------
    location : Path or RemoteFolder
        The snapshot's own folder, never the `current` link.
    metadata : dict
        What decided the numbers: recipe, thresholds, floors, normalisation, versions, digests.
    """

    location: Path | RemoteFolder
    metadata: dict[str, Any]

    @property
    def path(self) -> Path:
        """The snapshot's own folder.

        Raises
        ------
        StoreError
            If it is behind a URL.
        """
        if isinstance(self.location, RemoteFolder):
            raise StoreError(
                "this needs a store in a folder",
                where=self.location,
                hint="copy the snapshot to a file system",
            )
        return self.location

    @property
    def name(self) -> str:
        """Name and hash, as in `features/<name>-<hash>.zarr`."""
        return str(self.location).rpartition("/")[2].removesuffix(".zarr")

    @property
    def hash(self) -> str:
        """SHA-256 of what decides the snapshot's numbers."""
        return str(self.metadata["hash"])

    @property
    def thresholds(self) -> npt.NDArray[np.float32]:
        """Thresholds in mm/h, shape (Q,)."""
        return np.asarray(self.metadata["thresholds"]["values"], np.float32)

    @property
    def measure(self) -> npt.NDArray[np.float64]:
        """Integration weights of the thresholds, shape (Q,)."""
        return np.asarray(self.metadata["thresholds"]["measure"], np.float64)

    @property
    def pixel_km(self) -> float:
        """Side of a pixel in km."""
        return float(self.metadata["pixel_km"])

    @property
    def grid(self) -> Grid:
        """The grid that the tiles were cut from.

        Raises
        ------
        StoreError
            If the snapshot does not describe it.
        """
        name = str(self.metadata["grid"])
        grid = grid_of(name, self.metadata.get("own_grid"))
        if grid is None:
            raise StoreError("the snapshot is on an unknown grid", where=self.location, got=name)
        return grid

    @property
    def tile_size(self) -> int:
        """Rows and columns of a tile."""
        return int(self.metadata["tile_size"])

    @property
    def drizzle(self) -> float:
        """Rates below this value (mm/h) are dry."""
        return float(self.metadata["recipe"]["tiles"]["drizzle_mm_h"])

    @property
    def log_max(self) -> float:
        """log1p of the largest unflagged training rate: the scale of network input."""
        return float(self.metadata["normalisation"]["log1p_max"])

    def array(self, split: str, name: str) -> zarr.Array[Any]:
        """Return one array of a split, unread.

        Parameters
        ----------
        split : {"train", "validation", "test"}
        name : str
            For example `rain_rate` (sample, y, x) in mm/h, `gamma` (sample, functional,
            threshold), `wet` (sample); in train also `mixup_rain_rate` and `mixup_gamma`.

        Raises
        ------
        StoreError
            If the snapshot has no such array.
        """
        array = _group(self.location).get(f"{split}/{name}")
        if not isinstance(array, zarr.Array):
            raise StoreError(
                "the snapshot has no such array", where=self.location, got=f"{split}/{name}"
            )
        return array

    def sharded_rows(self, split: str, name: str) -> ShardedRows:
        """Return one array of a split, to be read by row numbers in any order.

        Parameters
        ----------
        split : {"train", "validation", "test"}
        name : str
            One of `rain_rate`, `gamma`, `mixup_rain_rate`, `mixup_gamma`.

        Raises
        ------
        StoreError
            If the snapshot has no such array.
        """
        return ShardedRows(self.location / split / name, self.array(split, name))

    def rows(self, split: str) -> int:
        """Return the number of samples in a split."""
        return int(self.array(split, "wet").shape[0])


def open_snapshot(
    store: str | Path,
    snapshot: str = "current",
    *,
    storage_options: Mapping[str, Any] | None = None,
) -> Snapshot:
    """Open a snapshot of a store.

    Parameters
    ----------
    store : str or Path
        The store's folder, or a URL that fsspec reads, for example `s3://bucket/store`.
    snapshot : str, optional
        `current`, or the name of a snapshot with or without `.zarr`.
    storage_options : mapping, optional
        Of a URL: what its file system needs, for example `{"endpoint_url": ...}`. Give no secret
        where S3 finds it by itself (`AWS_ACCESS_KEY_ID` or a profile).

    Returns
    -------
    Snapshot
        Pinned to the folder that `current` pointed at when it was opened.

    Raises
    ------
    StoreError
        If there is no such snapshot, it is of an unknown layout, or the URL cannot be read.
    """
    if "://" in str(store):
        features = RemoteFolder(f"{str(store).rstrip('/')}/features", storage_options or {})
        return _pinned(_find_remote(features, snapshot))
    return _pinned(_find_local(StorePaths(Path(store)), snapshot))


def _find_local(paths: StorePaths, snapshot: str) -> Path:
    link = paths.current if snapshot == "current" else paths.features / _folder_name(snapshot)
    if not link.exists():
        known = sorted(path.stem for path in paths.features.glob("*.zarr"))
        raise _no_snapshot(paths.features, snapshot, known)
    return link.resolve()


def _find_remote(features: RemoteFolder, snapshot: str) -> RemoteFolder:
    if snapshot == "current":
        content = features.read("current.json")
        if content is None:
            raise _no_snapshot(features, snapshot, _snapshots(features))
        return features / _named_in(features, content)
    name = _folder_name(snapshot)
    if name not in features.names():
        raise _no_snapshot(features, snapshot, _snapshots(features))
    return features / name


def _named_in(features: RemoteFolder, content: bytes) -> str:
    """Return the name of the snapshot that `current.json` names."""
    try:
        name = json.loads(content)["snapshot"]
    except (ValueError, KeyError, TypeError):
        name = None
    if not isinstance(name, str) or "/" in name or not name.endswith(".zarr"):
        raise StoreError(
            "`current.json` names no snapshot",
            where=features,
            got=content[:200],
            expected='{"snapshot": "<name>.zarr"}',
        )
    return name


def _folder_name(snapshot: str) -> str:
    return snapshot if snapshot.endswith(".zarr") else f"{snapshot}.zarr"


def _snapshots(features: RemoteFolder) -> list[str]:
    return [name.removesuffix(".zarr") for name in features.names() if name.endswith(".zarr")]


def _no_snapshot(features: Path | RemoteFolder, snapshot: str, known: list[str]) -> StoreError:
    return StoreError(
        f"the store has no snapshot {snapshot!r}",
        where=features,
        got=", ".join(known) or "no snapshot at all",
        hint="name one of these, or `current`"
        if known
        else "run `minkgen compute` with the store's recipe first",
    )


def _pinned(location: Path | RemoteFolder) -> Snapshot:
    try:
        metadata = dict(_group(location).attrs).get("minkgen")
    except FileNotFoundError as error:
        raise StoreError(
            "the snapshot is not there",
            where=location,
            got=error,
            hint="`minkgen inspect STORE` lists the snapshots of a store",
        ) from error
    except (ValueError, TypeError, AttributeError, KeyError) as error:  # in what zarr.json says
        raise StoreError(
            "the snapshot cannot be read",
            where=location,
            got=error,
            hint="compute it again, or go back to the one before: `minkgen store rollback RECIPE`",
        ) from error
    version = metadata.get("layout_version") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or version != LAYOUT_VERSION:
        raise StoreError(
            "the snapshot is of an unknown layout",
            where=location,
            got=version,
            expected=LAYOUT_VERSION,
            hint="read it with the version of minkgen that wrote it, or compute it again",
        )
    return Snapshot(location, metadata)


def _group(location: Path | RemoteFolder) -> zarr.Group:
    # Without the format, zarr also asks for six files that only version 2 has.
    return zarr.open_group(_opened(location), mode="r", zarr_format=3)


def _opened(location: Path | RemoteFolder) -> Path | FsspecStore:
    """Return what zarr and xarray open."""
    return location.zarr_store() if isinstance(location, RemoteFolder) else location


def open_features(
    store: str | Path,
    split: str,
    snapshot: str = "current",
    *,
    storage_options: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Open one split of a snapshot as a lazy dataset.

    Parameters
    ----------
    store : str or Path
        The store's folder, or a URL that fsspec reads.
    split : {"train", "validation", "test"}
    snapshot : str, optional
        `current` (default), or the name of a snapshot.
    storage_options : mapping, optional
        As in `open_snapshot`.

    Returns
    -------
    xarray.Dataset
        `rain_rate` (sample, y, x) in mm/h, north first; `gamma` (sample, functional, threshold);
        and per sample time, position, coverage and product. Nothing is read before it is used.

    Raises
    ------
    StoreError
        If the store, the snapshot or the split is not there.
    """
    if split not in SPLITS:
        raise StoreError("there is no such split", got=split, expected=", ".join(SPLITS))
    pinned = open_snapshot(store, snapshot, storage_options=storage_options)
    dataset: xr.Dataset = xr.open_zarr(
        _opened(pinned.location), group=split, consolidated=True, chunks=None, zarr_format=3
    )
    return dataset
