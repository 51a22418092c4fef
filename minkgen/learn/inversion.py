"""Inversion: noise is led to a target γ by the gradients of a surrogate (the paper's equation 4).

Shape suffixes: B samples, F functionals, Q thresholds, H rows (north first), W columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from minkgen.errors import InputError, TrainingError
from minkgen.learn.losses import signed_log1p
from minkgen.learn.prediction import tiles_tensor
from minkgen.learn.surrogate import Surrogate

__all__ = ["Inversion", "InversionSettings", "invert"]

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class InversionSettings:
    """How noise is led to a target.

    Parameters
    ----------
    steps : int
        Of Adam.
    learning_rate : float
        Of Adam, on the normalised field log1p(x) / m.
    total_variation, mean_square : float
        λ_TV and λ_2 (the paper's values are lost). Both are means over pixels.
    """

    steps: int
    learning_rate: float = 0.01
    total_variation: float = 0.1
    mean_square: float = 0.01


@dataclass(frozen=True)
class Inversion:
    """What the optimisation found.

    Attributes
    ----------
    rain_rate : array (B, H, W)
        In mm/h.
    loss : array (steps, B)
        The objective before each step.
    """

    rain_rate: FloatArray
    loss: FloatArray


def invert(
    surrogate: Surrogate,
    target: npt.NDArray[np.floating],
    start: npt.NDArray[np.floating],
    *,
    log_max: float,
    settings: InversionSettings,
    before_step: Callable[[int], None] | None = None,
) -> Inversion:
    """Lead fields to target γ-matrices; every field is optimised by itself.

    Minimises mean (log γ̂(x) - log γ)² + λ_TV TV(z) + λ_2 mean z² over the normalised field
    z = log1p(x) / m, kept in [0, 1]: from dry to the largest training rate. TV(z) is the mean over
    pixels of |z_right - z| + |z_below - z| (anisotropic), and log the signed log1p of the loss.

    Parameters
    ----------
    surrogate : Surrogate
        In evaluation mode.
    target : array (B, F, Q)
        γ in physical units, of the surrogate's functionals.
    start : array (B, H, W)
        z to begin with.
    log_max : float
        m, the log1p of the largest training rate.
    settings : InversionSettings
    before_step : callable, optional
        Called with the number of each step, from 0: to lower a temperature, or to report.

    Returns
    -------
    Inversion

    Raises
    ------
    InputError
        If the targets do not fit the surrogate.
    TrainingError
        If the objective stops being finite.
    """
    expected = (len(start), len(surrogate.functionals), len(surrogate.thresholds))
    if target.shape != expected:
        raise InputError("the targets do not fit", got=target.shape, expected=expected)
    z_BHW = tiles_tensor(surrogate, start).clamp(0.0, 1.0).requires_grad_()
    wanted_BFQ = signed_log1p(torch.as_tensor(target, dtype=torch.float32, device=z_BHW.device))
    optimiser = torch.optim.Adam([z_BHW], lr=settings.learning_rate)
    losses = []
    for step in range(settings.steps):
        if before_step is not None:
            before_step(step)
        loss_B = _objective(surrogate, z_BHW, wanted_BFQ, log_max, settings)
        losses.append(loss_B.detach().cpu().numpy())
        if not np.isfinite(losses[-1]).all():
            raise TrainingError(
                "the inversion's objective is not finite",
                where=f"step {step}",
                got=losses[-1].tolist(),
                hint="lower the learning rate",
            )
        optimiser.zero_grad()
        torch.autograd.backward(loss_B.sum())
        optimiser.step()
        with torch.no_grad():
            z_BHW.clamp_(0.0, 1.0)
    found_BHW = torch.expm1(log_max * z_BHW.detach()).cpu().numpy()
    return Inversion(found_BHW, np.stack(losses))


def _objective(
    surrogate: Surrogate,
    z_BHW: Tensor,
    wanted_BFQ: Tensor,
    log_max: float,
    settings: InversionSettings,
) -> Tensor:
    """Return the objective of every field; their sum has the gradients of each."""
    error_BFQ = signed_log1p(surrogate(torch.expm1(log_max * z_BHW))) - wanted_BFQ
    down_B, right_B = (z_BHW.diff(dim=side).abs().sum(dim=(1, 2)) for side in (1, 2))
    return (
        error_BFQ.square().mean(dim=(1, 2))
        + settings.total_variation * (down_B + right_B) / z_BHW[0].numel()
        + settings.mean_square * z_BHW.square().mean(dim=(1, 2))
    )
