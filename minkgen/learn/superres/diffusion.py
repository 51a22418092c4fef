"""Denoising diffusion (Ho et al. 2020) given a scene, sampled by DDIM (Song et al. 2021).

In the papers' symbols: x_0 the data, ε noise, ᾱ_t the share of the data's variance that is left at
step t, x_t = √ᾱ_t x_0 + √(1 - ᾱ_t) ε. The network predicts v = √ᾱ_t ε - √(1 - ᾱ_t) x_0 (Salimans
and Ho 2022): where all is noise this is -x_0, and where little is, it is ε. An estimate of ε has to
be divided by √ᾱ_t on the way to x_0, which is 5e-5 where sampling begins; an estimate of x_0 is
learned where there is much noise, and rain is small beside its maximum: its texture appears late.

Shape suffixes: T steps, M members, B samples, H rows (north first), W columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from minkgen.learn.superres.context_unet import ContextUNet
from minkgen.learn.superres.model import Objective, Scene, SuperResolver
from minkgen.learn.superres.unet import conditions
from minkgen.recipe.superres import Diffusion

__all__ = ["ConditionalDiffusion", "cosine_schedule", "ddim"]


def cosine_schedule(steps: int) -> Tensor:
    """Return ᾱ (T,) of the cosine schedule (Nichol and Dhariwal 2021), falling from almost 1."""
    t = torch.linspace(0.0, 1.0, steps + 1, dtype=torch.float64)
    alpha_bar = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
    beta = (1.0 - alpha_bar[1:] / alpha_bar[:-1]).clamp_max(0.999)
    # The paper's ᾱ ends at 0; with its limit of β it does not, and x_0 can always be told.
    return torch.cumprod(1.0 - beta.float(), dim=0)


def ddim(
    denoiser: Callable[[Tensor, int], Tensor], x: Tensor, alpha_bar: Tensor, steps: int
) -> Tensor:
    """Bring noise to data along the deterministic process, without clipping.

    Parameters
    ----------
    denoiser : callable
        Returns the estimate of x_0 of (x_t, t).
    x : Tensor
        Noise of variance 1, x_t of the last t.
    alpha_bar : Tensor (T,)
    steps : int
        Evenly spaced ones of the T, counted from the last ("trailing").

    Returns
    -------
    Tensor
        The shape of `x`.
    """
    last = len(alpha_bar)
    times = [round(last - number * last / steps) - 1 for number in range(steps)]
    for t, previous in zip(times, [*times[1:], None], strict=True):
        a = alpha_bar[t]
        a_previous = torch.ones_like(a) if previous is None else alpha_bar[previous]
        x_0 = denoiser(x, t)
        noise = (x - a.sqrt() * x_0) / (1.0 - a).sqrt()
        x = a_previous.sqrt() * x_0 + (1.0 - a_previous).sqrt() * noise
    return x


class ConditionalDiffusion(SuperResolver):
    """Denoising diffusion of the normalised field, mapped to [-1, 1], given the scene.

    Parameters
    ----------
    log_max : float
        log1p of the largest training rate, from the snapshot.
    features : sequence of int
        Channels of each stage.
    settings : Diffusion
    """

    is_generative = True
    alpha_bar: Tensor

    def __init__(self, log_max: float, features: Sequence[int], settings: Diffusion) -> None:
        super().__init__(log_max)
        self.sampling_steps = settings.sampling_steps
        self.register_buffer("alpha_bar", cosine_schedule(settings.steps), persistent=False)
        self.network = ContextUNet(2, features)

    def objective(self, scene: Scene, target_BHW: Tensor) -> Objective:
        """Return the mean square error of v at random steps, and the estimate of x_0 in mm/h."""
        x_0 = 2.0 * self.normalised(target_BHW) - 1.0
        t_B = torch.randint(len(self.alpha_bar), (len(x_0),), device=x_0.device)
        noise = torch.randn_like(x_0)
        root_B11, root_of_noise_B11 = self._roots(t_B)
        x_t = root_B11 * x_0 + root_of_noise_B11 * noise
        v = self._velocity(x_t, t_B, conditions(scene))
        loss = functional.mse_loss(v, root_B11 * noise - root_of_noise_B11 * x_0)
        return Objective(loss, self._rain_rate_of(root_B11 * x_t - root_of_noise_B11 * v))

    @torch.no_grad()
    def sample(
        self, scene: Scene, *, members: int = 1, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return fields in mm/h, (M, B, H, W), by DDIM."""
        given_BCHW = conditions(scene)

        def denoiser(x_t: Tensor, t: int) -> Tensor:
            t_B = torch.full((len(x_t),), t, device=x_t.device)
            root_B11, root_of_noise_B11 = self._roots(t_B)
            return root_B11 * x_t - root_of_noise_B11 * self._velocity(x_t, t_B, given_BCHW)

        fields = []
        for _ in range(members):
            noise = torch.randn(scene.low.shape, generator=generator).to(scene.low.device)
            x_0 = ddim(denoiser, noise, self.alpha_bar, self.sampling_steps)
            fields.append(self._rain_rate_of(x_0))
        return torch.stack(fields)

    def _roots(self, t_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return √ᾱ_t and √(1 - ᾱ_t) of steps."""
        alpha_bar_B11 = self.alpha_bar[t_B][:, None, None]
        return alpha_bar_B11.sqrt(), (1.0 - alpha_bar_B11).sqrt()

    def _velocity(self, x_t: Tensor, t_B: Tensor, given_BCHW: Tensor) -> Tensor:
        velocity: Tensor = self.network(x_t, (t_B + 1) / len(self.alpha_bar), given_BCHW)
        return velocity

    def _rain_rate_of(self, x_0: Tensor) -> Tensor:
        return self.rain_rate((x_0 + 1.0) / 2.0)
