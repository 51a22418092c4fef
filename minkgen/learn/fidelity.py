"""Gradients of surrogates, as NumPy arrays: along directions, and where a tile is noticed.

Shape suffixes: B samples, K directions, F functionals, Q thresholds, H rows, W columns.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from minkgen.learn.losses import signed_log1p
from minkgen.learn.prediction import tiles_tensor
from minkgen.learn.surrogate import Surrogate

__all__ = ["attribution", "directional_derivatives"]

Float64Array = npt.NDArray[np.float64]


def directional_derivatives(
    surrogate: Surrogate,
    rain_rate: npt.NDArray[np.floating],
    directions: npt.NDArray[np.floating],
) -> Float64Array:
    """Return <∇γ̂, v> for every output of a surrogate and every direction v.

    The gradient is the one that training uses: one backward pass for each output. (Forward
    differentiation would need one pass for each direction, but torch 2.13 cannot take group
    normalisation forward, and every function of our own would need a second derivative rule.)

    Parameters
    ----------
    surrogate : Surrogate
        In evaluation mode; it must treat samples independently of each other.
    rain_rate : array (B, H, W)
        In mm/h.
    directions : array (B, K, H, W)
        In mm/h.

    Returns
    -------
    array (B, K, F, Q)
        Change of γ̂ in physical units for a step of 1 along v.
    """
    tiles_BHW = tiles_tensor(surrogate, rain_rate).clone().requires_grad_()
    directions_BKHW = torch.as_tensor(directions, dtype=torch.float64, device=tiles_BHW.device)
    gamma_BFQ = surrogate(tiles_BHW)
    along_BKFQ = np.empty((*directions.shape[:2], *gamma_BFQ.shape[1:]))
    for f in range(gamma_BFQ.shape[1]):
        for q in range(gamma_BFQ.shape[2]):
            (gradient_BHW,) = torch.autograd.grad(
                gamma_BFQ[:, f, q].sum(), tiles_BHW, retain_graph=True
            )
            along_BK = torch.einsum("bhw,bkhw->bk", gradient_BHW.double(), directions_BKHW)
            along_BKFQ[:, :, f, q] = along_BK.cpu().numpy()
    return along_BKFQ


def attribution(surrogate: Surrogate, rain_rate: npt.NDArray[np.floating]) -> Float64Array:
    """Return |∂/∂x Σ log1p γ̂|: how much each pixel moves the logarithms in which γ is compared.

    Parameters
    ----------
    surrogate : Surrogate
        In evaluation mode.
    rain_rate : array (B, H, W)
        In mm/h.

    Returns
    -------
    array (B, H, W)
        Per mm/h.
    """
    tiles_BHW = tiles_tensor(surrogate, rain_rate).clone().requires_grad_()
    total = signed_log1p(surrogate(tiles_BHW)).sum()
    (gradient_BHW,) = torch.autograd.grad(total, tiles_BHW)
    found: Float64Array = gradient_BHW.abs().double().cpu().numpy()
    return found
