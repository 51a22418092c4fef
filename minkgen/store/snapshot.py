"""Reading snapshots: resolve once, then keep what was resolved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr

from minkgen.errors import StoreError
from minkgen.store.layout import LAYOUT_VERSION, StorePaths

__all__ = ["SPLITS", "Snapshot", "open_features", "open_snapshot"]

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Snapshot:
    """A published snapshot, pinned: `current` may move on, this object does not.

    Attributes
    ----------
    path : Path
        The snapshot's own folder, never the `current` link.
    metadata : dict
        What decided the numbers: recipe, thresholds, floors, normalisation, versions, digests.
    """

    path: Path
    metadata: dict[str, Any]

    @property
    def name(self) -> str:
        """Name and hash, as in `features/<name>-<hash>.zarr`."""
        return self.path.stem

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
        array = zarr.open_group(self.path, mode="r").get(f"{split}/{name}")
        if not isinstance(array, zarr.Array):
            raise StoreError(
                "the snapshot has no such array", where=self.path, got=f"{split}/{name}"
            )
        return array

    def rows(self, split: str) -> int:
        """Return the number of samples in a split."""
        return int(self.array(split, "wet").shape[0])


def open_snapshot(store: str | Path, snapshot: str = "current") -> Snapshot:
    """Open a snapshot of a store.

    Parameters
    ----------
    store : str or Path
        The store's folder.
    snapshot : str, optional
        `current`, or the name of a snapshot with or without `.zarr`.

    Returns
    -------
    Snapshot
        Pinned to the folder that `current` pointed at when it was opened.

    Raises
    ------
    StoreError
        If there is no such snapshot, or it is of an unknown layout.
    """
    paths = StorePaths(Path(store))
    link = paths.current if snapshot == "current" else paths.features / snapshot
    if snapshot != "current" and link.suffix != ".zarr":
        link = link.with_name(f"{link.name}.zarr")
    if not link.exists():
        known = sorted(path.stem for path in paths.features.glob("*.zarr"))
        raise StoreError(
            f"the store has no snapshot {snapshot!r}",
            where=paths.features,
            got=", ".join(known) or "no snapshot at all",
            hint="run `minkgen compute` with the store's recipe first",
        )
    path = link.resolve()
    metadata = dict(zarr.open_group(path, mode="r").attrs).get("minkgen")
    version = metadata.get("layout_version") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or version != LAYOUT_VERSION:
        raise StoreError(
            "the snapshot is of an unknown layout",
            where=path,
            got=version,
            expected=LAYOUT_VERSION,
            hint="read it with the version of minkgen that wrote it, or compute it again",
        )
    return Snapshot(path, metadata)


def open_features(store: str | Path, split: str, snapshot: str = "current") -> xr.Dataset:
    """Open one split of a snapshot as a lazy dataset.

    Parameters
    ----------
    store : str or Path
        The store's folder.
    split : {"train", "validation", "test"}
    snapshot : str, optional
        `current` (default), or the name of a snapshot.

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
    pinned = open_snapshot(store, snapshot)
    dataset: xr.Dataset = xr.open_zarr(pinned.path, group=split, consolidated=True, chunks=None)
    return dataset
