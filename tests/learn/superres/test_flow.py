"""Heun's steps on an analytic Gaussian; the flow, its mean and its scale."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from minkgen.learn.superres.flow import ResidualFlow, heun
from minkgen.learn.superres.model import Scene
from minkgen.learn.superres.unet import ResidualUNet
from minkgen.recipe.superres import Flow
from tests.learn.superres.made_up import (
    FEATURES,
    LOG_MAX,
    fit,
    log_error,
    moved,
    require_gradients,
    wet_scenes,
)


def gaussian(mean: float, deviation: float) -> Callable[[Tensor, float], Tensor]:
    """Return the velocity of straight lines to data that are Gaussian: E[x_1 - x_0 | x_t]."""

    def velocity(x: Tensor, t: float) -> Tensor:
        variance = (1.0 - t) ** 2 + t**2 * deviation**2
        return mean + (t * deviation**2 - (1.0 - t)) / variance * (x - t * mean)

    return velocity


def build(features: tuple[int, ...] = FEATURES) -> ResidualFlow:
    torch.manual_seed(0)
    mean = ResidualUNet(LOG_MAX, (8, 8))
    moved(mean, by=0.02)
    return ResidualFlow(mean, features, Flow(sampling_steps=4))


@pytest.mark.parametrize(("mean", "deviation"), [(0.5, 0.2), (-1.0, 2.0)])
def test_heun_brings_noise_to_a_gaussian_with_second_order(mean: float, deviation: float) -> None:
    start = torch.randn(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = mean + deviation * start
    errors = [
        (heun(gaussian(mean, deviation), start, steps) - exact).square().mean().sqrt().item()
        for steps in (32, 64, 128, 256)
    ]
    for coarse, fine in pairwise(errors):
        assert coarse / fine == pytest.approx(4.0, rel=0.08)
    assert errors[0] < 0.02 * deviation


def test_a_new_one_draws_noise_of_the_scale_about_the_mean() -> None:
    model, (scene, target) = build(), wet_scenes(6)
    model.prepare([(scene, target)])
    with torch.no_grad():
        mean = model.mean.mean(scene)
    lacking = (model.normalised(target) - mean).square().mean().sqrt().item()
    assert model.residual_scale.item() == pytest.approx(lacking, rel=1e-5)
    drawn = model.sample(scene, members=2, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(2, *target.shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(drawn, model.rain_rate(mean + lacking * noise))
    assert model.objective(scene, target).loss.item() == pytest.approx(2.0, rel=0.1)


class Straight(nn.Module):
    """The velocity from wherever one is to one field."""

    def __init__(self, goal_BHW: Tensor) -> None:
        super().__init__()
        self.goal_BHW = goal_BHW

    def forward(self, x_BHW: Tensor, time_B: Tensor, _: Tensor) -> Tensor:
        return (self.goal_BHW - x_BHW) / (1.0 - time_B[:, None, None]).clamp_min(1e-6)


def test_the_true_velocity_has_no_error_and_one_step_of_it_is_the_target() -> None:
    model, (scene, target) = build(), wet_scenes(6)
    model.prepare([(scene, target)])
    with torch.no_grad():
        goal = (model.normalised(target) - model.mean.mean(scene)) / model.residual_scale
    model.network = Straight(goal)
    loss, rain_rate, _ = model.objective(scene, target)
    assert loss.item() < 1e-6
    torch.testing.assert_close(rain_rate, target, rtol=1e-3, atol=1e-4)


def test_training_leaves_the_mean_as_it_is() -> None:
    model, (scene, target) = build(), wet_scenes(8)
    model.prepare([(scene, target)])
    before = copy.deepcopy(model.mean.state_dict())
    losses = fit(model.train(), scene, target, steps=40)
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])
    for name, value in model.mean.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_objectives_reach_all_weights_but_those_of_the_mean() -> None:
    model, (scene, target) = build((8, 8, 16)), wet_scenes(6)
    model.prepare([(scene, target)])
    moved(model)
    require_gradients(model, scene, target)
    with torch.autocast("cpu", torch.bfloat16):
        loss, rain_rate, _ = model.objective(scene, target)
    assert (loss.dtype, rain_rate.dtype) == (torch.float32, torch.float32)
    assert rain_rate.min() == 0.0


@pytest.mark.slow
def test_four_tiles_are_memorised() -> None:
    model, (scene, target) = build(), wet_scenes(4)
    model.prepare([(scene, target)])
    fit(model, Scene(*(plane.repeat(4, 1, 1) for plane in scene)), target.repeat(4, 1, 1), 600)
    for fields in model.sample(scene, members=2, generator=torch.Generator().manual_seed(8)):
        assert log_error(model, fields, target) < 0.4 * log_error(model, scene.low, target)
