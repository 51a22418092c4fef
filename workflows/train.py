"""Train: a published snapshot to an emulator in a run's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from minkgen.learn.checkpoints import run_identity
from minkgen.learn.data import wet_rows
from minkgen.learn.training import TrainingProgress, TrainingSummary, fit_emulator
from minkgen.recipe import Emulator, Recipe, digest
from minkgen.store.files import write_json
from minkgen.store.layout import StorePaths
from minkgen.store.snapshot import Snapshot, open_snapshot
from minkgen.workflows.progress import Progress, Silent

__all__ = ["TrainResult", "emulator_run", "train_emulator"]


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
    """

    run: Path
    snapshot: str
    summary: TrainingSummary


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


def train_emulator(recipe: Recipe, *, progress: Progress | None = None) -> TrainResult:
    """Train the emulator that a recipe describes on the store's current snapshot.

    An interrupted run is taken up after its last whole epoch; a finished one is returned as it is.

    Parameters
    ----------
    recipe : Recipe
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
    """
    snapshot = open_snapshot(recipe.store)
    for split in ("train", "validation"):
        wet_rows(snapshot, split)
    run = emulator_run(recipe.store, snapshot, recipe.emulator)
    if not (run / "recipe.json").exists():
        write_json(run / "recipe.json", recipe.model_dump(mode="json"), readable=True)
    reporter = _Reporter(progress or Silent())
    summary = fit_emulator(snapshot, recipe.emulator, run, progress=reporter)
    reporter.close()
    return TrainResult(run, snapshot.name, summary)


class _Reporter:
    """Turns the reports of the training loop into steps of one stage."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._total = 0
        self._done = 0
        self._validation = ""

    def __call__(self, report: TrainingProgress) -> None:
        if not self._total:
            self._total = (report.epochs - report.epoch + 1) * report.batches
            self._progress.stage("train emulator", self._total)
        if report.validation_loss is not None:
            self._validation = f", validation {report.validation_loss:.2f}"
        note = f"epoch {report.epoch}/{report.epochs}, L_M {report.loss:.2f}{self._validation}"
        self._advance(int(report.validation_loss is None), note)

    def _advance(self, steps: int, note: str) -> None:
        self._done += steps
        self._progress.advance(steps, note)

    def close(self) -> None:
        """Complete the stage when patience ended it before the last epoch."""
        if self._done < self._total:
            self._advance(self._total - self._done, "no more progress: stopped early")
