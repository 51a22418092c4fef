"""Climate: thresholds, persistence floors and normalisation, from the training split alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
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
from minkgen.gamma.histogram import ExactHistogram
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
    QuantileThresholds,
    Recipe,
    differences,
    digest,
)
from minkgen.store.files import read_json, write_json
from minkgen.store.rows import PLACES
from minkgen.store.snapshot import open_snapshot
from minkgen.tiles.table import minutes, sample_keys, wet_rows
from minkgen.workflows.cluster import run_tasks
from minkgen.workflows.progress import Progress
from minkgen.workflows.rain import Frame, RainSource
from minkgen.workflows.stopwatch import Stopwatch
from minkgen.workflows.tile_sources import CutTiles, Samples, TileSource

__all__ = [
    "Climate",
    "ClimateFit",
    "climate_of_composites",
    "draw_lifetimes",
    "fit_climate",
    "fit_floor",
    "fit_thresholds",
    "frozen_climate",
    "given_climate",
    "largest_unflagged",
    "stored_climate",
]

Float32 = npt.NDArray[np.float32]

_EPOCH = date(1970, 1, 1)


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
class ClimateFit:
    """A climate that is fitted once, and then found in the store.

    Attributes
    ----------
    recipe : Recipe
    training : pyarrow.Table
        All samples of the training split, wet and dry.
    tiles : TileSource
        Gives their tiles.
    normalisation : dict
        As in `Climate`.
    decided_by : dict
        What decides the result, as plain JSON values.
    path : Path
        Where it is kept, with its histograms.
    """

    recipe: Recipe
    training: pa.Table
    tiles: TileSource
    normalisation: dict[str, float]
    decided_by: dict[str, Any]
    path: Path


@dataclass(frozen=True)
class ClimateTask:
    """The training samples of one day, and which of them lifetimes are taken from."""

    tiles: TileSource
    size: int
    day: date
    samples: Samples
    lifetimes: tuple[bool, ...]

    def __str__(self) -> str:
        return f"{self.day} of {self.tiles}"


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


def climate_of_composites(
    source: RainSource, recipe: Recipe, training: pa.Table, frames: Mapping[datetime, Frame]
) -> ClimateFit:
    """Return how thresholds, floors and normalisation follow from composites.

    Parameters
    ----------
    source : RainSource
    recipe : Recipe
    training : pyarrow.Table
        All samples of the training split.
    frames : mapping of datetime to Frame
        The composites of the period.

    Returns
    -------
    ClimateFit

    Raises
    ------
    EmptySplitError
        If every training frame with rain carries a flag.
    """
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
    max_rate = largest_unflagged(wet_rows(training), flagged)
    return ClimateFit(
        recipe=recipe,
        training=training,
        tiles=CutTiles(source, recipe.tiles),
        normalisation={"max_rate": max_rate, "log1p_max": float(np.log1p(max_rate))},
        decided_by=decided,
        path=source.paths.climate(digest(decided)[:16]),
    )


def frozen_climate(store: Path, recipe: Recipe) -> Climate:
    """Return the climate of the snapshot that the recipe names in `climate_from`.

    Parameters
    ----------
    store : Path
    recipe : Recipe

    Returns
    -------
    Climate

    Raises
    ------
    StoreError
        If there is no such snapshot, or its climate is of another kind.
    """
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


def stored_climate(fit: ClimateFit) -> Climate | None:
    """Return a climate that was fitted before, or None."""
    return _climate(read_json(fit.path)) if fit.path.exists() else None


def _climate(content: Mapping[str, Any]) -> Climate:
    return Climate(
        thresholds=Thresholds.from_dict(content["thresholds"]),
        floors=(
            Floor.from_dict(content["floors"]["components"]),
            Floor.from_dict(content["floors"]["holes"]),
        ),
        normalisation=content["normalisation"],
    )


def fit_climate(client: Client, fit: ClimateFit, progress: Progress) -> Climate:
    """Fit a climate to the wet tiles of the training split, and keep it in the store.

    Parameters
    ----------
    client : distributed.Client
    fit : ClimateFit
    progress : Progress

    Returns
    -------
    Climate
    """
    tasks = _tasks(fit)
    progress.stage("climatology", len(tasks))
    what = "the climatology of a day could not be counted"
    days = run_tasks(client, climate_day, tasks, progress, what=what)
    fitted = _fit(fit, reduce(DayClimate.merge, days))
    write_json(fit.path, {"decided_by": fit.decided_by, **fitted})
    # As every later run reads it: a snapshot's metadata are the same to the byte.
    return _climate(read_json(fit.path))


def _tasks(fit: ClimateFit) -> list[ClimateTask]:
    training, recipe = fit.training, fit.recipe
    wet = np.flatnonzero(training["wet_fraction"].to_numpy() > 0)
    chosen = np.zeros(training.num_rows, np.bool_)
    chosen[wet] = draw_lifetimes(wet_rows(training), recipe)
    days, firsts, counts = np.unique(
        minutes(training) // (24 * 60), return_index=True, return_counts=True
    )
    tasks = []
    for day, first, count in zip(days.tolist(), firsts.tolist(), counts.tolist(), strict=True):
        rows = training.select(PLACES).slice(first, count).combine_chunks()
        lifetimes = tuple(chosen[first : first + count].tolist())
        tasks.append(
            ClimateTask(
                fit.tiles,
                recipe.tiles.size,
                _EPOCH + timedelta(days=day),
                Samples("train", first, rows),
                lifetimes,
            )
        )
    return tasks


def climate_day(task: ClimateTask) -> DayClimate:
    """Count the wet values of one day's tiles, and the lifetimes of those that were drawn."""
    wet_values: list[Float32] = []
    drawn: list[Float32] = [np.empty((0, task.size, task.size), np.float32)]
    lifetimes = np.array(task.lifetimes)
    first = 0
    for block in task.tiles.blocks(task.samples, Stopwatch()):
        wet_values.append(block[block > 0])
        drawn.append(block[lifetimes[first : first + len(block)]])
        first += len(block)
    pairs = persistence_pairs(np.concatenate(drawn))
    return DayClimate(
        ValueHistogram.from_values(np.concatenate(wet_values)),
        LifetimeHistogram.from_pairs(pairs.finite(0)),
        LifetimeHistogram.from_pairs(pairs.finite(1)),
    )


