"""Training of an emulator: one readable loop, stopped and resumed at any epoch.

The objective is the Minkowski image loss in the counting measure, its three terms weighted by
learned scales (`HomoscedasticWeights`). The network that is kept is the one with the least
unweighted counting loss on the validation split. Resuming equals never having stopped, bit for bit
on the CPU: the order of the tiles depends on (seed, epoch) only, and all else is in the checkpoint.
"""

from __future__ import annotations

import json
import math
import platform
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from minkgen.errors import TrainingError
from minkgen.learn.checkpoints import (
    design_of,
    read_checkpoint,
    require_same,
    run_identity,
    write_checkpoint,
)
from minkgen.learn.data import Batch, ShuffledTiles, TileReader
from minkgen.learn.emulators import ConstrainedEmulator
from minkgen.learn.losses import HomoscedasticWeights, minkowski_terms
from minkgen.recipe import Emulator
from minkgen.store.files import write_bytes
from minkgen.store.snapshot import Snapshot

__all__ = [
    "BEST",
    "LAST",
    "METRICS",
    "TrainingProgress",
    "TrainingSummary",
    "fit_emulator",
    "training_budget",
]

BEST, LAST, METRICS = "best.pt", "last.pt", "metrics.jsonl"

# Targets from which the network and the weights start. log1p γ deviates by up to 3 from its mean,
# which is therefore known to 0.03 or better.
CALIBRATION_SAMPLES = 8192
# The learning rate is halved after a third of the patience, so that two halvings precede a stop.
PLATEAU_FACTOR = 0.5
PLATEAU_SHARE = 3


@dataclass(frozen=True)
class TrainingProgress:
    """Where a training stands after a batch, or (`validation_loss` given) after an epoch.

    Parameters
    ----------
    epoch, epochs : int
        Number of the epoch, from 1, and how many there are at most.
    batch, batches : int
        Number of the batch, from 1, and how many an epoch has.
    loss : float
        Unweighted counting L_M of the batch, or the mean over the epoch.
    validation_loss : float or None
        Unweighted counting L_M of the validation split at the end of an epoch.
    """

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    validation_loss: float | None = None


@dataclass(frozen=True)
class TrainingSummary:
    """How a training ended.

    Parameters
    ----------
    epochs, best_epoch : int
        Epochs trained, and the one whose weights are kept.
    best_loss : float
        Its unweighted counting L_M on the validation split.
    samples : int
        Samples of an epoch, mixed tiles included.
    seconds : float
        Time in all epochs, interruptions left out.
    resumed_from : int
        Epochs that an earlier process had done; `epochs` if it had finished.
    """

    epochs: int
    best_epoch: int
    best_loss: float
    samples: int
    seconds: float
    resumed_from: int


@dataclass
class _Run:
    """Everything that changes while training, and the settings that say when it ends."""

    settings: Emulator
    identity: dict[str, Any]
    emulator: Any  # wrapped by Fabric, which is untyped
    weights: Any
    optimizer: Any
    scheduler: ReduceLROnPlateau
    best_epoch: int = 0
    best_loss: float = math.inf
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.history)

    @property
    def finished(self) -> bool:
        patience_is_over = self.epoch - self.best_epoch >= self.settings.patience
        return self.epoch >= self.settings.epochs or patience_is_over


def fit_emulator(
    snapshot: Snapshot,
    settings: Emulator,
    folder: Path,
    *,
    progress: Callable[[TrainingProgress], None],
) -> TrainingSummary:
    """Train an emulator, or go on where an earlier process stopped.

    Parameters
    ----------
    snapshot : Snapshot
        Splits `train` and `validation` are used.
    settings : Emulator
        The recipe's section.
    folder : Path
        Receives `last.pt` (everything), `best.pt` (the kept weights) and `metrics.jsonl` (one
        line per epoch) after every epoch.
    progress : callable
        Called after every batch and every epoch.

    Returns
    -------
    TrainingSummary

    Raises
    ------
    EmptySplitError
        If a split has no wet tile; nothing is written.
    TrainingError
        If the loss is not finite (the last epoch's checkpoint stays), or the folder holds a
        checkpoint of another run.
    """
    fabric = _one_device()
    functionals = ConstrainedEmulator.functionals
    reader = TileReader(
        snapshot, "train", functionals, mixup=settings.mixup, max_tiles=settings.max_tiles
    )
    training = ShuffledTiles(reader, batch_size=settings.batch_size, seed=settings.seed)
    validation = TileReader(snapshot, "validation", functionals)
    with _own_random_state(fabric.device):
        torch.manual_seed(settings.seed)
        run = _start(fabric, snapshot, settings, reader)
        if (folder / LAST).exists():
            _resume(run, fabric.device, folder / LAST)
        resumed_from = run.epoch
        while not run.finished:
            record = _train_epoch(fabric, run, training, progress)
            record |= _validate(fabric, run, validation, snapshot)
            _close_epoch(run, record)
            _save(run, fabric.device, folder)
            progress(_epoch_progress(run, training))
    return TrainingSummary(
        epochs=run.epoch,
        best_epoch=run.best_epoch,
        best_loss=run.best_loss,
        samples=reader.samples,
        seconds=sum(record["seconds"] for record in run.history),
        resumed_from=resumed_from,
    )


