"""Compute from composites to a published snapshot, beside the way the paper goes, and on workers.

The store holds one day of composites: those of the folder, or synthetic ones, a quarter of an hour
apart whatever their times were, and again until the day is full. Tile table and climate are made
first, on one worker.
"""

from __future__ import annotations

import dataclasses
import functools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import chain, count, cycle, islice, pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import zarr
from distributed import Client

from minkgen.gamma.oracle import reference_gamma
from minkgen.grid import TEST_2KM
from minkgen.opera.odim import SYNTHETIC_MARK, Composite, read_composite
from minkgen.opera.synthetic import rain_field
from minkgen.products import PRODUCTS
from minkgen.recipe import LocalProcesses, Recipe
from minkgen.store.build import create_staging
from minkgen.store.composites import create_composites
from minkgen.store.frames import describe_frame, write_frames
from minkgen.store.layout import StorePaths
from minkgen.store.ledger import DayLedger, Slot, write_ledger
from minkgen.store.publishing import publish
from minkgen.tiles.mixup import mix_tile
from minkgen.tiles.table import minutes
from minkgen.workflows.bench.fields import SEED, drawn_composites
from minkgen.workflows.cluster import open_client, run_tasks
from minkgen.workflows.parts import PartTask, compute_part
from minkgen.workflows.plan import Build, plan_from_composites
from minkgen.workflows.progress import Silent
from minkgen.workflows.stopwatch import STAGES, Stopwatch, add_up
from minkgen.workflows.tile_sources import Samples

__all__ = ["ComputeWays", "compute_ways"]

Float32 = npt.NDArray[np.float32]

_DAY = datetime(2024, 1, 1, tzinfo=UTC)
_STEP = PRODUCTS["RATE"].step
# Nearly all slots of the day, so that what a snapshot takes as a whole is little beside its tiles;
# those of a folder come again and again.
_TRAINING_FRAMES = 94
# Made up on the small grid.
_SYNTHETIC_FRAMES = 24
# The paper's way takes tens of milliseconds a tile: each round draws a few anew.
_SAMPLE = 8
# Parts for the comparison of workers: enough that the last one does not decide.
_PARTS, _SAMPLES_OF_PART = 12, 128
_NO_OPS = 10_000
# What takes long, and is compared with nothing, is left out of later rounds.
_LONG_ROUNDS = 2


class _Drawn(NamedTuple):
    """A training sample: its tile, and what mix-up is seeded by."""

    tile: Float32
    identity: tuple[int, int, int]


