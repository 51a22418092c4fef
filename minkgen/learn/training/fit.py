"""The loop of a training: epochs until patience ends, a checkpoint after each and at a signal.

Resuming equals never having stopped, bit for bit on the CPU: the order of the samples depends on
(seed, epoch) only, noise on (seed, epoch, batch, process), and all else is in the checkpoint.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from minkgen.errors import InputError, NotFiniteError, TrainingStopped
from minkgen.learn.training.devices import process_count, training_fabric
from minkgen.learn.training.reports import TrainingProgress, TrainingSummary
from minkgen.learn.training.signals import StopSignals
from minkgen.learn.training.state import LAST, Run, begin
from minkgen.learn.training.steps import train_epoch
from minkgen.learn.training.task import LearningSettings, Task

__all__ = ["fit"]

MakeTask = Callable[[Fabric], Task]


def fit(
    make_task: MakeTask,
    settings: LearningSettings,
    folder: Path,
    *,
    section: str,
    progress: Callable[[TrainingProgress], None],
    devices: int = 1,
) -> TrainingSummary:
    """Train, or go on where an earlier process stopped.

    While it runs in the main thread, SIGUSR1 and SIGTERM end it after the running batch, with a
    checkpoint.

    Parameters
    ----------
    make_task : callable
        Makes what is trained, in each of the processes: can be pickled. Called after the random
        state has been set by the seed.
    settings : LearningSettings
        Those of the task; `batch_size` samples of all processes make one step.
    folder : Path
        Receives `last.pt` (everything), `best.safetensors` (the kept weights) and `metrics.jsonl`
        (one line per epoch) after every epoch.
    section : str
        Of the recipe, which errors name.
    progress : callable
        Called in the first process after every batch and every epoch.
    devices : int, optional
        GPUs of this machine to share every batch; where there is no GPU, processes.

    Returns
    -------
    TrainingSummary

    Raises
    ------
    InputError
        If `batch_size` is no multiple of the number of devices, or there are not so many.
    TrainingError
        If the loss is not finite (the last epoch's checkpoint stays, and the batch is saved), or
        the folder holds a checkpoint of another run.
    TrainingStopped
        If a signal ended it.
    """
    processes = process_count(devices)
    if settings.batch_size % processes:
        raise InputError(
            "a batch cannot be shared evenly",
            where=f"{section}.batch_size",
            got=f"{settings.batch_size} samples for {processes} processes",
            expected="a multiple of the number of processes",
        )
    arguments = (make_task, settings.seed, folder)
    with training_fabric(devices, _follow, arguments) as fabric:
        return _fit(fabric, *arguments, progress if fabric.is_global_zero else _ignore)


def _follow(fabric: Fabric, make_task: MakeTask, seed: int, folder: Path) -> None:
    """Do a companion's share of the training."""
    _fit(fabric, make_task, seed, folder, _ignore)


def _ignore(_: TrainingProgress) -> None:
    pass


def _fit(
    fabric: Fabric,
    make_task: MakeTask,
    seed: int,
    folder: Path,
    progress: Callable[[TrainingProgress], None],
) -> TrainingSummary:
    with _own_random_state(fabric.device), StopSignals() as signals:
        torch.manual_seed(seed)
        task = make_task(fabric)
        run = begin(task)
        if (folder / LAST).exists():
            run.resume(folder / LAST, processes=fabric.world_size)
        resumed_from = run.epoch
        while not run.finished:
            stop = train_epoch(fabric, run, signals, progress, folder)
            loss = task.headline(run.running.means)
            if stop is None:
                run.close_epoch(_record(run, task.validate()))
            if fabric.is_global_zero:
                run.save(folder, device=fabric.device, processes=fabric.world_size)
            if stop is not None:
                raise _stopped(run, stop, folder)
            progress(_epoch_progress(run, loss))
    return TrainingSummary(
        epochs=run.epoch,
        best_epoch=run.best_epoch,
        best_loss=run.best_loss,
        samples=task.training.samples,
        seconds=sum(record["seconds"] for record in run.history),
        resumed_from=resumed_from,
    )


@contextmanager
def _own_random_state(device: torch.device) -> Iterator[None]:
    """Leave the caller's random state as it was."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def _record(run: Run, measured: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of an epoch, which has been measured on the validation split."""
    task, sums, epoch = run.task, run.running, run.epoch + 1
    record = {
        "epoch": epoch,
        "samples": task.training.samples,
        "learning_rate": task.optimizer.param_groups[0]["lr"],
        **task.training_record(sums.means, epoch),
        "data_seconds": sums.data_seconds,
        "step_seconds": sums.step_seconds,
        **measured,
        "seconds": sums.data_seconds + sums.step_seconds + measured["validation_seconds"],
    }
    if task.gradient_clip is not None:
        record["gradient_norm"] = sums.gradient_norms / sums.batches
    score = task.score(record)
    if not math.isfinite(score):
        raise NotFiniteError("the validation loss is not finite", where=f"epoch {epoch}", got=score)
    return record


def _epoch_progress(run: Run, loss: float) -> TrainingProgress:
    task, batches = run.task, run.task.training.batches
    score = task.score(run.history[-1])
    return TrainingProgress(run.epoch, task.settings.epochs, batches, batches, loss, score)


def _stopped(run: Run, stop: signal.Signals, folder: Path) -> TrainingStopped:
    error = TrainingStopped(
        f"{stop.name} has stopped the training",
        where=folder / LAST,
        got=f"{run.epoch} epochs and {run.running.batches} batches are done and kept",
        hint="run the same command again: it goes on with the next batch",
    )
    error.number = stop
    return error
