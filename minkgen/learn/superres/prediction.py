"""Models asked for fields of rain, batch by batch on the best device, and how long that takes.

Shape suffixes: M members, B samples, H rows (north first), W columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from minkgen.errors import InputError, TrainingError
from minkgen.learn.prediction import best_device, on_best_device, timed
from minkgen.learn.superres.data import SceneBatch
from minkgen.learn.superres.model import Scene, SuperResolver

__all__ = ["Prediction", "SamplingSpeed", "hardware", "predict", "sampling_speed"]

FloatArray = npt.NDArray[np.float32]
IndexArray = npt.NDArray[np.intp]


class Prediction(NamedTuple):
    """What a model makes of a batch.

    Attributes
    ----------
    rows : array of int, shape (B,)
        Row numbers in the split.
    batch : SceneBatch
        As it was given.
    rain_rate : array of float32, shape (M, B, H, W)
        In mm/h, with rates below the drizzle threshold as the model gives them.
    seconds : float
        Spent on sampling alone, from scenes on the device to fields on the device.
    """

    rows: IndexArray
    batch: SceneBatch
    rain_rate: FloatArray
    seconds: float


def predict(
    model: SuperResolver,
    scenes: Iterable[tuple[IndexArray, SceneBatch]],
    *,
    members: int = 1,
    seed: int = 0,
) -> Iterator[Prediction]:
    """Yield what a model makes of each batch.

    Noise depends on (seed, first row of the batch, size of the batch) and is drawn on the CPU. So a
    batch is the same wherever it is computed, and whatever comes before it; but a generative model
    gives other members where the split is cut into other batches. What other models give does not
    depend on batches, up to the rounding of the device's kernels.

    Parameters
    ----------
    model : SuperResolver
        In evaluation mode; it is moved to a GPU, where torch sees one.
    scenes : iterable of (rows, SceneBatch)
        As `scenes_in_order` gives them.
    members : int, optional
        Fields of a generative model; of all others there is one.
    seed : int, optional
        Not negative.

    Yields
    ------
    Prediction

    Raises
    ------
    InputError
        If the model is in training mode, in which its fields would not be those that are meant.
    TrainingError
        If a field is not finite; γ would take such pixels as dry.
    """
    if model.training:
        raise InputError(
            "the model is in training mode, in which it gives other fields",
            hint="call model.eval() first",
        )
    model, device = on_best_device(model), best_device()
    members = members if model.is_generative else 1
    for rows, batch in scenes:
        scene = Scene(*(plane_BHW.to(device) for plane_BHW in batch.scene))
        call = partial(model.sample, scene, members=members, generator=_noise(seed, rows))
        with torch.no_grad():
            fields_MBHW, seconds = timed(call, device)
        _require_finite(fields_MBHW, rows)
        yield Prediction(rows, batch, fields_MBHW.float().cpu().numpy(), seconds)


def _noise(seed: int, rows: IndexArray) -> torch.Generator:
    """Return where the noise of a batch comes from."""
    state = np.random.SeedSequence((seed, int(rows[0]))).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))


def _require_finite(fields_MBHW: Tensor, rows: IndexArray) -> None:
    finite_B = fields_MBHW.isfinite().all(dim=3).all(dim=2).all(dim=0).cpu().numpy()
    if not finite_B.all():
        raise TrainingError(
            "the model gives fields that are not finite",
            where=f"row {rows[~finite_B][0]}",
            got=f"{np.count_nonzero(~finite_B)} of {len(rows)} samples",
            hint="look at the tile's rain rate, or train the model with a lower learning rate",
        )


@dataclass(frozen=True)
class SamplingSpeed:
    """How fast a model gives fields.

    Attributes
    ----------
    fields_per_second : float
        Members count, each, by the median batch.
    steps : int
        Of the sampler; 1 where a field is one pass.
    threads : int
        Of torch, on the CPU.
    device : str
    """

    fields_per_second: float
    steps: int
    threads: int
    device: str


def sampling_speed(
    steps: int, hardware: tuple[int, str], fields: Sequence[int], seconds: Sequence[float]
) -> SamplingSpeed:
    """Return the speed of a model whose batches were timed.

    Parameters
    ----------
    steps : int
        `sampling_steps` of the model.
    hardware : tuple
        What `hardware` returned where `predict` has used it.
    fields : sequence of int
        M x B of every batch.
    seconds : sequence of float
        Of every batch, as its `Prediction` has them.

    Returns
    -------
    SamplingSpeed
    """
    rates = [count / spent for count, spent in zip(fields, seconds, strict=True)]
    return SamplingSpeed(median(rates), steps, *hardware)


def hardware() -> tuple[int, str]:
    """Return on what `predict` runs here: torch's threads, and the device."""
    return torch.get_num_threads(), str(best_device())
