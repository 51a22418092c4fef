"""Rectified flow (Liu et al. 2023) of what the mean of a U-Net lacks, integrated by Heun's steps.

Noise x_0 and data x_1, the residual divided by its scale, are joined by straight lines
x_t = (1 - t) x_0 + t x_1; the network learns their velocity x_1 - x_0.

Shape suffixes: M members, B samples, H rows (north first), W columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from minkgen.errors import TrainingError
from minkgen.learn.superres.context_unet import ContextUNet
from minkgen.learn.superres.model import Objective, Scene, SuperResolver
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


class ResidualFlow(SuperResolver):
    """The mean of a trained U-Net, which stays as it is, and a flow of what it lacks.

    The residual's scale belongs to the U-Net it was measured with: both are part of the flow's
    state.

    Parameters
    ----------
    mean : ResidualUNet
    features : sequence of int
        Channels of each stage.
    settings : Flow
    """

    is_generative = True
    residual_scale: Tensor

    def __init__(self, mean: ResidualUNet, features: Sequence[int], settings: Flow) -> None:
        super().__init__(mean.log_max)
        self.sampling_steps = settings.sampling_steps
        self.mean = mean.requires_grad_(False)
        self.register_buffer("residual_scale", torch.tensor(0.0))
        self.network = ContextUNet(3, features)

    @torch.no_grad()
    def prepare(self, batches: Iterable[tuple[Scene, Tensor]]) -> None:
        """Measure the residual's scale: its root mean square over all pixels of the batches.

        Raises
        ------
        TrainingError
            If there is no residual, or none that is finite.
        """
        squares, pixels = 0.0, 0
        for scene, target_BHW in batches:
            residual_BHW = self.normalised(target_BHW) - self.mean.mean(scene)
            squares += float(residual_BHW.double().square().sum())
            pixels += residual_BHW.numel()
        scale = torch.tensor((squares / max(pixels, 1)) ** 0.5)
        if not (scale > 0.0 and scale.isfinite()):
            raise TrainingError(
                "the mean leaves nothing for a flow to learn",
                got=f"residuals of scale {float(scale)} over {pixels} pixels",
                expected="wet tiles with finite rain rates",
                hint="run `minkgen verify` on the store",
            )
        self.residual_scale.copy_(scale)

    def objective(self, scene: Scene, target_BHW: Tensor) -> Objective:
        """Return the mean square error of the velocity at random times, and a field in mm/h.

        The field is the mean and the residual where one step from t to 1 would end.

        Raises
        ------
        TrainingError
            If the residual's scale was not measured.
        """
        if not self.residual_scale > 0.0:
            raise TrainingError(
                "the scale of the flow's residual is not known",
                hint="call prepare with batches of training scenes first",
            )
        mean_BHW, given_BCHW = self._mean_and_conditions(scene)
        x_1 = (self.normalised(target_BHW) - mean_BHW) / self.residual_scale
        x_0 = torch.randn_like(x_1)
        t_B = torch.rand(len(x_1), device=x_1.device)
        t_B11 = t_B[:, None, None]
        x_t = (1.0 - t_B11) * x_0 + t_B11 * x_1
        v = self.network(x_t, t_B, given_BCHW)
        loss = functional.mse_loss(v, x_1 - x_0)
        return Objective(loss, self._rain_rate_of(mean_BHW, x_t + (1.0 - t_B11) * v))

    @torch.no_grad()
    def sample(
        self, scene: Scene, *, members: int = 1, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return fields in mm/h, (M, B, H, W), by Heun's steps."""
        mean_BHW, given_BCHW = self._mean_and_conditions(scene)

        def velocity(x: Tensor, t: float) -> Tensor:
            v: Tensor = self.network(x, x.new_full((len(x),), t), given_BCHW)
            return v

        fields = []
        for _ in range(members):
            noise = torch.randn(scene.low.shape, generator=generator).to(scene.low.device)
            residual_BHW = heun(velocity, noise, self.sampling_steps)
            fields.append(self._rain_rate_of(mean_BHW, residual_BHW))
        return torch.stack(fields)

    @torch.no_grad()
    def _mean_and_conditions(self, scene: Scene) -> tuple[Tensor, Tensor]:
        """Return the normalised mean, and what the network is given: the scene and that mean."""
        mean_BHW = self.mean.mean(scene)
        log_mean_B1HW = self.log_max * mean_BHW[:, None]
        return mean_BHW, torch.cat((conditions(scene), log_mean_B1HW), dim=1)

    def _rain_rate_of(self, mean_BHW: Tensor, residual_BHW: Tensor) -> Tensor:
        return self.rain_rate(mean_BHW + self.residual_scale * residual_BHW)
