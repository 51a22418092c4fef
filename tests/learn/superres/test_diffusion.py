"""The schedule and the sampler against diffusers and against an analytic Gaussian."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from minkgen.learn.superres.diffusion import ConditionalDiffusion, cosine_schedule, ddim
from minkgen.learn.superres.model import Scene
from minkgen.recipe.superres import Diffusion

MEAN, DEVIATION = -0.8, 0.3


def noise(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("steps", "sampled"), [(1000, 50), (1000, 20), (200, 8)])
def test_ddim_is_that_of_diffusers(steps: int, sampled: int) -> None:
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(
        num_train_timesteps=steps,
        beta_schedule="squaredcos_cap_v2",
        clip_sample=False,
        timestep_spacing="trailing",
        set_alpha_to_one=True,
        prediction_type="sample",
    )
    scheduler.set_timesteps(sampled)
    alpha_bar = cosine_schedule(steps)
    assert torch.equal(alpha_bar, scheduler.alphas_cumprod)

    asked: list[int] = []

    def denoiser(x: Tensor, t: int) -> Tensor:
        asked.append(t)
        return torch.tanh(0.7 * x + 0.001 * t)

    start = noise(64).float()
    expected = start
    for t in scheduler.timesteps:
        estimate = torch.tanh(0.7 * expected + 0.001 * int(t))
        expected = scheduler.step(estimate, t, expected).prev_sample
    assert torch.equal(ddim(denoiser, start, alpha_bar, sampled), expected)
    assert asked == scheduler.timesteps.tolist()


@pytest.mark.parametrize(("mean", "deviation"), [(MEAN, DEVIATION), (0.2, 1.0), (0.0, 0.05)])
def test_ddim_brings_noise_to_a_gaussian(mean: float, deviation: float) -> None:
    alpha_bar = cosine_schedule(1000).double()
    data = ddim(gaussian_denoiser(alpha_bar, mean, deviation), noise(20_000), alpha_bar, 500)
    assert float(data.mean()) == pytest.approx(mean, abs=0.02 * deviation + 1e-3)
    assert float(data.std()) == pytest.approx(deviation, rel=0.03)


def test_ddim_is_of_first_order() -> None:
    alpha_bar = cosine_schedule(4000).double()
    start = noise(1000)
    a = alpha_bar[-1]
    # Along the way (x_t - √ᾱ_t m) / √(ᾱ_t s² + 1 - ᾱ_t) stays as it is.
    standard = (start - a.sqrt() * MEAN) / (a * DEVIATION**2 + 1.0 - a).sqrt()
    exact = MEAN + DEVIATION * standard
    denoiser = gaussian_denoiser(alpha_bar, MEAN, DEVIATION)
    errors = [
        float((ddim(denoiser, start, alpha_bar, steps) - exact).square().mean().sqrt())
        for steps in (25, 50, 100, 200)
    ]
    for coarse, fine in zip(errors, errors[1:], strict=False):
        assert coarse / fine == pytest.approx(2.0, rel=0.12)
    print(errors)


def gaussian_denoiser(alpha_bar: Tensor, mean: float, deviation: float):
    def denoiser(x: Tensor, t: int) -> Tensor:
        a = alpha_bar[t]
        gain = a.sqrt() * deviation**2 / (a * deviation**2 + 1.0 - a)
        return mean + gain * (x - a.sqrt() * mean)

    return denoiser
