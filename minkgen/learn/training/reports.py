"""What a training tells its caller while it runs, and when it ends."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TrainingProgress", "TrainingSummary"]


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
        Of the batch, or the mean over the epoch; of an emulator the unweighted counting L_M.
    validation_loss : float or None
        What the best epoch is chosen by, at the end of an epoch; of an emulator the unweighted
        counting L_M of the validation split.
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
        What it was chosen by, on the validation split; of an emulator the unweighted counting L_M.
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