def _one_device() -> Fabric:
    """Return Fabric on the best device that is there."""
    with warnings.catch_warnings():
        # On a login node it asks whether `srun` was forgotten.
        warnings.filterwarnings("ignore", "The `srun` command is available", UserWarning)
        return Fabric(accelerator="auto", devices=1)


@contextmanager
def _own_random_state(device: torch.device) -> Iterator[None]:
    """Leave the caller's random state as it was."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def _start(fabric: Fabric, snapshot: Snapshot, settings: Emulator, reader: TileReader) -> _Run:
    """Return a run before its first epoch, started from the climatology of the targets."""
    logs_SFQ = np.log1p(reader.gamma_sample(CALIBRATION_SAMPLES).astype(np.float64))
    climatology_FQ = logs_SFQ.mean(axis=0)
    deviation_F = np.abs(logs_SFQ - climatology_FQ).mean(axis=(0, 2))
    emulator = ConstrainedEmulator(design_of(snapshot, settings))
    emulator.start_from(climatology_FQ)
    weights = HomoscedasticWeights(torch.as_tensor(deviation_F, dtype=torch.float32))
    wrapped, wrapped_weights = fabric.setup_module(emulator), fabric.setup_module(weights)
    optimizer = torch.optim.Adam(
        [*wrapped.parameters(), *wrapped_weights.parameters()],
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
    )
    scheduler = ReduceLROnPlateau(
        optimizer, factor=PLATEAU_FACTOR, patience=settings.patience // PLATEAU_SHARE
    )
    return _Run(
        settings=settings,
        identity=run_identity(snapshot, settings),
        emulator=wrapped,
        weights=wrapped_weights,
        optimizer=fabric.setup_optimizers(optimizer),
        scheduler=scheduler,
    )


def _train_epoch(
    fabric: Fabric,
    run: _Run,
    training: ShuffledTiles,
    progress: Callable[[TrainingProgress], None],
) -> dict[str, Any]:
    """Train on every sample once; return the epoch's record."""
    run.emulator.train()
    epoch, settings = run.epoch + 1, run.settings
    learning_rate = run.optimizer.param_groups[0]["lr"]
    sums_F = np.zeros(len(ConstrainedEmulator.functionals))
    data_seconds, started = 0.0, perf_counter()
    waiting = started
    for number, batch in enumerate(training.epoch(epoch), 1):
        data_seconds += perf_counter() - waiting
        terms_F = _train_step(fabric, run, batch, where=f"epoch {epoch}, batch {number}")
        sums_F += terms_F * len(batch.gamma)
        progress(
            TrainingProgress(epoch, settings.epochs, number, training.batches, float(terms_F.sum()))
        )
        waiting = perf_counter()
    seconds = perf_counter() - started
    return {
        "epoch": epoch,
        "samples": training.reader.samples,
        "learning_rate": learning_rate,
        "weights": _named(run.weights.weights.detach().cpu().numpy()),
        "train": _with_total(sums_F / training.reader.samples),
        "data_seconds": data_seconds,
        "step_seconds": seconds - data_seconds,
    }


