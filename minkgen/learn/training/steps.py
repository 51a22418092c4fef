"""What a training repeats: the optimiser step, and the epoch.

Shape suffixes: T terms of a loss.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from minkgen.errors import NotFiniteError
from minkgen.learn.checkpoints import write_tensors
from minkgen.learn.training.ahead import read_ahead
from minkgen.learn.training.devices import sum_over_ranks
from minkgen.learn.training.reports import TrainingProgress
from minkgen.learn.training.signals import STOP_SIGNALS, StopSignals
from minkgen.learn.training.state import Run
from minkgen.learn.training.task import FloatArray, Moment, Task

__all__ = ["seed_batch", "train_epoch"]


class _Step(NamedTuple):
    """What a step tells.

    Attributes
    ----------
    terms : array (T,)
        Means over the samples of all processes.
    samples : int
    gradient_norm : float
        Before clipping; 0 where nothing is clipped.
    stop : Signals or None
        Who asked to stop, in whichever process.
    """

    terms: FloatArray
    samples: int
    gradient_norm: float
    stop: signal.Signals | None


def train_epoch(
    fabric: Fabric,
    run: Run,
    signals: StopSignals,
    progress: Callable[[TrainingProgress], None],
    folder: Path,
) -> signal.Signals | None:
    """Train on every sample once, or on those that are left of the running epoch.

    Returns
    -------
    Signals or None
        The signal that ended the epoch early, in whichever process it came.
    """
    task, sums = run.task, run.running
    task.train()
    epoch, batches = run.epoch + 1, task.training.batches
    waiting = perf_counter()
    with closing(read_ahead(task.training.epoch(epoch, done=sums.batches))) as reading:
        for batch in reading:
            began = perf_counter()
            moment = Moment(epoch, sums.batches + 1, batches)
            seed_batch(task.settings.seed, epoch, moment.batch, fabric.global_rank)
            step = _train_step(fabric, task, batch, signals, moment, folder)
            sums.add(step.terms, step.samples, step.gradient_norm)
            loss = task.headline(step.terms)
            progress(TrainingProgress(epoch, task.settings.epochs, moment.batch, batches, loss))
            ended = perf_counter()
            sums.data_seconds += began - waiting
            sums.step_seconds += ended - began
            waiting = ended
            if step.stop is not None:
                return step.stop
    return None


def seed_batch(seed: int, epoch: int, batch: int, rank: int) -> None:
    """Let what is random in a step depend on these alone, so that resuming needs no more."""
    state = np.random.SeedSequence((seed, epoch, batch, rank)).generate_state(1, np.uint64)
    torch.manual_seed(int(state[0] >> np.uint64(1)))


def _train_step(
    fabric: Fabric, task: Task, batch: Any, signals: StopSignals, moment: Moment, folder: Path
) -> _Step:
    """Take one optimiser step on a batch, of which every process has a share."""
    count = len(batch.gamma)
    terms_T = task.terms(fabric.to_device(batch), moment)
    means = terms_T.detach().cpu().numpy().astype(np.float64)
    asked = [signals.received is number for number in STOP_SIGNALS]
    # One sum tells every process the same: whether to go on, and how much its share weighs.
    shared = sum_over_ranks(fabric, np.array([*(means * count), count, *asked]))
    samples = int(shared[len(means)])
    # DDP takes the mean over processes; shares of a batch may differ by a sample.
    share = count * fabric.world_size / samples
    loss = task.loss(terms_T * share, moment)
    if not (np.isfinite(shared).all() and torch.isfinite(loss)):
        found = f"loss {loss.item()}, terms {means.tolist()}"
        raise _not_finite("loss", found, task, batch, moment, folder, fabric.global_rank)
    task.optimizer.zero_grad()
    fabric.backward(loss)
    norm = _clip(task)
    if not np.isfinite(norm):
        raise _not_finite(
            "gradient", f"norm {norm}", task, batch, moment, folder, fabric.global_rank
        )
    task.optimizer.step()
    stop = next(
        (number for number, came in zip(STOP_SIGNALS, shared[-2:], strict=True) if came), None
    )
    return _Step(shared[: len(means)] / samples, samples, norm, stop)


def _clip(task: Task) -> float:
    """Shorten the gradient to what the task allows; return its norm before."""
    if task.gradient_clip is None:
        return 0.0
    return float(torch.nn.utils.clip_grad_norm_(task.parameters, task.gradient_clip))


def _not_finite(
    what: str, found: str, task: Task, batch: Any, moment: Moment, folder: Path, rank: int
) -> NotFiniteError:
    """Keep the batch for inspection; return the error that names it."""
    path = folder / f"not-finite-{rank}.safetensors"
    write_tensors(path, _tensors(batch), {"where": str(moment)})
    return NotFiniteError(
        f"the {what} is not finite",
        where=str(moment),
        got=found,
        expected=f"a finite {what}; the weights are those of the batch before",
        hint=f"look at the batch in {path}, or lower {task.learning_rate_key}",
    )


def _tensors(batch: Any) -> dict[str, Tensor]:
    """Return the tensors of a named tuple, those of named tuples in it as well."""
    tensors: dict[str, Tensor] = {}
    for name, value in batch._asdict().items():
        tensors |= {name: value} if isinstance(value, Tensor) else _tensors(value)
    return tensors