class ComputeWays:
    """What is timed of compute, all on the same store.

    Attributes
    ----------
    rounds : int
        After so many, medians are good enough.
    samples : int
        Rows of all splits.
    spent : list of dict of str to float
        Of each run on one core: seconds by stage, and `other`.
    """

    rounds = 5

    def __init__(self, recipe: Recipe, folder: Path, stack: ExitStack) -> None:
        self._recipe, self._folder = recipe, folder
        self._one, self._two = (
            stack.enter_context(open_client(LocalProcesses(workers=workers))) for workers in (1, 2)
        )
        self._build = plan_from_composites(recipe, lambda: self._one, Silent())
        self.samples = sum(rows.num_rows for rows in self._build.plan.rows.values())
        self.spent: list[dict[str, float]] = []
        self._run = count()
        self._tasks = _small_parts(self._build)
        self._pool = stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn")))
        # Imports, kernels, and what libraries load late.
        self._on(self._one, self._tasks[:2])
        self._on(self._two, self._tasks[:4])
        self._paper(_tiles(self._build, self._build.plan.rows["train"].slice(0, 1)))
        self._one_core(())
        self.spent.clear()

    def one_round(
        self, number: int, random: np.random.Generator
    ) -> Iterator[tuple[str, Callable[[Any], object], Sequence[Any]]]:
        """Yield every quantity, what computes it, and on what; compared ones are neighbours.

        Parameters
        ----------
        number : int
            Of the round, from 0.
        random : numpy.random.Generator
        """
        training = self._build.plan.rows["train"]
        drawn = np.sort(random.permutation(training.num_rows)[:_SAMPLE])
        yield "compute/paper", self._paper, _tiles(self._build, training.take(drawn))
        yield "compute/one_core", self._one_core, range(self.samples)
        yield "compute/one_worker", functools.partial(self._on, self._one), self._tasks
        yield "compute/two_workers", functools.partial(self._on, self._two), self._tasks
        if number < _LONG_ROUNDS:
            yield "compute/tables", self._tables, range(self.samples)
            yield "compute/no_op", self._no_op, [self._tasks[0]] * _NO_OPS

    def _paper(self, drawn: Sequence[_Drawn]) -> None:
        """Compute γ of tiles that are at hand in a pool of one process, a file for each tile."""
        making = self._build.making
        measure = functools.partial(
            _measure_tile,
            folder=self._folder,
            recipe=self._recipe,
            thresholds=making.climate.thresholds.values,
            pixel_km=making.pixel_km,
        )
        list(self._pool.map(measure, range(len(drawn)), drawn))

    def _one_core(self, _: Sequence[int]) -> None:
        """Plan from the tables, compute all parts, publish: in this process, one after another."""
        began = time.perf_counter()
        build = plan_from_composites(self._recipe, None, Silent(), new_version=True)
        plan = dataclasses.replace(build.plan, name=f"run-{next(self._run)}")
        staging = create_staging(build.paths, plan, shared=True)
        parts = [compute_part(task) for task in build.tasks(staging, plan.parts())]
        publish(build.paths, plan.name)
        whole = time.perf_counter() - began
        seconds = add_up(part.seconds for part in parts)
        seconds["other"] = whole - sum(spent for name, spent in seconds.items() if name in STAGES)
        self.spent.append(seconds)

    def _tables(self, _: Sequence[int]) -> None:
        """Make tile table and climate, on one worker."""
        for table in chain(*map(self._build.paths.root.glob, ("tiles/*", "climate/*"))):
            table.unlink()
        plan_from_composites(self._recipe, lambda: self._one, Silent(), new_version=True)

    def _on(self, client: Client, tasks: Sequence[PartTask]) -> None:
        run_tasks(client, compute_part, tasks, Silent(), what="a part could not be computed")

    def _no_op(self, tasks: Sequence[PartTask]) -> None:
        run_tasks(self._two, do_nothing, tasks, Silent(), what="nothing could not be done")


@contextmanager
def compute_ways(folder: Path | None) -> Iterator[ComputeWays]:
    """Give the ways to compute a snapshot of a folder's composites, and a store while it takes.

    Parameters
    ----------
    folder : Path or None
        Composites in the archive's layout; synthetic rain without one.
    """
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="minkgen-bench-")))
        # One core: zarr gets no more threads than that.
        stack.enter_context(zarr.config.set({"threading.max_workers": 1}))
        frames = _day_of(_synthetic_frames() if folder is None else _frames_of(folder))
        recipe = _recipe(root / "store", frames)
        _write_store(StorePaths(root / "store"), frames)
        files = root / "files"
        files.mkdir()
        yield ComputeWays(recipe, files, stack)


def _frames_of(folder: Path) -> list[Composite]:
    """Return the drawn composites that lie on the grid of the first."""
    composites = [read_composite(path, key) for path, key in drawn_composites(folder)]
    return [each for each in composites if each.grid == composites[0].grid]


def _synthetic_frames() -> list[Composite]:
    return [
        Composite(
            quantity="RATE",
            era="NIMBUS",
            odim_version="2.4",
            grid=TEST_2KM,
            time=_DAY,
            window=(_DAY, _DAY),
            values=rain_field(TEST_2KM, _DAY + number * _STEP, seed=SEED),
            quality=None,
            source=SYNTHETIC_MARK,
            radars=(),
            not_finite=0,
        )
        for number in range(_SYNTHETIC_FRAMES)
    ]