def _train_step(
    fabric: Fabric, run: _Run, batch: Batch, *, where: str
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Take one optimiser step; return the unweighted counting terms of the batch."""
    rain_rate_BHW, gamma_BFQ = fabric.to_device(batch)
    terms_F = minkowski_terms(
        run.emulator(rain_rate_BHW), gamma_BFQ, torch.ones_like(gamma_BFQ[0, 0])
    )
    loss = run.weights(terms_F / gamma_BFQ.shape[2])
    if not torch.isfinite(loss):
        raise TrainingError(
            "the loss is not finite",
            where=where,
            got=f"loss {loss.item()}, terms {terms_F.tolist()}",
            expected="a finite loss; the weights are those of the batch before",
            hint="lower emulator.learning_rate; finished epochs are kept",
        )
    run.optimizer.zero_grad()
    fabric.backward(loss)
    run.optimizer.step()
    return terms_F.detach().cpu().numpy().astype(np.float64)


@torch.no_grad()
def _validate(
    fabric: Fabric, run: _Run, validation: TileReader, snapshot: Snapshot
) -> dict[str, Any]:
    """Return both forms of L_M over the validation split."""
    run.emulator.eval()
    started = perf_counter()
    measures = {"counting": np.ones(len(snapshot.thresholds)), "measure": snapshot.measure}
    sums = {name: np.zeros(len(ConstrainedEmulator.functionals)) for name in measures}
    for batch in validation.in_order(run.settings.batch_size):
        rain_rate_BHW, gamma_BFQ = fabric.to_device(batch)
        predicted_BFQ = run.emulator(rain_rate_BHW)
        for name, measure in measures.items():
            measure_Q = torch.as_tensor(measure, dtype=torch.float32, device=fabric.device)
            terms_F = minkowski_terms(predicted_BFQ, gamma_BFQ, measure_Q)
            sums[name] += terms_F.cpu().numpy() * len(gamma_BFQ)
    return {
        "validation": {
            name: _with_total(sums_F / validation.samples) for name, sums_F in sums.items()
        },
        "validation_seconds": perf_counter() - started,
    }


def _named(values_F: Any) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in zip(ConstrainedEmulator.functionals, values_F, strict=True)
    }


def _with_total(terms_F: Any) -> dict[str, float]:
    return {"total": float(terms_F.sum()), **_named(terms_F)}


def _close_epoch(run: _Run, record: dict[str, Any]) -> None:
    loss = record["validation"]["counting"]["total"]
    if not math.isfinite(loss):
        raise TrainingError(
            "the validation loss is not finite", where=f"epoch {record['epoch']}", got=loss
        )
    seconds = record["data_seconds"] + record["step_seconds"] + record["validation_seconds"]
    run.history.append({**record, "seconds": seconds})
    run.scheduler.step(loss)
    if loss < run.best_loss:
        run.best_epoch, run.best_loss = run.epoch, loss


def _epoch_progress(run: _Run, training: ShuffledTiles) -> TrainingProgress:
    record = run.history[-1]
    return TrainingProgress(
        run.epoch,
        run.settings.epochs,
        training.batches,
        training.batches,
        record["train"]["total"],
        record["validation"]["counting"]["total"],
    )


def _save(run: _Run, device: torch.device, folder: Path) -> None:
    """Write the epoch's files; `last.pt` comes last, so that it vouches for the others."""
    emulator = run.emulator.state_dict()
    if run.best_epoch == run.epoch:
        best = {"identity": run.identity, "emulator": emulator, "epoch": run.epoch}
        write_checkpoint(folder / BEST, {**best, "loss": run.best_loss})
    lines = [json.dumps(record, allow_nan=False) for record in run.history]
    write_bytes(folder / METRICS, "".join(f"{line}\n" for line in lines).encode())
    write_checkpoint(
        folder / LAST,
        {
            "identity": run.identity,
            "emulator": emulator,
            "weights": run.weights.state_dict(),
            "optimizer": run.optimizer.state_dict(),
            "scheduler": run.scheduler.state_dict(),
            "random": _random_states(device),
            "hardware": _hardware(device),
            "best_epoch": run.best_epoch,
            "best_loss": run.best_loss,
            "history": run.history,
        },
    )


def _resume(run: _Run, device: torch.device, path: Path) -> None:
    checkpoint = read_checkpoint(path)
    require_same(checkpoint["identity"], run.identity, where=path)
    run.emulator.load_state_dict(checkpoint["emulator"])
    run.weights.load_state_dict(checkpoint["weights"])
    run.optimizer.load_state_dict(checkpoint["optimizer"])
    run.scheduler.load_state_dict(checkpoint["scheduler"])
    run.best_epoch, run.best_loss = checkpoint["best_epoch"], checkpoint["best_loss"]
    run.history = checkpoint["history"]
    torch.set_rng_state(checkpoint["random"]["cpu"])
    if device.type == "cuda" and "cuda" in checkpoint["random"]:
        torch.cuda.set_rng_state(checkpoint["random"]["cuda"], device)


def _hardware(device: torch.device) -> str:
    """Return on what the training runs, without naming the host."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads, capability = torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()
    return (
        f"{threads} thread{'' if threads == 1 else 's'} of a {platform.machine()} CPU, {capability}"
    )


def training_budget(folder: Path) -> dict[str, Any]:
    """Return what a run has spent so far, as plain values.

    Parameters
    ----------
    folder : Path
        The run's folder.

    Returns
    -------
    dict
        `epochs`, `best_epoch`, `tiles` (samples of an epoch, mixed ones included), `seconds`
        (interruptions left out) and `hardware` (of the process that wrote last).

    Raises
    ------
    TrainingError
        If the folder has no readable `last.pt`.
    """
    checkpoint = read_checkpoint(folder / LAST)
    history = checkpoint["history"]
    return {
        "epochs": len(history),
        "best_epoch": checkpoint["best_epoch"],
        "tiles": history[-1]["samples"],
        "seconds": sum(record["seconds"] for record in history),
        "hardware": checkpoint["hardware"],
    }


def _random_states(device: torch.device) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states
