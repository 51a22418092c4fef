"""What a store holds, opened once for all sections of its report; nothing is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minkgen.errors import StoreError
from minkgen.grid import OWN_GRID, Grid
from minkgen.products import GROUPS, OWN
from minkgen.recipe import FlagRules
from minkgen.store.composites import held_products, open_composites
from minkgen.store.files import read_json
from minkgen.store.layout import StorePaths
from minkgen.store.snapshot import SPLITS, Snapshot, open_snapshot
from minkgen.workflows.inspect import StoreReport, inspect_store
from minkgen.workflows.progress import Progress

__all__ = ["Contents", "GammaSubset", "SplitSamples", "open_contents", "utc"]

# γ of a million samples is 0.7 GB: of each split, 256 chunks of 16 samples are read (2.7 MB).
MOST_CHUNKS = 256
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

IndexArray = npt.NDArray[np.intp]


@dataclass(frozen=True)
class SplitSamples:
    """The columns of a split: what is known of every sample without its fields.

    Attributes
    ----------
    time : array of int64 (N,)
        Minutes since 1970.
    row, column : array of int32 (N,)
        North-west pixel.
    wet_fraction : array of float64 (N,)
    max_rate : array of float32 (N,)
        In mm/h.
    """

    time: npt.NDArray[np.int64]
    row: npt.NDArray[np.int32]
    column: npt.NDArray[np.int32]
    wet_fraction: npt.NDArray[np.float64]
    max_rate: npt.NDArray[np.float32]

    @property
    def count(self) -> int:
        """Number of samples."""
        return len(self.time)

    @property
    def wet(self) -> IndexArray:
        """Which samples have a pixel of at least the drizzle rate."""
        return np.flatnonzero(self.wet_fraction > 0)


@dataclass(frozen=True)
class GammaSubset:
    """γ of whole chunks of a split, evenly spread over it.

    Attributes
    ----------
    rows : array of int (n,)
        Of the samples in their split.
    gamma : array of float32 (n, F, Q)
        In physical units.
    """

    rows: IndexArray
    gamma: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Contents:
    """What a store holds.

    Attributes
    ----------
    paths : StorePaths
        Of the product that the snapshot is made of, or of the first that there is.
    ledgers : tuple of StoreReport
        One for each product of which there are composites.
    snapshot : Snapshot or None
        The current one.
    """

    paths: StorePaths
    ledgers: tuple[StoreReport, ...]
    snapshot: Snapshot | None

    @property
    def metadata(self) -> dict[str, Any]:
        """What decided the numbers of the snapshot; empty without one."""
        return {} if self.snapshot is None else self.snapshot.metadata

    @property
    def recipe(self) -> dict[str, Any]:
        """The numeric part of the snapshot's recipe; empty without one."""
        recipe: dict[str, Any] = self.metadata.get("recipe", {})
        return recipe

    @property
    def ledger(self) -> StoreReport | None:
        """The account of the composites that the snapshot is made of, or of the first ones."""
        group = {GROUPS[ledger.product]: ledger for ledger in self.ledgers}
        return group.get(self.paths.group)

    @property
    def grid(self) -> Grid | None:
        """The grid of the composites and tiles; None where there is neither."""
        if self.ledger is not None:
            return open_composites(self.paths).grid
        return None if self.snapshot is None else self.snapshot.grid

    @property
    def attribution(self) -> str:
        """Source and licence."""
        if self.snapshot is not None:
            return str(self.metadata["attribution"])
        return "; ".join(dict.fromkeys(ledger.attribution() for ledger in self.ledgers))

    @cached_property
    def samples(self) -> Mapping[str, SplitSamples]:
        """The columns of every split that has samples."""
        if self.snapshot is None:
            return {}
        found = {split: _read_columns(self.snapshot, split) for split in SPLITS}
        return {split: samples for split, samples in found.items() if samples.count}

    @cached_property
    def gamma(self) -> Mapping[str, GammaSubset]:
        """Some of the γ of every split that has samples."""
        if self.snapshot is None:
            return {}
        return {split: _read_gamma(self.snapshot, split) for split in self.samples}

    @cached_property
    def climate(self) -> dict[str, Any] | None:
        """The kept climate with the numbers of the snapshot's, for its histograms."""
        numbers = ("thresholds", "floors", "normalisation")
        for path in sorted(self.paths.climate("x").parent.glob("[!.]*.json")):
            climate: dict[str, Any] = read_json(path)
            if all(climate.get(key) == self.metadata.get(key, {}) for key in numbers):
                return climate
        return None


def open_contents(store: Path, progress: Progress) -> Contents:
    """Open what there is in a store: ledgers, a snapshot, or both.

    Raises
    ------
    StoreError
        If there is no store, or what there is is damaged.
    """
    if not store.is_dir():
        behind_url = re.match(r"[a-z0-9]+:/", str(store)) is not None
        raise StoreError(
            "a report needs a store in a folder" if behind_url else "there is no store here",
            where=store,
            expected="the folder of a store",
            hint="copy the store to a file system, or mount it"
            if behind_url
            else "run `minkgen ingest` with the recipe first, or `minkgen demo`",
        )
    paths = StorePaths(store)
    snapshot = open_snapshot(store) if paths.current.exists() else None
    held = held_products(paths)
    if not held and snapshot is None:
        open_composites(paths)  # says that there is no store
    recipe = {} if snapshot is None else snapshot.metadata["recipe"]
    rules = FlagRules.model_validate(recipe.get("flags", {}))
    used = recipe.get("product", held[0] if held else "RATE")
    if snapshot is not None and snapshot.metadata["grid"] == OWN_GRID:
        used = OWN
    return Contents(
        paths=StorePaths(store, GROUPS[used]),
        ledgers=tuple(inspect_store(store, product, progress, rules=rules) for product in held),
        snapshot=snapshot,
    )


def utc(minutes: float) -> datetime:
    """Return the time that is so many minutes after 1970 began."""
    return _EPOCH + timedelta(minutes=int(minutes))


def _read_columns(snapshot: Snapshot, split: str) -> SplitSamples:
    names = ("time", "row", "column", "wet_fraction", "max_rate")
    return SplitSamples(*(np.asarray(snapshot.array(split, name)[:]) for name in names))


def _read_gamma(snapshot: Snapshot, split: str) -> GammaSubset:
    array = snapshot.array(split, "gamma")
    rows = spread_rows(array.shape[0], array.chunks[0])
    gamma = np.empty((len(rows), *array.shape[1:]), np.float32)
    for positions, places, values in snapshot.sharded_rows(split, "gamma").chunks(rows):
        gamma[positions] = values[places]
    return GammaSubset(rows, gamma)


def spread_rows(count: int, per_chunk: int) -> IndexArray:
    """Return the rows of at most `MOST_CHUNKS` whole chunks, evenly spread over all.

    Examples
    --------
    >>> len(spread_rows(100, 16)), len(spread_rows(1_000_000, 16))
    (100, 4096)
    """
    chunks = -(-count // per_chunk)
    chosen = np.unique(np.linspace(0, chunks - 1, min(chunks, MOST_CHUNKS)).round().astype(int))
    rows = (chosen[:, None] * per_chunk + np.arange(per_chunk)).ravel()
    return rows[rows < count]
