"""Train: a published snapshot to emulators, each in a run's folder; what all trainings share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from minkgen.learn.checkpoints import run_identity
from minkgen.learn.data import wet_rows
from minkgen.learn.training import (
    TrainingProgress,
    TrainingSummary,
    fit_emulator,
    process_rank,
)
from minkgen.recipe import Emulator, Recipe, digest
from minkgen.store.files import write_json
from minkgen.store.layout import StorePaths
from minkgen.store.snapshot import Snapshot, open_snapshot
from minkgen.workflows.progress import Progress, Silent

__all__ = ["Reporter", "TrainResult", "emulator_run", "train_emulator", "train_seeds"]


@dataclass(frozen=True)
class TrainResult:
    """What a training left behind.

    Attributes
    ----------
    run : Path
        The run's folder: `best.safetensors`, `last.pt`, `metrics.jsonl`, `recipe.json`.
    snapshot : str
        Name and hash of the snapshot it was trained on.
    summary : TrainingSummary
        Epochs, the best of them and its validation loss, samples, seconds; `resumed_from` says
        how many epochs were there already.
    rank : int
        Which task of an srun this process is; 0 where there is one.
    """

    run: Path
    snapshot: str
    summary: TrainingSummary
    rank: int = 0


def emulator_run(store: Path, snapshot: Snapshot, settings: Emulator) -> Path:
    """Return the folder of the run that trains these settings on this snapshot.

    Parameters
    ----------
    store : Path
    snapshot : Snapshot
    settings : Emulator

    Returns
    -------
    Path
        The same snapshot and settings always have the same folder.
    """
    identity = digest(run_identity(snapshot, settings))
    return StorePaths(store.absolute()).runs / f"emulator-{identity[:8]}"


def train_seeds(
    recipe: Recipe, seeds: int, *, devices: int = 1, progress: Progress | None = None
) -> tuple[TrainResult, ...]:
    """Train the recipe's emulator with several seeds, one after the other.

    Parameters
    ----------
    recipe : Recipe
    seeds : int
        Runs with seed, seed + 1, ... of the recipe's emulator.
    devices, progress
        As for `train_emulator`, which also says what is raised.

    Returns
    -------
    tuple of TrainResult
    """
    first = recipe.emulator.seed
    recipes = [
        recipe.model_copy(update={"emulator": recipe.emulator.model_copy(update={"seed": seed})})
        for seed in range(first, first + seeds)
    ]
    return tuple(train_emulator(each, devices=devices, progress=progress) for each in recipes)


def train_emulator(
    recipe: Recipe, *, devices: int = 1, progress: Progress | None = None
) -> TrainResult:
    """Train the emulator that a recipe describes on the store's current snapshot.

    An interrupted run is taken up where its checkpoint was written: after the batch in which
    SIGUSR1 or SIGTERM came, after the last whole epoch otherwise. A finished one is returned as it
    is.

    Parameters
    ----------
    recipe : Recipe
    devices : int, optional
        GPUs of this machine to share every batch; where there is no GPU, processes.
    progress : Progress, optional

    Returns
    -------
    TrainResult

    Raises
    ------
    StoreError
        If the store has no snapshot.
    EmptySplitError
        If the training or the validation split has no wet tile; nothing is written.
    TrainingError
        If the loss is not finite; the last epoch's checkpoint stays.
    TrainingStopped
        If a signal ended it.
    """
    snapshot = open_snapshot(recipe.store)
    for split in ("train", "validation"):
        wet_rows(snapshot, split)
    run = emulator_run(recipe.store, snapshot, recipe.emulator)
    rank = process_rank()
    if rank == 0 and not (run / "recipe.json").exists():
        write_json(run / "recipe.json", recipe.model_dump(mode="json"), readable=True)
    reporter = Reporter("train emulator", "L_M", progress or Silent())
    summary = fit_emulator(snapshot, recipe.emulator, run, progress=reporter, devices=devices)
    reporter.close()
    return TrainResult(run, snapshot.name, summary, rank)


class Reporter:
    """Turns the reports of the training loop into steps of one stage.

    Parameters
    ----------
    stage : str
    loss : str
        What people are told that the loss is.
    progress : Progress
    """

    def __init__(self, stage: str, loss: str, progress: Progress) -> None:
        self._stage, self._loss, self._progress = stage, loss, progress
        self._total = 0
        self._done = 0
        self._validation = ""

    def __call__(self, report: TrainingProgress) -> None:
        """Take a report."""
        if not self._total:
            left = report.batches - report.batch + 1 if report.validation_loss is None else 0
            self._total = (report.epochs - report.epoch) * report.batches + left
            self._progress.stage(self._stage, self._total)
        if report.validation_loss is not None:
            self._validation = f", validation {report.validation_loss:.4g}"
        loss = f"{self._loss} {report.loss:.4g}{self._validation}"
        note = f"epoch {report.epoch}/{report.epochs}, {loss}"
        self._advance(int(report.validation_loss is None), note)

    def _advance(self, steps: int, note: str) -> None:
        self._done += steps
        self._progress.advance(steps, note)

    def close(self) -> None:
        """Complete the stage when patience ended it before the last epoch."""
        if self._done < self._total:
            self._advance(self._total - self._done, "no more progress: stopped early")
