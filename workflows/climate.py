"""Climate: thresholds, persistence floors and normalisation, from the training split alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from distributed import Client

from minkgen.errors import EmptySplitError, StoreError
from minkgen.gamma.floors import (
    Floor,
    LifetimeHistogram,
    elbow_floor,
    given_floor,
    percentile_floor,
)
from minkgen.gamma.pairs import persistence_pairs
from minkgen.gamma.thresholds import (
    Thresholds,
    ValueHistogram,
    log_thresholds,
    physical_thresholds,
    quantile_thresholds,
)
from minkgen.recipe import (
    ElbowFloor,
    FloorChoice,
    GivenFloor,
    LogThresholds,
    PhysicalThresholds,
    Recipe,
    Tiles,
    differences,
    digest,
)
from minkgen.store.files import read_json, write_json
from minkgen.store.snapshot import open_snapshot
from minkgen.tiles.eligibility import cut_tile
from minkgen.tiles.table import minutes, sample_keys, wet_rows
from minkgen.workflows.cluster import run_tasks
from minkgen.workflows.progress import Progress
from minkgen.workflows.rain import Frame, RainSource
from minkgen.workflows.scan import tiles_by_time

__all__ = [
    "Climate",
    "draw_lifetimes",
    "fit_climate",
    "fit_floor",
    "fit_thresholds",
    "largest_unflagged",
]


@dataclass(frozen=True)
class Climate:
    """What the training split says of rain, and what γ is computed with.

    Attributes
    ----------
    thresholds : Thresholds
    floors : tuple of Floor
        For components and for holes.
    normalisation : dict
        `max_rate` (mm/h) of the eligible training tiles of frames without a flag, and `log1p_max`,
        its log1p.
    """

    thresholds: Thresholds
    floors: tuple[Floor, Floor]
    normalisation: dict[str, float]

    def floors_as_dict(self) -> dict[str, Any]:
        """Return the floors as plain JSON values."""
        components, holes = self.floors
        return {"components": components.as_dict(), "holes": holes.as_dict()}


@dataclass(frozen=True)
class ClimateTask:
    """The eligible training tiles of one day, and which of them lifetimes are taken from."""

    source: RainSource
    day: date
    rows: pa.Table
    lifetimes: tuple[bool, ...]
    tiles: Tiles

    def __str__(self) -> str:
        return f"{self.day} of {self.source.paths.root}"


@dataclass(frozen=True)
class DayClimate:
    """What one day adds to the climate; merged by addition."""

    values: ValueHistogram
    components: LifetimeHistogram
    holes: LifetimeHistogram

    def merge(self, other: DayClimate) -> DayClimate:
        """Return the climate of both."""
        return DayClimate(
            self.values.merge(other.values),
            self.components.merge(other.components),
            self.holes.merge(other.holes),
        )


def fit_climate(
    client: Client,
    source: RainSource,
    recipe: Recipe,
    training: pa.Table,
    frames: Mapping[datetime, Frame],
    progress: Progress,
) -> Climate:
    """Return the climate of the training samples, from disk where it was fitted before.

    Parameters
    ----------
    client : distributed.Client
    source : RainSource
    recipe : Recipe
    training : pyarrow.Table
        The samples of the training split; dry ones are left out.
    frames : mapping of datetime to Frame
        The ok composites of the period.
    progress : Progress

    Returns
    -------
    Climate
        Also written to the store, with its histograms; of the snapshot that the recipe names in
        `climate_from`, if it does.

    Raises
    ------
    StoreError
        If there is no such snapshot, or its climate is of another kind.
    EmptySplitError
        If there is nothing to fit.
    """
    if recipe.climate_from is not None:
        return _frozen(source.paths.root, recipe)
    eligible = wet_rows(training)
    window = recipe.splits.trimmed()["train"]
    flagged = {time for time, frame in frames.items() if frame.flags and time in window}
    sections = {"seed", "tiles", "thresholds", "persistence", "flags"}
    decided = {
        "recipe": recipe.model_dump(mode="json", include=sections),
        "rain": recipe.rain(),
        "window": window.model_dump(mode="json"),
        "inputs": {f"{t:%FT%R}": frame.sha256 for t, frame in frames.items() if t in window},
        "flagged": [f"{time:%FT%R}" for time in sorted(flagged)],
    }
    path = source.paths.climate(digest(decided)[:16])
    if not path.exists():
        tasks = _tasks(source, recipe, eligible)
        progress.stage("climatology", len(tasks))
        what = "the climatology of a day could not be counted"
        days = run_tasks(client, climate_day, tasks, progress, what=what)
        merged = reduce(DayClimate.merge, days)
        write_json(path, {"decided_by": decided, **_fit(recipe, eligible, flagged, merged)})
    return _climate(read_json(path))


def _climate(content: Mapping[str, Any]) -> Climate:
    return Climate(
        thresholds=Thresholds.from_dict(content["thresholds"]),
        floors=(
            Floor.from_dict(content["floors"]["components"]),
            Floor.from_dict(content["floors"]["holes"]),
        ),
        normalisation=content["normalisation"],
    )


def _frozen(store: Path, recipe: Recipe) -> Climate:
    """Return the climate of the snapshot that the recipe names."""
    kept = open_snapshot(store, str(recipe.climate_from))
    sections = ("product", "hourly", "z_r", "thresholds", "persistence")
    asked = recipe.model_dump(mode="json", include=set(sections))
    differing = differences({key: kept.metadata["recipe"][key] for key in sections}, asked)
    if differing is not None:
        raise StoreError(
            "the climate of the snapshot is of another kind than the recipe asks for",
            where=kept.path,
            got=differing[0],
            expected=differing[1],
            hint="name another snapshot in climate_from, or leave it out to fit the climate anew",
        )
    return _climate(kept.metadata)


def draw_lifetimes(eligible: pa.Table, recipe: Recipe) -> npt.NDArray[np.bool_]:
    """Return which of the eligible rows lifetimes are taken from."""
    keys = sample_keys(eligible, recipe.seed)
    chosen = np.zeros(eligible.num_rows, np.bool_)
    chosen[np.argsort(keys, kind="stable")[: recipe.persistence.sample_tiles]] = True
    return chosen


def _tasks(source: RainSource, recipe: Recipe, eligible: pa.Table) -> list[ClimateTask]:
    chosen = draw_lifetimes(eligible, recipe)
    day = minutes(eligible) // (24 * 60)
    tasks = []
    for each in np.unique(day):
        index = np.flatnonzero(day == each)
        rows = eligible.slice(int(index[0]), len(index)).combine_chunks()
        first_time = rows["time"][0].as_py()
        tasks.append(
            ClimateTask(
                source, first_time.date(), rows, tuple(chosen[index].tolist()), recipe.tiles
            )
        )
    return tasks


def climate_day(task: ClimateTask) -> DayClimate:
    """Count the wet values of one day's tiles, and the lifetimes of those that were drawn."""
    composites = task.source.open()
    wet_values: list[np.ndarray[Any, np.dtype[np.float32]]] = []
    drawn: list[np.ndarray[Any, np.dtype[np.float32]]] = []
    for time, first, corners in tiles_by_time(task.rows):
        frame = task.source.read(composites, time)
        for offset, (row, column) in enumerate(corners):
            tile = cut_tile(frame, row, column, task.tiles)
            wet_values.append(tile[tile > 0])
            if task.lifetimes[first + offset]:
                drawn.append(tile)
    size = task.tiles.size
    pairs = persistence_pairs(np.array(drawn, np.float32).reshape(-1, size, size))
    return DayClimate(
        ValueHistogram.from_values(np.concatenate(wet_values)),
        LifetimeHistogram.from_pairs(pairs.finite(0)),
        LifetimeHistogram.from_pairs(pairs.finite(1)),
    )


