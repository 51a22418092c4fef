"""What all models of super-resolution are: from a scene at 25 km to fields of rain, in mm/h.

Shape suffixes: M members, B samples, H rows (north first), W columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["Objective", "Scene", "SuperResolver"]


class Scene(NamedTuple):
    """What a model is given, on the pixels of the tile.

    Attributes
    ----------
    low : Tensor (B, H, W)
        The rain rate of 25 km cells brought back to the tile's pixels, in mm/h.
    terrain : Tensor (B, H, W)
        Height of the terrain, standardised by the domain's mean and deviation; 0 where the store
        has no terrain.
    """

    low: Tensor
    terrain: Tensor


class Objective(NamedTuple):
    """What a step of training lowers.

    Attributes
    ----------
    loss : Tensor, scalar
        The model's own loss, a mean over samples: of pixels, of noise, of velocities.
    rain_rate : Tensor (B, H, W)
        The field in mm/h that the loss was taken of, or that follows from it: what a geometric
        loss is taken of. Its gradients reach the model.
    output : Tensor (B, H, W)
        What both were made of, pixel by pixel: where gradients of the two losses can be compared.
    """

    loss: Tensor
    rain_rate: Tensor
    output: Tensor


class SuperResolver(nn.Module):
    """A model of super-resolution.

    Parameters
    ----------
    log_max : float
        log1p of the largest training rate, from the snapshot: networks see log1p(x) / log_max.

    Attributes
    ----------
    is_generative : bool
        Whether members differ.
    sampling_steps : int
        Of a generative model's sampler; 1 of all others.
    """

    is_generative = False
    sampling_steps = 1

    def __init__(self, log_max: float) -> None:
        super().__init__()
        self.log_max = log_max

    def normalised(self, rain_rate: Tensor) -> Tensor:
        """Return rain rates (mm/h) as networks see them."""
        return torch.log1p(rain_rate) / self.log_max

    def rain_rate(self, normalised: Tensor) -> Tensor:
        """Return what networks give as rain rates in mm/h; below 0 becomes 0."""
        return torch.expm1(normalised.clamp_min(0.0) * self.log_max)

    def prepare(self, batches: Iterable[tuple[Scene, Tensor]]) -> None:
        """Measure what must be known of the training data before the first step.

        Most models need nothing, and read no batch. What is measured becomes part of the state.

        Parameters
        ----------
        batches : iterable of (Scene, Tensor)
            Training scenes and their targets (B, H, W) in mm/h, where the model lies.
        """

    def objective(self, scene: Scene, target_BHW: Tensor) -> Objective:
        """Return the loss of a batch, in training mode.

        Noise comes from torch's global generator, which a training seeds for every batch.

        Parameters
        ----------
        scene : Scene
        target_BHW : Tensor
            Rain rates in mm/h.
        """
        raise NotImplementedError

    def sample(
        self, scene: Scene, *, members: int = 1, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return fields of rain, in evaluation mode.

        Parameters
        ----------
        scene : Scene
        members : int, optional
            All alike where the model is not generative.
        generator : torch.Generator, optional
            Where a generative model's noise comes from; on the CPU, so that devices agree.

        Returns
        -------
        Tensor (M, B, H, W)
            Rain rates in mm/h, none below 0, with those below the drizzle threshold as they are.
        """
        raise NotImplementedError