def _day_of(frames: Sequence[Composite]) -> list[Composite]:
    """Return frames for the training split, and the wettest for each of the others."""
    wettest = max(frames, key=lambda frame: np.count_nonzero(frame.values > 0))
    return [*islice(cycle(frames), _TRAINING_FRAMES), wettest, wettest]


def _recipe(store: Path, frames: Sequence[Composite]) -> Recipe:
    """Return a recipe that trains on all frames but the last two."""
    ends = [_DAY + number * _STEP for number in (0, len(frames) - 2, len(frames) - 1, len(frames))]
    windows = [{"start": start, "end": end} for start, end in pairwise(ends)]
    never = 10**9
    return Recipe.model_validate(
        {
            "name": "bench",
            "store": store,
            "source": {"path": store},
            "grid": frames[0].grid.name,
            "period": {"start": ends[0], "end": ends[-1]},
            "splits": dict(zip(("train", "validation", "test"), windows, strict=True))
            | {"gap_hours": 0},
            # Frames of other times in this order: flags would mean nothing.
            "flags": {
                "ceiling": {"pixels": never},
                "spike": {"above_mm_h": never},
                "coverage_drop": {"share": 0.99},
                "repeated_value": {"pixels": never},
            },
            "cluster": {"workers": 1},
        }
    )


def _write_store(paths: StorePaths, frames: Sequence[Composite]) -> None:
    """Write frames as consecutive composites, with their tables, as an ingest leaves them."""
    times = [_DAY + number * _STEP for number in range(len(frames))]
    composites = create_composites(paths, frames[0].grid, (_DAY.year, _DAY.year))
    values = dict(zip(times, frames, strict=True))
    for shard in composites.shards_of(_DAY.date()):
        rates = np.full((len(shard), *composites.grid.shape), np.nan, np.float32)
        for place, time_ in enumerate(shard):
            if time_ in values:
                rates[place] = values[time_].values
        composites.write_shard(composites.product.variable, shard, rates)
    distinct = {id(frame): frame for frame in frames}
    described = {key: describe_frame(frame, f"{key}") for key, frame in distinct.items()}
    rows = [described[id(frame)] | {"time": at} for at, frame in values.items()]
    write_frames(paths, _DAY.date(), rows)
    slots = {at: Slot("ok", 1, f"{at:%FT%TZ}") for at in times}
    write_ledger(paths, DayLedger(_DAY.date(), slots))


def _small_parts(build: Build) -> list[PartTask]:
    """Return the training split in parts of like size, each of a snapshot of its own."""
    training, tasks = build.plan.rows["train"], []
    for number in range(_PARTS):
        first = number * _SAMPLES_OF_PART % max(1, training.num_rows - _SAMPLES_OF_PART)
        rows = {"train": training.slice(first, _SAMPLES_OF_PART)}
        plan = dataclasses.replace(build.plan, name=f"slice-{number}", rows=rows)
        tasks += build.tasks(create_staging(build.paths, plan), plan.parts())
    return tasks


def _tiles(build: Build, rows: pa.Table) -> list[_Drawn]:
    """Return training samples, cut."""
    blocks = build.making.tiles.blocks(Samples("train", 0, rows), Stopwatch())
    columns = minutes(rows).tolist(), rows["row"].to_pylist(), rows["column"].to_pylist()
    places = zip(*columns, strict=True)
    return [_Drawn(tile, at) for tile, at in zip(chain(*blocks), places, strict=True)]


def _measure_tile(
    number: int,
    drawn: _Drawn,
    *,
    folder: Path,
    recipe: Recipe,
    thresholds: Float32,
    pixel_km: float,
) -> None:
    mixed = mix_tile(drawn.tile, drawn.identity, recipe, pixel_km)
    for index, tile in enumerate((drawn.tile, mixed)):
        gamma = reference_gamma(tile, thresholds, pixel_km=pixel_km)
        np.save(folder / f"{number}-{index}.npy", np.concatenate([tile.ravel(), gamma.ravel()]))


def do_nothing(task: PartTask) -> None:
    """Stand for the task of a part, to time what surrounds it."""
