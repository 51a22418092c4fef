"""The Zarr hierarchy of composites: a time axis fixed in advance, filled with NaN.

One chunk is one frame, one shard is 24 frames (six hours), and a shard is always written as a
whole, by the one task that owns its day: two writers in one Zarr shard silently lose chunks.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from minkgen.errors import StoreError
from minkgen.grid import GRIDS, Grid, opera_crs
from minkgen.recipe import COMPOSITE_MINUTES, differences
from minkgen.store.files import read_json, write_json
from minkgen.store.layout import (
    FRAMES_PER_SHARD,
    LAYOUT_VERSION,
    OPERA_ATTRIBUTION,
    StorePaths,
    consolidate,
    zstd,
)

__all__ = [
    "VARIABLES",
    "Composites",
    "create_composites",
    "open_composites",
    "refuse_other_recipe",
]

VARIABLES: dict[str, dict[str, str]] = {
    "rain_rate": {
        "long_name": "surface rain rate",
        "standard_name": "rainfall_rate",
        "units": "mm/h",
        "comment": "NaN: no coverage, or no composite (see the ledger); 0: measured, no echo",
    },
    "quality": {
        "long_name": "quality as delivered",
        "units": "1",
        "comment": "ODYSSEY: QIND, defined only where there is echo; "
        "NIMBUS: pl.imgw.quality.qi_total, 0 outside coverage",
    },
}
_GROUP = "rain_rate"
_STEP = timedelta(minutes=COMPOSITE_MINUTES)


@dataclass(frozen=True)
class Composites:
    """The composites of a store: slots on a time axis of whole calendar years.

    Attributes
    ----------
    paths : StorePaths
    grid : Grid
    first_year, last_year : int
        The calendar years that the time axis spans.
    """

    paths: StorePaths
    grid: Grid
    first_year: int
    last_year: int

    @property
    def start(self) -> datetime:
        """Time of slot 0."""
        return datetime(self.first_year, 1, 1, tzinfo=UTC)

    @property
    def slots(self) -> int:
        """Length of the time axis."""
        return (datetime(self.last_year + 1, 1, 1, tzinfo=UTC) - self.start) // _STEP

    def slot(self, time: datetime) -> int:
        """Return the index of a time on the axis."""
        return (time - self.start) // _STEP

    def shards_of(self, day: date) -> list[list[datetime]]:
        """Return the times of a day, shard by shard."""
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        per_day = timedelta(days=1) // _STEP
        times = [midnight + index * _STEP for index in range(per_day)]
        return [
            times[first : first + FRAMES_PER_SHARD] for first in range(0, per_day, FRAMES_PER_SHARD)
        ]

    def _array(self, variable: str, mode: str = "r") -> zarr.Array[Any]:
        group = zarr.open_group(self.paths.composites, mode="r" if mode == "r" else "r+")
        array = group[f"{_GROUP}/{variable}"]
        if not isinstance(array, zarr.Array):
            raise StoreError("not an array", where=self.paths.composites, got=variable)
        return array

    def read(self, variable: str, first: datetime, count: int = 1) -> npt.NDArray[np.float32]:
        """Read consecutive slots, whatever their state.

        Parameters
        ----------
        variable : {"rain_rate", "quality"}
        first : datetime
        count : int, optional

        Returns
        -------
        ndarray of float32, shape (count, H, W)
            NaN where nothing was ever written.
        """
        slot = self.slot(first)
        values: npt.NDArray[np.float32] = np.asarray(self._array(variable)[slot : slot + count])
        return values

    def write_shard(self, variable: str, times: list[datetime], values: npt.NDArray[Any]) -> None:
        """Write a whole shard, replacing its file in one step, and flush it to disk.

        Parameters
        ----------
        variable : {"rain_rate", "quality"}
        times : list of datetime
            The times of one shard, as `shards_of` gives them.
        values : ndarray of float32, shape (24, H, W)
        """
        slot = self.slot(times[0])
        if slot % FRAMES_PER_SHARD or len(times) != FRAMES_PER_SHARD:
            raise StoreError(
                "only whole shards are written",
                where=self.paths.composites,
                got=f"{len(times)} slots from {slot}",
                expected=f"{FRAMES_PER_SHARD} slots from a multiple of it",
            )
        self._array(variable, "r+")[slot : slot + FRAMES_PER_SHARD] = values
        path = self.paths.composites / _GROUP / variable / f"c/{slot // FRAMES_PER_SHARD}/0/0"
        if path.exists():  # a shard of nothing but NaN has no file
            with path.open("rb") as stream:
                os.fsync(stream.fileno())


def _identity(grid: Grid) -> dict[str, Any]:
    return {"layout_version": LAYOUT_VERSION, "grid": grid.name, "product": "RATE"}


def _read_identity(paths: StorePaths) -> dict[str, Any] | None:
    return read_json(paths.identity) if paths.identity.exists() else None


def create_composites(paths: StorePaths, grid: Grid, years: tuple[int, int]) -> Composites:
    """Create the composites of a store, or extend an existing time axis to later years.

    Parameters
    ----------
    paths : StorePaths
    grid : Grid
    years : tuple of int
        First and last calendar year that must be on the axis.

    Returns
    -------
    Composites

    Raises
    ------
    StoreError
        If the store exists and is on another grid or of another layout, or starts later.
    """
    wanted = _identity(grid)
    found = _read_identity(paths)
    if found is None:
        paths.root.mkdir(parents=True, exist_ok=True)
        composites = Composites(paths, grid, *years)
        _create_hierarchy(composites)
        write_json(paths.identity, wanted | {"first_year": years[0], "last_year": years[1]})
        return composites
    refuse_other_recipe(paths, {key: found.get(key) for key in wanted}, wanted)
    if years[0] < found["first_year"]:
        raise StoreError(
            "the time axis of the store begins later",
            where=paths.root,
            got=f"a period from {years[0]}",
            expected=f"{found['first_year']} or later",
            hint="years are appended, never put in front: use a new store for the longer period",
        )
    composites = Composites(
        paths, grid, found["first_year"], max(years[1], int(found["last_year"]))
    )
    if composites.last_year > found["last_year"]:
        _extend_hierarchy(composites)
        write_json(paths.identity, found | {"last_year": composites.last_year})
    return composites


def open_composites(paths: StorePaths) -> Composites:
    """Open the composites of an existing store.

    Raises
    ------
    StoreError
        If there is no store, or it is of an unknown layout.
    """
    found = _read_identity(paths)
    if found is None:
        raise StoreError(
            "there is no store here",
            where=paths.root,
            hint="run `minkgen ingest` with the recipe first",
        )
    grid = GRIDS.get(found.get("grid", ""))
    if grid is None or found.get("layout_version") != LAYOUT_VERSION:
        raise StoreError(
            "the store is of an unknown layout",
            where=paths.identity,
            got=found,
            expected=f"layout_version {LAYOUT_VERSION}",
        )
    return Composites(paths, grid, int(found["first_year"]), int(found["last_year"]))


def refuse_other_recipe(
    paths: StorePaths, found: dict[str, Any], wanted: dict[str, Any], *, hint: str = ""
) -> None:
    """Refuse to go on with a store that holds something else than the recipe asks for.

    Raises
    ------
    StoreError
        Naming all that differs.
    """
    differing = differences(found, wanted)
    if differing is not None:
        raise StoreError(
            "the store was made by another recipe",
            where=paths.root,
            got=differing[0],
            expected=differing[1],
            hint=hint + "give this recipe a store of its own (store:, or --store)",
        )


def _create_hierarchy(composites: Composites) -> None:
    grid = composites.grid
    root = zarr.open_group(composites.paths.composites, mode="w", zarr_format=3)
    root.attrs.update(
        {
            "title": "OPERA composites",
            "layout_version": LAYOUT_VERSION,
            "attribution": f"{OPERA_ATTRIBUTION}; the frame table names the source of each frame",
            "Conventions": "CF-1.11",
        }
    )
    group = root.create_group(_GROUP)
    for name, attributes in VARIABLES.items():
        group.create_array(
            name,
            shape=(composites.slots, *grid.shape),
            dtype="float32",
            chunks=(1, *grid.shape),
            shards=(FRAMES_PER_SHARD, *grid.shape),
            compressors=zstd(),
            fill_value=float("nan"),
            dimension_names=("time", "y", "x"),
            attributes={
                **attributes,
                "grid_mapping": "spatial_ref",
                "coordinates": "spatial_ref",
            },
        )
    for axis, centres in (("y", grid.y), ("x", grid.x)):
        coordinate = group.create_array(
            axis,
            shape=centres.shape,
            dtype="float64",
            chunks=centres.shape,
            fill_value=float("nan"),
            dimension_names=(axis,),
            attributes={"standard_name": f"projection_{axis}_coordinate", "units": "m"},
        )
        coordinate[:] = centres
    mapping = group.create_array("spatial_ref", shape=(), dtype="int32", fill_value=0)
    mapping.attrs.update(opera_crs().to_cf())
    group.create_array(
        "time",
        shape=(composites.slots,),
        dtype="int64",
        chunks=(366 * 24 * 60 // COMPOSITE_MINUTES,),
        fill_value=-1,
        dimension_names=("time",),
        attributes={
            "standard_name": "time",
            "units": f"minutes since {composites.start:%Y-%m-%d %H:%M:%S}",
            "calendar": "proleptic_gregorian",
        },
    )
    _fill_time(composites, group)
    consolidate(composites.paths.composites)


def _extend_hierarchy(composites: Composites) -> None:
    group = zarr.open_group(composites.paths.composites / _GROUP, mode="r+", use_consolidated=False)
    for name in VARIABLES:
        group[name].resize((composites.slots, *composites.grid.shape))  # type: ignore[union-attr]
    group["time"].resize((composites.slots,))  # type: ignore[union-attr]
    _fill_time(composites, group)
    consolidate(composites.paths.composites)


def _fill_time(composites: Composites, group: zarr.Group) -> None:
    group["time"][:] = COMPOSITE_MINUTES * np.arange(composites.slots)  # type: ignore[index]
