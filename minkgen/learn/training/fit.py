"""The loop of a training: epochs until patience ends, a checkpoint after each and at a signal.

The objective is the Minkowski image loss in the counting measure, its three terms weighted by
learned scales (`HomoscedasticWeights`) or by those of the recipe. The network that is kept is the
one with the least unweighted counting loss on the validation split. Resuming equals never having
stopped, bit for bit on the CPU: the order of the tiles depends on (seed, epoch) only, the noise on
(seed, epoch, batch, process), and all else is in the checkpoint.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from minkgen.errors import InputError, NotFiniteError, TrainingStopped
from minkgen.learn.checkpoints import design_of
from minkgen.learn.data import ShuffledTiles, TileReader, reader_on
from minkgen.learn.training.devices import process_count, training_fabric
from minkgen.learn.training.reports import TrainingProgress, TrainingSummary
from minkgen.learn.training.signals import StopSignals
from minkgen.learn.training.state import LAST, Run, begin
from minkgen.learn.training.steps import named, train_epoch, validate, with_total
from minkgen.recipe import Emulator
from minkgen.store.snapshot import Snapshot

__all__ = ["fit_emulator"]


def fit_emulator(
    snapshot: Snapshot,
    settings: Emulator,
    folder: Path,
    *,
    progress: Callable[[TrainingProgress], None],
    devices: int = 1,
) -> TrainingSummary:
    """Train an emulator, or go on where an earlier process stopped.

    While it runs in the main thread, SIGUSR1 and SIGTERM end it after the running batch, with a
    checkpoint.

    Parameters
    ----------
    snapshot : Snapshot
        Splits `train` and `validation` are used.
    settings : Emulator
        The recipe's section; `batch_size` samples of all processes make one step.
    folder : Path
        Receives `last.pt` (everything), `best.safetensors` (the kept weights) and `metrics.jsonl`
        (one line per epoch) after every epoch.
    progress : callable
        Called in the first process after every batch and every epoch.
    devices : int, optional
        GPUs of this machine to share every batch; where there is no GPU, processes.

    Returns
    -------
    TrainingSummary

    Raises
    ------
    EmptySplitError
        If a split has no wet tile; nothing is written.
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
            where="emulator.batch_size",
            got=f"{settings.batch_size} samples for {processes} processes",
            expected="a multiple of the number of processes",
        )
    arguments = (snapshot, settings, folder)
    with training_fabric(devices, _follow, arguments) as fabric:
        return _fit(fabric, *arguments, progress if fabric.is_global_zero else _ignore)


def _follow(fabric: Fabric, snapshot: Snapshot, settings: Emulator, folder: Path) -> None:
    """Do a companion's share of the training."""
    _fit(fabric, snapshot, settings, folder, _ignore)


def _ignore(_: TrainingProgress) -> None:
    pass


def _fit(
    fabric: Fabric,
    snapshot: Snapshot,
    settings: Emulator,
    folder: Path,
    progress: Callable[[TrainingProgress], None],
) -> TrainingSummary:
    with _own_random_state(fabric.device), StopSignals() as signals:
        torch.manual_seed(settings.seed)
        training, validation = _data(fabric, snapshot, settings)
        run = begin(fabric, snapshot, settings, training.reader)
        if (folder / LAST).exists():
            run.resume(folder / LAST, processes=fabric.world_size)
        resumed_from = run.epoch
        while not run.finished:
            stop = train_epoch(fabric, run, training, signals, progress, folder)
            if stop is None:
                measured = validate(fabric, run, validation, snapshot)
                run.close_epoch(_record(run, training, measured))
            if fabric.is_global_zero:
                run.save(folder, device=fabric.device, processes=fabric.world_size)
            if stop is not None:
                raise _stopped(run, stop, folder)
            progress(_epoch_progress(run, training))
    return TrainingSummary(
        epochs=run.epoch,
        best_epoch=run.best_epoch,
        best_loss=run.best_loss,
        samples=training.reader.samples,
        seconds=sum(record["seconds"] for record in run.history),
        resumed_from=resumed_from,
    )


def _data(
    fabric: Fabric, snapshot: Snapshot, settings: Emulator
) -> tuple[ShuffledTiles, TileReader]:
    """Return this process's share of the training split, and the validation split."""
    functionals = design_of(snapshot, settings).functionals
    reader = reader_on(
        fabric.device,
        snapshot,
        "train",
        functionals,
        mixup=settings.mixup,
        max_tiles=settings.max_tiles,
    )
    training = ShuffledTiles(
        reader,
        batch_size=settings.batch_size // fabric.world_size,
        seed=settings.seed,
        rank=fabric.global_rank,
        ranks=fabric.world_size,
    )
    return training, reader_on(fabric.device, snapshot, "validation", functionals)


@contextmanager
def _own_random_state(device: torch.device) -> Iterator[None]:
    """Leave the caller's random state as it was."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def _record(run: Run, training: ShuffledTiles, measured: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of an epoch, which has been measured on the validation split."""
    sums, epoch = run.running, run.epoch + 1
    loss = measured["validation"]["counting"]["total"]
    if not math.isfinite(loss):
        raise NotFiniteError("the validation loss is not finite", where=f"epoch {epoch}", got=loss)
    return {
        "epoch": epoch,
        "samples": training.reader.samples,
        "learning_rate": run.optimizer.param_groups[0]["lr"],
        "weights": named(run, run.weights.weights.detach().cpu().numpy()),
        "train": with_total(run, np.array(sums.terms) / sums.samples),
        "data_seconds": sums.data_seconds,
        "step_seconds": sums.step_seconds,
        **measured,
        "seconds": sums.data_seconds + sums.step_seconds + measured["validation_seconds"],
    }


def _epoch_progress(run: Run, training: ShuffledTiles) -> TrainingProgress:
    record = run.history[-1]
    return TrainingProgress(
        run.epoch,
        run.settings.epochs,
        training.batches,
        training.batches,
        record["train"]["total"],
        record["validation"]["counting"]["total"],
    )


def _stopped(run: Run, stop: signal.Signals, folder: Path) -> TrainingStopped:
    error = TrainingStopped(
        f"{stop.name} has stopped the training",
        where=folder / LAST,
        got=f"{run.epoch} epochs and {run.running.batches} batches are done and kept",
        hint="run the same command again: it goes on with the next batch",
    )
    error.number = stop
    return error
