"""The view that checks look through: everything opened once, lazily, and nothing ever written.

What cannot be read raises; the runner turns that into a failed check.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import zarr

from minkgen.errors import StoreError
from minkgen.grid import GRIDS, OWN_GRID, Grid
from minkgen.products import GROUPS
from minkgen.recipe import Recipe, Window
from minkgen.store.composites import Composites, held_products, open_composites, variables_of
from minkgen.store.frames import read_frames
from minkgen.store.layout import StorePaths
from minkgen.store.ledger import DayLedger, read_ledger
from minkgen.store.snapshot import SPLITS, Snapshot, open_snapshot
from minkgen.tiles.table import TILE_SCHEMA

__all__ = ["Group", "StoreView", "at"]

Known = TypeVar("Known")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def at(minute: int) -> datetime:
    """Return the time that so many minutes after 1970 stand for."""
    return _EPOCH + timedelta(minutes=minute)


@dataclass(frozen=True)
class Group:
    """The composites of one product: a group of the hierarchy with ledgers and frame tables.

    Attributes
    ----------
    name : str
    paths : StorePaths
    composites : Composites
    variables : mapping
        The arrays of the group, the measured one first, with their attributes.
    step : timedelta
        From one slot to the next.
    """

    name: str
    paths: StorePaths
    composites: Composites
    variables: Mapping[str, Mapping[str, str]]
    step: timedelta

    @property
    def measured(self) -> str:
        """Name of the array that the frame table describes."""
        return next(iter(self.variables))

    @property
    def frames_per_shard(self) -> int:
        """Frames of a shard."""
        return self.composites.product.frames_per_shard

    @property
    def folder(self) -> Path:
        """Folder of the group."""
        return self.paths.composites / self.name

    def array(self, name: str) -> zarr.Array[Any]:
        """Return one array, unread."""
        found = zarr.open_group(self.paths.composites, mode="r").get(f"{self.name}/{name}")
        if not isinstance(found, zarr.Array):
            raise StoreError("the composites have no such array", where=self.folder, got=name)
        return found

    def ledger_files(self) -> list[Path]:
        """Return the ledgers, in order of their names; files on their way are left out."""
        return sorted(self.paths.ledger(_EPOCH.date()).parent.glob("[!.]*.json"))

    def days(self) -> list[date]:
        """Return the days that have a ledger, in order; strangers among the files are left out."""
        return sorted(day for path in self.ledger_files() if (day := _day_of(path)) is not None)

    def ledgers(self) -> Iterator[DayLedger]:
        """Yield the ledgers, day by day."""
        for day in self.days():
            yield read_ledger(self.paths, day)

    def ok_times(self) -> list[datetime]:
        """Return the times of all ok slots, in order."""
        return [time for each in self.ledgers() for time in sorted(each.slots) if each.ok(time)]

    def frames(self, day: date) -> dict[datetime, dict[str, Any]]:
        """Return the rows of a day's frame table by time.

        Raises
        ------
        StoreError
            If the file is damaged.
        """
        try:
            return read_frames(self.paths, day)
        except (pa.ArrowException, OSError, KeyError) as error:
            raise StoreError(
                "the frame table cannot be read",
                where=self.paths.frames(day),
                got=error,
                hint="move it and the ledger of the day away and run `minkgen ingest` again",
            ) from error

    def shard_of(self, variable: str, shard: int) -> Path:
        """Return the file of a shard."""
        return self.folder / variable / f"c/{shard}/0/0"


def _day_of(path: Path) -> date | None:
    try:
        day = date.fromisoformat(path.stem)
    except ValueError:
        return None
    return day if path.stem == f"{day:%Y-%m-%d}" else None


class StoreView:
    """A store as checks see it.

    Parameters
    ----------
    root : Path
        The store's folder.
    snapshot : str, optional
        `current`, or the name of a snapshot.
    samples : int, optional
        How many frames, and samples of each split, are drawn where all would take too long.
    seed : int, optional
        Of the draws.
    deep : bool, optional
        Count the climatology of the training tiles anew.
    """

    def __init__(
        self,
        root: Path,
        snapshot: str = "current",
        samples: int = 20,
        seed: int = 0,
        *,
        deep: bool = False,
    ) -> None:
        self.paths = StorePaths(root)
        self.snapshot_name = snapshot
        self.samples = samples
        self.seed = seed
        self.deep = deep
        self._known: dict[str, Any] = {}

    @property
    def has_composites(self) -> bool:
        """Whether there is anything of composites; a copy of snapshots alone is a store, too."""
        parts = (self.paths.composites, *map(self._folder, ("ledger", "frames")))
        return bool(held_products(self.paths)) or any(part.exists() for part in parts)

    def _folder(self, name: str) -> Path:
        return self.paths.root / name

    @property
    def has_terrain(self) -> bool:
        """Whether the store has terrain."""
        return self.paths.static.exists()

    @property
    def has_snapshot(self) -> bool:
        """Whether the store ever had a snapshot."""
        current = self.paths.current
        return current.is_symlink() or current.exists() or bool(self.published())

    def published(self) -> list[Path]:
        """Return the published snapshots, by name."""
        return sorted(self.paths.features.glob("[!.]*.zarr"))

    def groups(self) -> list[Group]:
        """Return the groups of the composites."""
        held = held_products(self.paths) or ("RATE",)
        return [self._group(StorePaths(self.paths.root, GROUPS[quantity])) for quantity in held]

    @staticmethod
    def _group(paths: StorePaths) -> Group:
        composites = open_composites(paths)
        product = composites.product
        return Group(product.group, paths, composites, variables_of(product), product.step)

    @cached_property
    def snapshot(self) -> Snapshot:
        """The snapshot that is verified."""
        return open_snapshot(self.paths.root, self.snapshot_name)

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe that the snapshot records; what decides no number is made up."""
        numeric = self.snapshot.metadata["recipe"]
        windows = [Window.model_validate(numeric["splits"][split]) for split in SPLITS]
        period = {
            "start": min(window.start for window in windows),
            "end": max(window.end for window in windows),
        }
        kind = "xarray" if numeric["grid"] == OWN_GRID else "folder"
        source = {"kind": kind, "path": "."}
        made_up = {"name": "verified", "store": self.paths.root, "source": source}
        return Recipe.model_validate({**numeric, **made_up, "period": period})

    @property
    def grid(self) -> Grid:
        """The grid of the snapshot.

        Raises
        ------
        StoreError
            If the snapshot is on a grid of its own, and does not describe it.
        """
        return self.snapshot.grid

    def grid_named(self, name: str) -> Grid:
        """Return a grid by name; one's own as the composites, or else the snapshot, describe it."""
        if name != OWN_GRID:
            return GRIDS[name]
        return self.groups()[0].composites.grid if self.has_composites else self.grid

    @property
    def floors(self) -> tuple[float, float]:
        """Persistence floors of components and of holes in mm/h."""
        floors = self.snapshot.metadata["floors"]
        return float(floors["components"]["epsilon"]), float(floors["holes"]["epsilon"])

    def fields(self, split: str, kind: str) -> tuple[str, ...]:
        """Return the names of the arrays of a kind, `rain_rate` or `gamma`, in a split."""
        return (kind, f"mixup_{kind}") if split == "train" else (kind,)

    def group(self, split: str) -> zarr.Group:
        """Return the group of a split.

        Raises
        ------
        StoreError
            If the snapshot has none.
        """

        def open_split() -> zarr.Group:
            found = zarr.open_group(self.snapshot.path, mode="r").get(split)
            if not isinstance(found, zarr.Group):
                raise StoreError("a split is missing", where=self.snapshot.path, got=split)
            return found

        return self.once(f"group {split}", open_split)

    def array(self, split: str, name: str) -> zarr.Array[Any]:
        """Return one array of a split, unread.

        Raises
        ------
        StoreError
            If the snapshot has no such array.
        """

        def open_array() -> zarr.Array[Any]:
            # The snapshot's own way opens it anew for every array: 10 ms, where there are 50.
            found = self.group(split).get(name)
            return found if isinstance(found, zarr.Array) else self.snapshot.array(split, name)

        return self.once(f"array {split}/{name}", open_array)

    def count(self, *splits: str) -> int:
        """Return the number of samples of some splits, of all for none."""
        return sum(int(self.array(split, "wet").shape[0]) for split in splits or SPLITS)

    def column(self, split: str, name: str) -> npt.NDArray[Any]:
        """Return one column of the samples of a split."""
        return self.once(f"{split}/{name}", lambda: np.asarray(self.array(split, name)[:]))

    def once(self, what: str, read: Callable[[], Known]) -> Known:
        """Return what was read before, or read it now: several checks look at the same."""
        if what not in self._known:
            self._known[what] = read()
        known: Known = self._known[what]
        return known

    def rows(self, split: str) -> pa.Table:
        """Return the samples of a split as rows of a tile table."""
        times = pa.array(self.column(split, "time").astype(np.int64) * 60_000_000)
        columns = {name: self.column(split, name) for name in TILE_SCHEMA.names[1:]}
        columns["product"] = pa.array(columns["product"].tolist(), pa.string())
        columns["time"] = times.cast(TILE_SCHEMA.field("time").type)
        return pa.table([columns[name] for name in TILE_SCHEMA.names], schema=TILE_SCHEMA)

    def sample(self, split: str, name: str, index: int) -> str:
        """Return a text that names one sample's value of an array, for counter-examples."""
        time, row, column = (
            int(self.column(split, key)[index]) for key in ("time", "row", "column")
        )
        return f"{split}/{name} {index} ({at(time):%FT%R}, row {row}, column {column})"

    def draw(self, check: str, place: str, count: int) -> list[int]:
        """Draw some of so many things, each check its own, the same for the same seed."""
        seed = (self.seed, zlib.crc32(f"{check} {place}".encode()))
        drawn = np.random.default_rng(seed).choice(
            count, size=min(self.samples, count), replace=False
        )
        return sorted(drawn.tolist())
