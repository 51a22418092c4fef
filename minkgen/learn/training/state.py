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
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from minkgen.errors import TrainingError
from minkgen.learn.checkpoints import (
    design_of,
    read_checkpoint,
    require_same,
    run_identity,
    write_checkpoint,
    write_tensors,
)
from minkgen.learn.data import TileReader
from minkgen.learn.emulators import EmulatorNetwork
from minkgen.learn.losses import FixedWeights, HomoscedasticWeights
from minkgen.recipe import Emulator
from minkgen.store.files import write_bytes
from minkgen.store.snapshot import Snapshot

__all__ = ["BEST", "LAST", "METRICS", "EpochSums", "Run", "begin", "training_budget"]

BEST, LAST, METRICS = "best.safetensors", "last.pt", "metrics.jsonl"

# Targets from which the network and the weights start. log1p γ deviates by up to 3 from its mean,
# which is therefore known to 0.03 or better.
CALIBRATION_SAMPLES = 8192
# The learning rate is halved after a third of the patience, so that two halvings precede a stop.
PLATEAU_FACTOR = 0.5
PLATEAU_SHARE = 3


@dataclass
class EpochSums:
    """What is known of the running epoch.

    Attributes
    ----------
    batches, samples : int
        Done so far, over all processes.
    terms : list of float, shape (F,)
        Sums over samples of the unweighted terms.
    data_seconds, step_seconds : float
        Time spent on waiting for batches, and on the rest.
    """

    terms: list[float]
    batches: int = 0
    samples: int = 0
    data_seconds: float = 0.0
    step_seconds: float = 0.0


@dataclass
class Run:
    """Everything that changes while training, and the settings that say when it ends."""

    settings: Emulator
    identity: dict[str, Any]
    functionals: tuple[str, ...]
    emulator: Any  # wrapped by Fabric, which is untyped
    weights: Any
    optimizer: Any
    scheduler: ReduceLROnPlateau
    running: EpochSums
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
        patience_is_over = self.epoch - self.best_epoch >= self.settings.patience
        return self.epoch >= self.settings.epochs or patience_is_over

    def close_epoch(self, record: dict[str, Any]) -> None:
        """Take an epoch's record, and what follows from its validation loss."""
        self.history.append(record)
        loss = record["validation"]["counting"]["total"]
        self.scheduler.step(loss)
        if loss < self.best_loss:
            self.best_epoch, self.best_loss = self.epoch, loss
        self.running = EpochSums([0.0] * len(self.functionals))

    def save(self, folder: Path, *, device: torch.device, processes: int) -> None:
        """Write all files; `last.pt` comes last, so that it vouches for the others."""
        emulator = self.emulator.state_dict()
        if self.best_epoch == self.epoch and self.running.batches == 0:
            best = {
                "identity": self.identity,
                "epoch": self.epoch,
                "loss": self.best_loss,
                "error_p90": self.history[-1]["error_p90"],
            }
            write_tensors(folder / BEST, emulator, best)
        lines = [json.dumps(record, allow_nan=False) for record in self.history]
        write_bytes(folder / METRICS, "".join(f"{line}\n" for line in lines).encode())
        write_checkpoint(
            folder / LAST,
            {
                "identity": self.identity,
                "emulator": emulator,
                "weights": self.weights.state_dict(),
                "optimizer": self.optimizer.state_dict(),
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
        checkpoint = read_checkpoint(path)
        require_same(checkpoint["identity"], self.identity, where=path)
        self.emulator.load_state_dict(checkpoint["emulator"])
        self.weights.load_state_dict(checkpoint["weights"])
        self.optimizer.load_state_dict(checkpoint["optimizer"])
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


def begin(fabric: Fabric, snapshot: Snapshot, settings: Emulator, reader: TileReader) -> Run:
    """Return a run before its first epoch, started from the climatology of the targets."""
    logs_SFQ = np.log1p(reader.gamma_sample(CALIBRATION_SAMPLES).astype(np.float64))
    climatology_FQ = logs_SFQ.mean(axis=0)
    deviation_F = np.abs(logs_SFQ - climatology_FQ).mean(axis=(0, 2))
    emulator = EmulatorNetwork(design_of(snapshot, settings), input_noise=settings.input_noise)
    emulator.heads.start_from(climatology_FQ)
    weights = _weights(settings, torch.as_tensor(deviation_F, dtype=torch.float32))
    wrapped, wrapped_weights = _on_device(fabric, emulator), _on_device(fabric, weights)
    optimizer = torch.optim.Adam(
        [*wrapped.parameters(), *wrapped_weights.parameters()],
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
    )
    scheduler = ReduceLROnPlateau(
        optimizer, factor=PLATEAU_FACTOR, patience=settings.patience // PLATEAU_SHARE
    )
    return Run(
        settings=settings,
        identity=run_identity(snapshot, settings),
        functionals=emulator.functionals,
        emulator=wrapped,
        weights=wrapped_weights,
        optimizer=fabric.setup_optimizers(optimizer),
        scheduler=scheduler,
        running=EpochSums([0.0] * len(emulator.functionals)),
    )


def _weights(settings: Emulator, initial_errors: Tensor) -> nn.Module:
    if settings.term_weights == "learned":
        return HomoscedasticWeights(initial_errors)
    return FixedWeights(torch.tensor(settings.term_weights))


def _on_device(fabric: Fabric, module: nn.Module) -> Any:
    """Return a module as Fabric trains it.

    Batch normalisation sees the whole batch where several GPUs share it. On CPUs torch has no such
    layer: there, each process normalises its own share, and the first one's averages are kept.
    """
    if not any(parameter.requires_grad for parameter in module.parameters()):
        return module.to(fabric.device)  # DDP refuses what has no gradients
    if fabric.world_size > 1 and fabric.device.type == "cuda":
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
    return fabric.setup_module(module)


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
