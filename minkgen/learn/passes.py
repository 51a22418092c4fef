"""Passes through a surrogate on arrays: for those who time it and know no torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from minkgen.learn.surrogate import Surrogate

__all__ = ["backward_pass", "forward_pass"]

Tiles = npt.NDArray[np.float32]


def forward_pass(surrogate: Surrogate) -> Callable[[Tiles], Tiles]:
    """Return what computes γ without keeping anything for a gradient.

    Parameters
    ----------
    surrogate : Surrogate

    Returns
    -------
    callable
        From rain rates (B, H, W) to γ (B, F, Q).
    """

    def compute(rain_rate: Tiles) -> Tiles:
        with torch.no_grad():
            gamma: Tiles = surrogate(torch.from_numpy(rain_rate)).numpy()
        return gamma

    return compute


def backward_pass(surrogate: Surrogate) -> Callable[[Tiles], Tiles]:
    """Return what computes γ and then the gradient of its sum.

    Parameters
    ----------
    surrogate : Surrogate

    Returns
    -------
    callable
        From rain rates (B, H, W) to their gradient (B, H, W).
    """

    def compute(rain_rate: Tiles) -> Tiles:
        leaf = torch.from_numpy(rain_rate).requires_grad_()
        gradient: Tiles = torch.autograd.grad(surrogate(leaf).sum(), leaf)[0].numpy()
        return gradient

    return compute
