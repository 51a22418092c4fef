"""Modules on the best device; surrogates asked from NumPy, and how many tiles a second they take.

Shape suffixes: B samples, F functionals, Q thresholds, H rows (north first), W columns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from minkgen.errors import InputError
from minkgen.learn.surrogate import Surrogate

__all__ = [
    "Throughput",
    "best_device",
    "measure_throughput",
    "on_best_device",
    "predict",
    "tiles_tensor",
    "timed",
]

FloatArray = npt.NDArray[np.float32]
AnyModule = TypeVar("AnyModule", bound=nn.Module)
Result = TypeVar("Result")

# Timed calls of each kind, after one that is not timed; their median is reported.
REPEATS = 5


def best_device() -> torch.device:
    """Return a GPU, where torch sees one, and the CPU otherwise."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def on_best_device(module: AnyModule) -> AnyModule:
    """Move a network to a GPU, where torch sees one, and return it."""
    return module.to(best_device())


def tiles_tensor(surrogate: Surrogate, rain_rate: npt.NDArray[np.floating]) -> Tensor:
    """Return tiles as a float32 tensor where the surrogate lies.

    Raises
    ------
    InputError
        If the surrogate is in training mode, in which calling it would change it.
    """
    if surrogate.training:
        raise InputError(
            "the surrogate is in training mode, in which calling it changes it",
            hint="call surrogate.eval() first",
        )
    tiles = np.ascontiguousarray(rain_rate, np.float32)
    return torch.from_numpy(tiles).to(surrogate.thresholds.device)


def predict(surrogate: Surrogate, rain_rate: npt.NDArray[np.floating]) -> FloatArray:
    """Return γ of a batch of tiles, without gradients.

    Parameters
    ----------
    surrogate : Surrogate
        In evaluation mode.
    rain_rate : array (B, H, W)
        In mm/h, north first.

    Returns
    -------
    array (B, F, Q)
        In physical units.

    Raises
    ------
    InputError
        If the surrogate is in training mode.
    """
    with torch.no_grad():
        gamma_BFQ = surrogate(tiles_tensor(surrogate, rain_rate))
    predicted: FloatArray = gamma_BFQ.float().cpu().numpy()
    return predicted


@dataclass(frozen=True)
class Throughput:
    """How fast a surrogate is.

    Attributes
    ----------
    forward, forward_backward : float
        Tiles a second, by the median call; backward to the rain rate.
    batch : int
        Tiles of a call.
    threads : int
        Of torch, on the CPU.
    device : str
    """

    forward: float
    forward_backward: float
    batch: int
    threads: int
    device: str


def measure_throughput(surrogate: Surrogate, rain_rate: npt.NDArray[np.floating]) -> Throughput:
    """Time a surrogate on a batch of tiles.

    Parameters
    ----------
    surrogate : Surrogate
        In evaluation mode.
    rain_rate : array (B, H, W)
        In mm/h; real tiles, because an exact surrogate's time depends on them.

    Returns
    -------
    Throughput
    """
    tiles_BHW = tiles_tensor(surrogate, rain_rate)

    def forward() -> None:
        with torch.no_grad():
            surrogate(tiles_BHW)

    def forward_backward() -> None:
        leaf_BHW = tiles_BHW.clone().requires_grad_()
        torch.autograd.backward(surrogate(leaf_BHW).sum())

    return Throughput(
        forward=len(tiles_BHW) / _median_seconds(forward, tiles_BHW.device),
        forward_backward=len(tiles_BHW) / _median_seconds(forward_backward, tiles_BHW.device),
        batch=len(tiles_BHW),
        threads=torch.get_num_threads(),
        device=str(tiles_BHW.device),
    )


def _median_seconds(call: Callable[[], None], device: torch.device) -> float:
    return median([timed(call, device)[1] for _ in range(REPEATS + 1)][1:])


def timed(call: Callable[[], Result], device: torch.device) -> tuple[Result, float]:
    """Return a call's result, and the seconds until the device had done the work."""
    start = time.perf_counter()
    result = call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return result, time.perf_counter() - start
