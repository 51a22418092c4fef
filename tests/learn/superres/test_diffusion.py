"""DDIM against diffusers and an analytic Gaussian; what the model is before it has learned."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from minkgen.errors import TrainingError
from minkgen.learn.superres.diffusion import ConditionalDiffusion, cosine_schedule, ddim
from minkgen.learn.superres.model import Scene
from minkgen.recipe.superres import Diffusion
from tests.learn.superres.made_up import (
    FEATURES,
    LOG_MAX,
    fit,
    log_error,
    moved,
    require_gradients,
    wet_scenes,
)

HALVES = (slice(0, 5), slice(5, 12))


def noise(*shape: int, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=random, dtype=torch.float64)


def build(sampling_steps: int = 50) -> ConditionalDiffusion:
    torch.manual_seed(0)
    return ConditionalDiffusion(LOG_MAX, FEATURES, Diffusion(sampling_steps=sampling_steps))


def gaussian(alpha_bar: Tensor, mean: float, deviation: float) -> Callable[[Tensor, int], Tensor]:
    """Return the denoiser of data that are Gaussian: E[x_0 | x_t]."""

    def denoiser(x: Tensor, t: int) -> Tensor:
        a = alpha_bar[t]
        gain = a.sqrt() * deviation**2 / (a * deviation**2 + 1.0 - a)
        return mean + gain * (x - a.sqrt() * mean)

    return denoiser


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

    def denoiser(x: Tensor, t: int) -> Tensor:
        return torch.tanh(0.7 * x + 0.001 * t)

    start = noise(64).float()
    expected = start
    for t in scheduler.timesteps:
        expected = scheduler.step(denoiser(expected, int(t)), t, expected).prev_sample
    assert torch.equal(ddim(denoiser, start, alpha_bar, sampled), expected)


@pytest.mark.parametrize(("mean", "deviation"), [(-0.8, 0.3), (0.2, 1.0), (-0.9, 0.05)])
def test_ddim_brings_noise_to_a_gaussian(mean: float, deviation: float) -> None:
    alpha_bar = cosine_schedule(1000).double()
    start = noise(20_000)
    data = ddim(gaussian(alpha_bar, mean, deviation), start, alpha_bar, 1000)
    assert data.mean().item() == pytest.approx(mean, abs=0.03 * deviation)
    assert data.std().item() == pytest.approx(deviation * start.std().item(), rel=0.03)


def test_ddim_is_of_first_order() -> None:
    mean, deviation = -0.8, 0.3
    alpha_bar = cosine_schedule(4000).double()
    start, a = noise(1000), alpha_bar[-1]
    # Along the way (x_t - √ᾱ_t mean) / √(ᾱ_t deviation² + 1 - ᾱ_t) stays as it is.
    standard = (start - a.sqrt() * mean) / (a * deviation**2 + 1.0 - a).sqrt()
    exact = mean + deviation * standard
    denoiser = gaussian(alpha_bar, mean, deviation)
    errors = [
        (ddim(denoiser, start, alpha_bar, steps) - exact).square().mean().sqrt().item()
        for steps in (25, 50, 100, 200)
    ]
    for coarse, fine in pairwise(errors):
        assert coarse / fine == pytest.approx(2.0, rel=0.1)


def test_the_scale_is_that_of_what_the_low_resolution_lacks() -> None:
    model, (scene, target) = build(), wet_scenes(12)
    halves = [(Scene(scene.low[part], scene.terrain[part]), target[part]) for part in HALVES]
    model.prepare(iter(halves))
    lacking = (torch.log1p(target) - torch.log1p(scene.low)) / LOG_MAX
    expected = lacking.square().mean().sqrt().item()
    assert model.residual_scale.item() == pytest.approx(expected, rel=1e-5)


def test_without_its_scale_a_model_does_nothing() -> None:
    model, (scene, target) = build(), wet_scenes(2)
    for use in (lambda: model.objective(scene, target), lambda: model.sample(scene)):
        with pytest.raises(TrainingError, match="scale") as refused:
            use()
        assert "prepare" in str(refused.value.hint)
    for nothing in ([], [(scene._replace(low=target), target)]):
        with pytest.raises(TrainingError, match="nothing for the model to draw"):
            model.prepare(nothing)
    scene.low[0, 0, 0] = torch.nan
    with pytest.raises(TrainingError, match="nothing for the model to draw"):
        model.prepare([(scene, target)])


def test_a_new_one_knows_the_gaussian_of_its_residual() -> None:
    scale = 0.1
    low = torch.full((64, 16, 16), 10.0)
    scene = Scene(low, torch.zeros_like(low))
    model = build(sampling_steps=250)
    target = model.rain_rate(model.normalised(low) + scale * noise(64, 16, 16, seed=5).float())
    model.prepare([(scene, target)])
    # Its error is what is uncertain, at every step.
    assert model.objective(scene, target).loss.item() == pytest.approx(1.0, rel=0.03)
    one = Scene(low[:1], scene.terrain[:1])
    drawn = model.normalised(model.sample(one, generator=torch.Generator().manual_seed(6)))
    residual = drawn - model.normalised(one.low)
    expected = scale * torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(6))
    torch.testing.assert_close(residual, expected, rtol=0.04, atol=1e-3)


def test_noise_decides_what_is_drawn() -> None:
    model, (scene, target) = build(sampling_steps=4), wet_scenes(3)
    model.prepare([(scene, target)])
    moved(model, by=0.02)

    def draw(seed: int, members: int) -> Tensor:
        return model.sample(scene, members=members, generator=torch.Generator().manual_seed(seed))

    fields = draw(1, members=3)
    assert fields.shape == (3, *target.shape)
    assert fields.dtype == torch.float32
    assert fields.min() == 0.0
    assert torch.equal(draw(1, members=2), fields[:2])
    assert not torch.equal(fields[0], fields[1])
    assert not torch.equal(draw(2, members=1), fields[:1])


def test_objectives_are_seeded_and_reach_all_weights() -> None:
    model, (scene, target) = build(), wet_scenes(6)
    model.prepare([(scene, target)])
    moved(model)
    torch.manual_seed(7)
    loss, rain_rate, _ = model.objective(scene, target)
    torch.manual_seed(7)
    again = model.objective(scene, target)
    assert torch.equal(loss, again.loss)
    assert torch.equal(rain_rate, again.rain_rate)
    assert rain_rate.shape == target.shape
    require_gradients(model, scene, target)


def test_a_short_training_lowers_the_error() -> None:
    model, (scene, target) = build(), wet_scenes(8)
    model.prepare([(scene, target)])
    losses = fit(model, scene, target, steps=40)
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


@pytest.mark.slow
def test_four_tiles_are_memorised() -> None:
    model, (scene, target) = build(), wet_scenes(4)
    model.prepare([(scene, target)])
    fit(model, Scene(*(plane.repeat(4, 1, 1) for plane in scene)), target.repeat(4, 1, 1), 400)
    for fields in model.sample(scene, members=2, generator=torch.Generator().manual_seed(8)):
        assert log_error(model, fields, target) < 0.3 * log_error(model, scene.low, target)
