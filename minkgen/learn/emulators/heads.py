"""From a latent vector to γ: heads that obey geometry, and heads that are free.

Shape suffixes: B samples, F functionals, Q thresholds.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from minkgen.learn.emulators.design import EmulatorDesign
from minkgen.learn.losses import signed_expm1

__all__ = ["ConstrainedHeads", "IndependentHeads"]

# sqrt has no finite slope at 0; no set is smaller than one pixel.
LEAST_AREA_KM2 = 1e-12


class ConstrainedHeads(nn.Module):
    """Heads that obey geometry in float32 to the letter (the paper's section 2.3.2).

    The area never grows with the threshold and is at most the tile's area,
    P² >= 4 π A (1 - 1e-5), nothing is negative.

    Parameters
    ----------
    design : EmulatorDesign
    """

    def __init__(self, design: EmulatorDesign) -> None:
        super().__init__()
        self.tile_area = design.tile_area
        self.linear = nn.Linear(design.latent, 1 + 3 * len(design.definition.thresholds))

    @torch.no_grad()
    def start_from(self, log_gamma_FQ: npt.ArrayLike) -> None:
        """Set the biases so that training starts from a climatological γ.

        Parameters
        ----------
        log_gamma_FQ : array_like
            Mean of log1p γ over training samples (the mean in which the loss compares).
        """
        gamma = torch.expm1(torch.as_tensor(np.asarray(log_gamma_FQ), dtype=torch.float64))
        area = gamma[0].clamp_min(1e-3)
        density = torch.cat([area[:-1] - area[1:], area[-1:]]) / area[0]
        roughness = gamma[1] / torch.sqrt(4.0 * math.pi * area) - 1.0
        total = (area[:1] / self.tile_area).clamp(1e-6, 1.0 - 1e-6)
        biases = (
            torch.logit(total),
            torch.log(density.clamp_min(1e-6)),
            _inverse_softplus(roughness.clamp_min(1e-2)),
            _inverse_softplus(gamma[2].clamp_min(1e-2)),
        )
        self.linear.bias.copy_(torch.cat(biases))

    def forward(self, latent: Tensor) -> Tensor:
        """Return γ (B, F, Q) of latent vectors."""
        return self.decode(self.linear(latent))

    def decode(self, raw: Tensor) -> Tensor:
        """Turn raw outputs (B, 1 + 3 Q) into a γ that geometry allows."""
        total_B1, rest = raw[:, :1], raw[:, 1:]
        density_BQ, roughness_BQ, components_BQ = rest.chunk(3, dim=1)
        area_BQ = self.tile_area * torch.sigmoid(total_B1) * _exceedance(density_BQ)
        disk_BQ = torch.sqrt(4.0 * math.pi * area_BQ.clamp_min(LEAST_AREA_KM2))
        perimeter_BQ = disk_BQ * (1.0 + functional.softplus(roughness_BQ))
        return torch.stack([area_BQ, perimeter_BQ, functional.softplus(components_BQ)], dim=1)


class IndependentHeads(nn.Module):
    """One linear output for every functional and threshold, in the log space of the loss.

    An output z stands for γ = sign(z) (exp|z| - 1), so that L_M compares z itself, and areas of
    many thousand km2 need no large weights. Nothing keeps γ from being negative, from growing with
    the threshold, or from breaking the isoperimetric inequality.

    Parameters
    ----------
    design : EmulatorDesign
    """

    def __init__(self, design: EmulatorDesign) -> None:
        super().__init__()
        self.shape = (len(design.functionals), len(design.definition.thresholds))
        self.linear = nn.Linear(design.latent, math.prod(self.shape))

    @torch.no_grad()
    def start_from(self, log_gamma_FQ: npt.ArrayLike) -> None:
        """Set the biases so that training starts from a climatological γ, given as log1p γ."""
        values = torch.as_tensor(np.asarray(log_gamma_FQ), dtype=torch.float32)
        self.linear.bias.copy_(values.flatten())

    def forward(self, latent: Tensor) -> Tensor:
        """Return γ (B, F, Q) of latent vectors."""
        return signed_expm1(self.linear(latent).unflatten(1, self.shape))


def _exceedance(density_logits_BQ: Tensor) -> Tensor:
    """Return the share of the total above each threshold: 1 at most, and never increasing."""
    density_BQ = torch.softmax(density_logits_BQ, dim=1)
    sums_BQ = density_BQ.flip(1).cumsum(dim=1).clamp(max=1.0)
    # A GPU's parallel scan may round a longer sum below a shorter one; the running maximum is
    # what makes "never increasing" true to the last digit.
    return sums_BQ.cummax(dim=1).values.flip(1)


def _inverse_softplus(values: Tensor) -> Tensor:
    return values + torch.log(-torch.expm1(-values))