def _fit(fit: ClimateFit, counted: DayClimate) -> dict[str, Any]:
    persistence = fit.recipe.persistence
    floors = {
        "components": fit_floor(persistence.components, counted.components),
        "holes": fit_floor(persistence.holes, counted.holes),
    }
    histograms: dict[str, ExactHistogram] = {
        "wet_values": counted.values,
        "components_lifetimes": counted.components,
        "holes_lifetimes": counted.holes,
    }
    return {
        "thresholds": fit_thresholds(fit.recipe, counted.values).as_dict(),
        "floors": {name: floor.as_dict() for name, floor in floors.items()},
        "normalisation": fit.normalisation,
        "histograms": {name: histogram.as_dict() for name, histogram in histograms.items()},
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


def given_climate(recipe: Recipe, normalisation: dict[str, float]) -> Climate | None:
    """Return the climate of a recipe that gives all of it in mm/h; None if tiles must be counted.

    Parameters
    ----------
    recipe : Recipe
    normalisation : dict
        As in `Climate`.
    """
    choices = recipe.persistence.components, recipe.persistence.holes
    floors = [given_floor(each.value_mm_h) for each in choices if isinstance(each, GivenFloor)]
    if isinstance(recipe.thresholds, QuantileThresholds) or len(floors) < len(choices):
        return None
    nothing = ValueHistogram.from_values(np.empty(0, np.float32))
    return Climate(fit_thresholds(recipe, nothing), (floors[0], floors[1]), normalisation)


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
