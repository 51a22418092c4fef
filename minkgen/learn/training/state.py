"""Everything that changes while training: how it begins, what is kept, how it goes on."""

from __future__ import annotations

import json
import math
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from minkgen.errors import TrainingError
from minkgen.learn.checkpoints import (
    read_checkpoint,
    require_same,
    write_checkpoint,
    write_tensors,
)
from minkgen.learn.training.task import FloatArray, Task
from minkgen.store.files import write_bytes

__all__ = [
    "BEST",
    "LAST",
    "METRICS",
    "EpochSums",
    "Run",
    "begin",
    "training_budget",
    "training_finished",
]

BEST, LAST, METRICS = "best.safetensors", "last.pt", "metrics.jsonl"

# The learning rate is halved after a third of the patience, so that two halvings precede a stop.
PLATEAU_FACTOR = 0.5
PLATEAU_SHARE = 3


@dataclass
class EpochSums:
    """What is known of the running epoch.

    Attributes
    ----------
    terms : list of float, shape (T,)
        Sums over samples of the terms of the loss; empty before the first batch.
    batches, samples : int
        Done so far, over all processes.
    data_seconds, step_seconds : float
        Time spent on waiting for batches, and on the rest.
    gradient_norms : float
        Sum over batches of the norms before clipping.
    """

    terms: list[float] = field(default_factory=list)
    batches: int = 0
    samples: int = 0
    data_seconds: float = 0.0
    step_seconds: float = 0.0
    gradient_norms: float = 0.0

    @property
    def means(self) -> FloatArray:
        """Mean terms (T,) over the samples so far."""
        return np.array(self.terms) / self.samples

    def add(self, means_T: FloatArray, samples: int, gradient_norm: float) -> None:
        """Take a batch of so many samples."""
        sums = means_T * samples
        self.terms = (np.array(self.terms) + sums if self.batches else sums).tolist()
        self.batches += 1
        self.samples += samples
        self.gradient_norms += gradient_norm


@dataclass
class Run:
    """Everything that changes while training."""

    task: Task
    scheduler: ReduceLROnPlateau
    running: EpochSums = field(default_factory=EpochSums)
    best_epoch: int = 0
    best_loss: float = math.inf
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.history)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or patience has ended."""
        task, settings = self.task, self.task.settings
        since = max(self.best_epoch, task.patience_begins)
        return _finished(self.epoch, since, settings.epochs, settings.patience)

    def close_epoch(self, record: dict[str, Any]) -> None:
        """Take an epoch's record, and what follows from its score."""
        self.history.append(record)
        loss = self.task.score(record)
        self.scheduler.step(loss)
        if loss < self.best_loss:
            self.best_epoch, self.best_loss = self.epoch, loss
        self.running = EpochSums()

    def save(self, folder: Path, *, device: torch.device, processes: int) -> None:
        """Write all files; `last.pt` comes last, so that it vouches for the others."""
        task = self.task
        modules = {name: module.state_dict() for name, module in task.modules.items()}
        if self.best_epoch == self.epoch and self.running.batches == 0:
            best = {
                "identity": task.identity,
                **task.trained_with,
                "epoch": self.best_epoch,
                "loss": self.best_loss,
                **task.kept(self.history[-1]),
            }
            write_tensors(folder / BEST, next(iter(modules.values())), best)
        lines = [json.dumps(record, allow_nan=False) for record in self.history]
        write_bytes(folder / METRICS, "".join(f"{line}\n" for line in lines).encode())
        write_checkpoint(
            folder / LAST,
            {
                "identity": {**task.identity, **task.trained_with},
                **modules,
                **task.state(),
                "optimizer": task.optimizer.state_dict(),
                "scheduler": self.scheduler.state_dict(),
                "hardware": _hardware(device),
                "best_epoch": self.best_epoch,
                "best_loss": self.best_loss,
                "history": self.history,
                "running": asdict(self.running),
                "processes": processes,
            },
        )

    def resume(self, path: Path, *, processes: int) -> None:
        """Go on from a checkpoint.

        Raises
        ------
        TrainingError
            If it cannot be read, is of another run, or was written within an epoch that another
            number of processes shares in another way.
        """
        task = self.task
        checkpoint = read_checkpoint(path)
        require_same(checkpoint["identity"], {**task.identity, **task.trained_with}, where=path)
        for name, module in task.modules.items():
            module.load_state_dict(checkpoint[name])
        task.load_state(checkpoint)
        task.optimizer.load_state_dict(checkpoint["optimizer"])
        self.scheduler.load_state_dict(checkpoint["scheduler"])
        self.best_epoch, self.best_loss = checkpoint["best_epoch"], checkpoint["best_loss"]
        self.history = checkpoint["history"]
        self.running = EpochSums(**checkpoint["running"])
        if self.running.batches and checkpoint["processes"] != processes:
            raise TrainingError(
                "other processes have begun the epoch, which they share in another way",
                where=path,
                got=processes,
                expected=checkpoint["processes"],
                hint="go on with as many; after a whole epoch their number may change",
            )


def _finished(epoch: int, since: int, epochs: int, patience: int) -> bool:
    return epoch >= epochs or epoch - since >= patience


def begin(task: Task) -> Run:
    """Return a run before its first epoch."""
    patience = task.settings.patience // PLATEAU_SHARE
    scheduler = ReduceLROnPlateau(task.optimizer, factor=PLATEAU_FACTOR, patience=patience)
    return Run(task, scheduler)


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
        (interruptions left out) and `hardware` (of the process that wrote last); besides, where
        there is a geometric loss, `geometric_weight` in the best epoch.

    Raises
    ------
    TrainingError
        If the folder has no readable `last.pt`.
    """
    checkpoint = read_checkpoint(folder / LAST)
    history = checkpoint["history"]
    geometry = history[checkpoint["best_epoch"] - 1].get("geometry")
    return {
        "epochs": len(history),
        "best_epoch": checkpoint["best_epoch"],
        "tiles": history[-1]["samples"],
        "seconds": sum(record["seconds"] for record in history),
        "hardware": checkpoint["hardware"],
        **({"geometric_weight": geometry["weight"]} if geometry else {}),
    }


def training_finished(folder: Path) -> bool:
    """Return whether a run's folder holds a training that would not go on.

    Raises
    ------
    TrainingError
        If `last.pt` is there and cannot be read.
    """
    if not (folder / LAST).exists():
        return False
    checkpoint = read_checkpoint(folder / LAST)
    settings = checkpoint["identity"]["settings"]
    return _finished(
        len(checkpoint["history"]),
        max(checkpoint["best_epoch"], checkpoint.get("patience_begins", 0)),
        settings["epochs"],
        settings["patience"],
    )
