"""What a training repeats: the optimiser step, the epoch, the validation.

Shape suffixes: B samples, F functionals, Q thresholds, H rows (north first), W columns.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric

from minkgen.errors import NotFiniteError
from minkgen.learn.checkpoints import write_tensors
from minkgen.learn.data import Batch, ShuffledTiles, TileReader
from minkgen.learn.emulators.network import input_gradient_norms, spectral_product
from minkgen.learn.losses import minkowski_terms
from minkgen.learn.training.ahead import read_ahead
from minkgen.learn.training.devices import sum_over_ranks
from minkgen.learn.training.reports import TrainingProgress
from minkgen.learn.training.signals import STOP_SIGNALS, StopSignals
from minkgen.learn.training.state import Run
from minkgen.learn.trust import error_percentile, squared_log_error
from minkgen.store.snapshot import Snapshot

__all__ = ["train_epoch", "validate"]

FloatArray = npt.NDArray[np.float64]


class _Step(NamedTuple):
    """What a step tells: mean terms (F,) over so many samples, and who asked to stop."""

    terms: FloatArray
    samples: int
    stop: signal.Signals | None


def train_epoch(
    fabric: Fabric,
    run: Run,
    training: ShuffledTiles,
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
    run.emulator.train()
    epoch, sums = run.epoch + 1, run.running
    waiting = perf_counter()
    with closing(read_ahead(training.epoch(epoch, done=sums.batches))) as batches:
        for batch in batches:
            began = perf_counter()
            number = sums.batches + 1
            _seed(run.settings.seed, epoch, number, fabric.global_rank)
            where = f"epoch {epoch}, batch {number}"
            step = _train_step(fabric, run, batch, signals, where=where, folder=folder)
            sums.batches = number
            sums.samples += step.samples
            sums.terms = (np.array(sums.terms) + step.terms * step.samples).tolist()
            loss = float(step.terms.sum())
            progress(TrainingProgress(epoch, run.settings.epochs, number, training.batches, loss))
            ended = perf_counter()
            sums.data_seconds += began - waiting
            sums.step_seconds += ended - began
            waiting = ended
            if step.stop is not None:
                return step.stop
    return None


def _seed(seed: int, epoch: int, batch: int, rank: int) -> None:
    """Let what is random in a step depend on these alone, so that resuming needs no more."""
    state = np.random.SeedSequence((seed, epoch, batch, rank)).generate_state(1, np.uint64)
    torch.manual_seed(int(state[0] >> np.uint64(1)))


def _train_step(
    fabric: Fabric, run: Run, batch: Batch, signals: StopSignals, *, where: str, folder: Path
) -> _Step:
    """Take one optimiser step on a batch, of which every process has a share."""
    rain_rate_BHW, gamma_BFQ = fabric.to_device(batch)
    rounding = run.settings.precision == "bf16-mixed"
    with torch.autocast(fabric.device.type, torch.bfloat16, enabled=rounding):
        predicted_BFQ = run.emulator(rain_rate_BHW)
    terms_F = minkowski_terms(predicted_BFQ, gamma_BFQ, torch.ones_like(gamma_BFQ[0, 0]))
    means, count = terms_F.detach().cpu().numpy().astype(np.float64), len(gamma_BFQ)
    asked = [signals.received is number for number in STOP_SIGNALS]
    # One sum tells every process the same: whether to go on, and how much its share weighs.
    shared = sum_over_ranks(fabric, np.array([*(means * count), count, *asked]))
    samples = int(shared[len(means)])
    # DDP takes the mean over processes; shares of a batch may differ by a sample.
    share = count * fabric.world_size / samples
    loss = run.weights(terms_F * share / gamma_BFQ.shape[2])
    if not (np.isfinite(shared).all() and torch.isfinite(loss)):
        raise _not_finite(fabric, batch, loss.item(), means, where=where, folder=folder)
    run.optimizer.zero_grad()
    fabric.backward(loss)
    run.optimizer.step()
    stop = next(
        (number for number, came in zip(STOP_SIGNALS, shared[-2:], strict=True) if came), None
    )
    return _Step(shared[: len(means)] / samples, samples, stop)


def _not_finite(
    fabric: Fabric, batch: Batch, loss: float, terms: FloatArray, *, where: str, folder: Path
) -> NotFiniteError:
    """Keep the batch for inspection; return the error that names it."""
    path = folder / f"not-finite-{fabric.global_rank}.safetensors"
    write_tensors(path, batch._asdict(), {"where": where})
    return NotFiniteError(
        "the loss is not finite",
        where=where,
        got=f"loss {loss}, terms {terms.tolist()}",
        expected="a finite loss; the weights are those of the batch before",
        hint=f"look at the batch in {path}, or lower emulator.learning_rate",
    )


@torch.no_grad()
def validate(
    fabric: Fabric, run: Run, validation: TileReader, snapshot: Snapshot
) -> dict[str, Any]:
    """Return the terms of L_M over the validation split, and how smooth the network is.

    Every process takes its share of the batches. All is computed in float32, as it is by those who
    use the weights.

    Returns
    -------
    dict
        `validation` (both forms of L_M), `error_p90` (what trust is calibrated by),
        `input_gradient` (of the first batch, in the process that has it), `spectral_product`,
        `validation_seconds`.
    """
    started = perf_counter()
    run.emulator.eval()
    # Not through DDP, which would wait for processes that have a batch less.
    emulator = run.emulator.module
    measures = {"counting": np.ones(len(snapshot.thresholds)), "measure": snapshot.measure}
    sums = {name: np.zeros(len(run.functionals)) for name in measures}
    errors = np.zeros(validation.samples)
    gradients: dict[str, float] = {}
    for number, batch in enumerate(validation.in_order(run.settings.batch_size)):
        if number % fabric.world_size != fabric.global_rank:
            continue
        rain_rate_BHW, gamma_BFQ = fabric.to_device(batch)
        if number == 0:
            norms_B = input_gradient_norms(emulator, rain_rate_BHW)
            median, high = torch.quantile(norms_B, norms_B.new_tensor([0.5, 0.99])).tolist()
            gradients = {"median": median, "p99": high}
        predicted_BFQ = emulator(rain_rate_BHW)
        first = number * run.settings.batch_size
        error_B = squared_log_error(predicted_BFQ, gamma_BFQ).cpu().numpy()
        errors[first : first + len(error_B)] = error_B
        for name, measure in measures.items():
            measure_Q = torch.as_tensor(measure, dtype=torch.float32, device=fabric.device)
            terms_F = minkowski_terms(predicted_BFQ, gamma_BFQ, measure_Q)
            sums[name] += terms_F.cpu().numpy() * len(gamma_BFQ)
    means = {
        name: sum_over_ranks(fabric, sums_F) / validation.samples for name, sums_F in sums.items()
    }
    return {
        "validation": {name: with_total(run, means_F) for name, means_F in means.items()},
        "error_p90": error_percentile(sum_over_ranks(fabric, errors)),
        "input_gradient": gradients,
        "spectral_product": spectral_product(emulator),
        "validation_seconds": perf_counter() - started,
    }


def named(run: Run, values_F: FloatArray) -> dict[str, float]:
    """Return values with the names of the functionals."""
    return {name: float(v) for name, v in zip(run.functionals, values_F, strict=True)}


def with_total(run: Run, terms_F: FloatArray) -> dict[str, float]:
    """Return terms with the names of the functionals, and L_M itself."""
    return {"total": float(terms_F.sum()), **named(run, terms_F)}
