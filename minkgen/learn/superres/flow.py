"""Rectified flow (Liu et al. 2023) of what the mean of a U-Net lacks, integrated by Heun's steps.

Noise x_0 and data x_1, the residual divided by its scale, are joined by straight lines
x_t = (1 - t) x_0 + t x_1; the network learns their velocity x_1 - x_0.

Shape suffixes: B samples, C channels, H rows (north first), W columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from minkgen.learn.superres.context_unet import ContextUNet
from minkgen.learn.superres.generative import GenerativeResolver
from minkgen.learn.superres.model import Objective, Scene
from minkgen.learn.superres.unet import ResidualUNet, conditions
from minkgen.recipe.superres import Flow

__all__ = ["ResidualFlow", "heun"]


def heun(velocity: Callable[[Tensor, float], Tensor], x: Tensor, steps: int) -> Tensor:
    """Integrate dx/dt = v(x, t) from t = 0 to 1 by Heun's method, of second order.

    Parameters
    ----------
    velocity : callable
        Of (x, t); asked twice a step.
    x : Tensor
        Where the way begins.
    steps : int
        Of equal length.
    """
    h = 1.0 / steps
    for step in range(steps):
        t = step * h
        v = velocity(x, t)
        x = x + h / 2.0 * (v + velocity(x + h * v, t + h))
    return x


class ResidualFlow(GenerativeResolver):
    """The mean of a trained U-Net, which stays as it is, and a flow of what it lacks.

    The U-Net is part of the flow, and of its state.

    Parameters
    ----------
    mean : ResidualUNet
    features : sequence of int
        Channels of each stage.
    settings : Flow
    """

    def __init__(self, mean: ResidualUNet, features: Sequence[int], settings: Flow) -> None:
        super().__init__(mean.log_max)
        self.sampling_steps = settings.sampling_steps
        self.mean = mean.requires_grad_(False)
        self.network = ContextUNet(3, features)

    @torch.no_grad()
    def baseline(self, scene: Scene) -> Tensor:
        """Return the normalised mean of the U-Net."""
        return self.mean.mean(scene)

    def objective(self, scene: Scene, target_BHW: Tensor) -> Objective:
        """Return the mean square error of the velocity at times drawn evenly, and a field in mm/h.

        The field is the mean and the residual where one step from t to 1 would end.

        Raises
        ------
        TrainingError
            If the residual's scale was not measured.
        """
        self.require_scale()
        mean_BHW = self.baseline(scene)
        x_1 = (self.normalised(target_BHW) - mean_BHW) / self.residual_scale
        x_0 = torch.randn_like(x_1)
        t_B = torch.rand(len(x_1), device=x_1.device)
        t = t_B[:, None, None]
        x_t = (1.0 - t) * x_0 + t * x_1
        v = self.network(x_t, t_B, self._given(scene, mean_BHW))
        loss = functional.mse_loss(v, x_1 - x_0)
        return Objective(loss, self._rain_rate_of(mean_BHW, x_t + (1.0 - t) * v), v)

    def sampler(self, scene: Scene) -> Callable[[Tensor], Tensor]:
        """Return Heun's steps for a scene."""
        mean_BHW = self.baseline(scene)
        given_BCHW = self._given(scene, mean_BHW)

        def velocity(x: Tensor, t: float) -> Tensor:
            v: Tensor = self.network(x, x.new_full((len(x),), t), given_BCHW)
            return v

        def field_of(noise_BHW: Tensor) -> Tensor:
            return self._rain_rate_of(mean_BHW, heun(velocity, noise_BHW, self.sampling_steps))

        return field_of

    def _given(self, scene: Scene, mean_BHW: Tensor) -> Tensor:
        """Return what the network is given: the scene, and the mean in log1p(mm/h)."""
        return torch.cat((conditions(scene), self.log_max * mean_BHW[:, None]), dim=1)

    def _rain_rate_of(self, mean_BHW: Tensor, residual_BHW: Tensor) -> Tensor:
        return self.rain_rate(mean_BHW + self.residual_scale * residual_BHW)
