"""The whole way on synthetic rain: archive, store, snapshot, networks, scores."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from minkgen.grid import GRIDS, Grid
from minkgen.opera.synthetic import write_archive
from minkgen.recipe import Recipe
from minkgen.workflows.cluster import open_client, run_tasks
from minkgen.workflows.compute import ComputeResult, compute
from minkgen.workflows.evaluate import EvaluateResult, evaluate_emulator, evaluate_superres
from minkgen.workflows.ingest import IngestResult, ingest
from minkgen.workflows.progress import Progress
from minkgen.workflows.superres import train_superres
from minkgen.workflows.train import TrainResult, train_emulator

__all__ = ["DemoResult", "run_demo"]

_HOURS_PER_TASK = 3


@dataclass(frozen=True)
class DemoResult:
    """What each step of the demo returned."""

    ingest: IngestResult
    compute: ComputeResult
    train: TrainResult
    evaluate: EvaluateResult
    train_superres: TrainResult
    evaluate_superres: EvaluateResult


@dataclass(frozen=True)
class RainTask:
    """A few hours of synthetic composites."""

    root: Path
    start: datetime
    end: datetime
    grid: Grid
    seed: int

    def __str__(self) -> str:
        return f"{self.start:%FT%R} to {self.end:%FT%R}"


def run_demo(recipe: Recipe, archive: Path, progress: Progress) -> DemoResult:
    """Make rain up for a recipe's period and take it the whole way.

    Parameters
    ----------
    recipe : Recipe
    archive : Path
        The recipe's source folder, which receives the synthetic archive.
    progress : Progress

    Returns
    -------
    DemoResult
    """
    step = timedelta(hours=_HOURS_PER_TASK)
    period = recipe.period
    count = -(-(period.end - period.start) // step)
    tasks = [
        RainTask(
            archive,
            period.start + index * step,
            min(period.start + (index + 1) * step, period.end),
            GRIDS[recipe.grid],
            recipe.seed,
        )
        for index in range(count)
    ]
    progress.stage("make rain", count)
    with open_client(recipe.cluster) as client:
        run_tasks(client, make_rain, tasks, progress, what="synthetic rain could not be made")
    return DemoResult(
        ingest=ingest(recipe, progress),
        compute=compute(recipe, progress),
        train=train_emulator(recipe, progress=progress),
        # Without the analytical form, whose gradients take minutes.
        evaluate=evaluate_emulator(
            recipe, surrogates=("exact", "pcr", recipe.emulator.architecture), progress=progress
        ),
        train_superres=train_superres(recipe, progress=progress),
        evaluate_superres=evaluate_superres(recipe, progress=progress),
    )


def make_rain(task: RainTask) -> int:
    """Write the composites of one task; return their number."""
    written = write_archive(
        task.root, start=task.start, end=task.end, grid=task.grid, layout="nimbus", seed=task.seed
    )
    return len(written)