def _fit(
    recipe: Recipe, eligible: pa.Table, flagged: Collection[datetime], climate: DayClimate
) -> dict[str, Any]:
    max_rate = largest_unflagged(eligible, flagged)
    floors = {
        "components": fit_floor(recipe.persistence.components, climate.components),
        "holes": fit_floor(recipe.persistence.holes, climate.holes),
    }
    histograms = {
        "wet_values": climate.values,
        "components_lifetimes": climate.components,
        "holes_lifetimes": climate.holes,
    }
    return {
        "thresholds": fit_thresholds(recipe, climate.values).as_dict(),
        "floors": {name: floor.as_dict() for name, floor in floors.items()},
        "normalisation": {"max_rate": max_rate, "log1p_max": float(np.log1p(max_rate))},
        "histograms": {
            name: {"values": histogram.values.tolist(), "counts": histogram.counts.tolist()}
            for name, histogram in histograms.items()
        },
    }


def largest_unflagged(eligible: pa.Table, flagged: Collection[datetime]) -> float:
    """Return the largest rate of frames without a flag: raw spikes reach 13,000 mm/h."""
    at = pa.array(sorted(flagged), eligible["time"].type)
    rates = eligible.filter(pc.invert(pc.is_in(eligible["time"], at)))["max_rate"].to_numpy()
    if rates.size == 0:
        raise EmptySplitError(
            "every training frame with rain carries a flag",
            where="flags",
            got=f"{len(flagged)} flagged frames",
            expected="one without, whose largest rate normalises the input of networks",
            hint="look at the flags with `minkgen inspect`, or change their rules in the recipe",
        )
    return float(np.max(rates))


def fit_thresholds(recipe: Recipe, values: ValueHistogram) -> Thresholds:
    """Return the thresholds that a recipe takes from the wet values of the training tiles."""
    choice = recipe.thresholds
    if isinstance(choice, PhysicalThresholds):
        return physical_thresholds(choice.values)
    if isinstance(choice, LogThresholds):
        return log_thresholds(choice.low, choice.high, choice.count)
    if choice.max_pixels is not None:
        values = values.sample(choice.max_pixels, recipe.seed)
    return quantile_thresholds(values, choice.levels)


def fit_floor(choice: FloorChoice, lifetimes: LifetimeHistogram) -> Floor:
    """Return the persistence floor that a recipe takes from lifetimes."""
    if isinstance(choice, GivenFloor):
        return given_floor(choice.value_mm_h)
    if isinstance(choice, ElbowFloor):
        return elbow_floor(lifetimes)
    return percentile_floor(lifetimes, choice.percentile)
