"""Scan: which composites tiles are cut from, and what every covered tile in them is like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from distributed import Client

from minkgen.grid import GRIDS
from minkgen.recipe import FlagRules, Recipe, Tiles, Window, digest
from minkgen.store.composites import open_composites
from minkgen.store.files import write_table
from minkgen.store.flags import flags_of
from minkgen.store.frames import read_frames
from minkgen.store.layout import StorePaths
from minkgen.store.ledger import read_ledger
from minkgen.tiles.eligibility import scan_frame
from minkgen.tiles.regions import corners_in_region
from minkgen.tiles.table import TILE_SCHEMA, frame_rows, merge_rows, minutes
from minkgen.workflows.cluster import run_tasks
from minkgen.workflows.progress import Progress

__all__ = ["Frame", "choose_frames", "days_of", "ok_frames", "scan_tiles", "tiles_by_time"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Frame:
    """An ok composite of the store: its source file's digest, its product, who made it, flags."""

    sha256: str
    product: str
    source: str
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScanTask:
    """The composites of one day, and the corners of the tiles that are looked at."""

    store: Path
    day: date
    products: Mapping[datetime, str]
    tiles: Tiles
    corners: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        return f"{self.day} of {self.store}"


def ok_frames(paths: StorePaths, period: Window, rules: FlagRules) -> dict[datetime, Frame]:
    """Return the ok composites of a period in the order of their times.

    Their flags are judged among the ok composites of the period alone, day by day: what else the
    store holds changes none.
    """
    frames = {}
    for day in period.days():
        ledger, table = read_ledger(paths, day), read_frames(paths, day)
        times = [time for time in sorted(ledger.slots) if ledger.ok(time) and time in period]
        flags = flags_of([table[time] for time in times], rules)
        for time in times:
            row = table[time]
            product = f"{row['era']}_{row['product']}"
            frames[time] = Frame(row["sha256"], product, row["source"], flags[time])
    return frames


def choose_frames(
    frames: Mapping[datetime, Frame], recipe: Recipe
) -> tuple[dict[datetime, Frame], dict[datetime, tuple[str, ...]]]:
    """Return the composites that a recipe cuts tiles from, and those that flags keep out.

    Parameters
    ----------
    frames : mapping of datetime to Frame
        The ok composites, flagged by the rules of the recipe.
    recipe : Recipe
        Its `tiles.months`, `tiles.hours` and `exclude_flags`.

    Returns
    -------
    chosen : dict of datetime to Frame
    excluded : dict of datetime to tuple of str
        The excluding flags of each composite of the chosen months and hours that is left out.
    """
    chosen: dict[datetime, Frame] = {}
    excluded: dict[datetime, tuple[str, ...]] = {}
    for time, frame in frames.items():
        if time.month not in recipe.tiles.months or time.hour not in recipe.tiles.hours:
            continue
        reasons = tuple(flag for flag in frame.flags if flag in recipe.exclude_flags)
        if reasons:
            excluded[time] = reasons
        else:
            chosen[time] = frame
    return chosen, excluded


def days_of(frames: Mapping[datetime, Frame]) -> list[date]:
    """Return the days that have composites, in order."""
    return sorted({time.date() for time in frames})


def tiles_by_time(rows: pa.Table) -> Iterator[tuple[datetime, int, list[tuple[int, int]]]]:
    """Yield, frame by frame, its time, the index of its first row, and its tiles' corners.

    Parameters
    ----------
    rows : pyarrow.Table
        Rows of a tile table, sorted by time.
    """
    minute = minutes(rows)
    corners = np.column_stack((rows["row"].to_numpy(), rows["column"].to_numpy()))
    times, firsts, counts = np.unique(minute, return_index=True, return_counts=True)
    for each, first, count in zip(times.tolist(), firsts.tolist(), counts.tolist(), strict=True):
        places = [(int(row), int(column)) for row, column in corners[first : first + count]]
        yield _EPOCH + timedelta(minutes=each), first, places


def scan_tiles(
    client: Client,
    paths: StorePaths,
    recipe: Recipe,
    frames: Mapping[datetime, Frame],
    progress: Progress,
) -> pa.Table:
    """Return the tile table of the composites, from disk where it was made before.

    Parameters
    ----------
    client : distributed.Client
    paths : StorePaths
    recipe : Recipe
    frames : mapping of datetime to Frame
        The composites to cut, as `choose_frames` gives them.
    progress : Progress

    Returns
    -------
    pyarrow.Table
        One row per covered tile of the region, wet or dry, sorted by time, row and column.

    Raises
    ------
    EmptySplitError
        If the region holds no tile of the grid.
    """
    corners = corners_in_region(GRIDS[recipe.grid], recipe.tiles)
    decided = {
        "tiles": recipe.tiles.model_dump(mode="json", exclude={"dry_fraction"}),
        "grid": recipe.grid,
        "inputs": {f"{time:%FT%R}": frame.sha256 for time, frame in frames.items()},
    }
    path = paths.tiles(digest(decided)[:16])
    if path.exists():
        return pq.read_table(path, schema=TILE_SCHEMA)
    tasks = [
        ScanTask(
            paths.root,
            day,
            {time: frame.product for time, frame in frames.items() if time.date() == day},
            recipe.tiles,
            corners,
        )
        for day in days_of(frames)
    ]
    progress.stage("scan tiles", len(tasks))
    what = "the tiles of a day could not be scanned"
    rows = merge_rows(run_tasks(client, scan_day, tasks, progress, what=what))
    write_table(path, rows)
    return rows


def scan_day(task: ScanTask) -> pa.Table:
    """Return the rows of one day."""
    composites = open_composites(StorePaths(task.store))
    tables = []
    for time, product in task.products.items():
        rain_rate = composites.read("rain_rate", time)[0]
        tables.append(frame_rows(time, product, scan_frame(rain_rate, task.tiles, task.corners)))
    return merge_rows(tables)
