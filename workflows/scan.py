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

from minkgen.recipe import Recipe, Tiles, digest
from minkgen.store.files import write_table
from minkgen.tiles.eligibility import scan_frame
from minkgen.tiles.regions import corners_in_region
from minkgen.tiles.table import TILE_SCHEMA, frame_rows, merge_rows, minutes
from minkgen.workflows.cluster import run_tasks
from minkgen.workflows.progress import Progress
from minkgen.workflows.rain import Frame, RainSource

__all__ = ["choose_frames", "days_of", "scan_tiles", "stored_tiles", "tiles_by_time"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ScanTask:
    """The composites of one day, and the corners of the tiles that are looked at."""

    source: RainSource
    day: date
    products: Mapping[datetime, str]
    tiles: Tiles
    corners: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        return f"{self.day} of {self.source.paths.root}"


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


def stored_tiles(
    source: RainSource, recipe: Recipe, frames: Mapping[datetime, Frame]
) -> pa.Table | None:
    """Return the tile table of composites if it was made before, or None.

    Parameters
    ----------
    source : RainSource
    recipe : Recipe
    frames : mapping of datetime to Frame
        The composites to cut, as `choose_frames` gives them.
    """
    path = _path(source, recipe, frames)
    return pq.read_table(path, schema=TILE_SCHEMA) if path.exists() else None


def scan_tiles(
    client: Client,
    source: RainSource,
    recipe: Recipe,
    frames: Mapping[datetime, Frame],
    progress: Progress,
) -> pa.Table:
    """Make the tile table of composites, and keep it in the store.

    Parameters
    ----------
    client : distributed.Client
    source : RainSource
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
    corners = corners_in_region(source.open().grid, recipe.tiles)
    tasks = [
        ScanTask(
            source,
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
    write_table(_path(source, recipe, frames), rows)
    return rows


def _path(source: RainSource, recipe: Recipe, frames: Mapping[datetime, Frame]) -> Path:
    decided = {
        "tiles": recipe.tiles.model_dump(mode="json", exclude={"dry_fraction"}),
        "rain": recipe.rain(),
        "inputs": {f"{time:%FT%R}": frame.sha256 for time, frame in frames.items()},
    }
    return source.paths.tiles(digest(decided)[:16])


def scan_day(task: ScanTask) -> pa.Table:
    """Return the rows of one day."""
    composites = task.source.open()
    tables = []
    for time, product in task.products.items():
        rain_rate = task.source.read(composites, time)
        tables.append(frame_rows(time, product, scan_frame(rain_rate, task.tiles, task.corners)))
    return merge_rows(tables)
