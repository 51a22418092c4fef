from __future__ import annotations

import pytest
import torch
from torch import nn

from minkgen.errors import InputError
from minkgen.learn.superres.blocks import SelfAttention
from minkgen.learn.superres.context_unet import ContextUNet
from minkgen.learn.superres.model import Scene
from minkgen.learn.superres.unet import ResidualUNet, UNet
from tests.learn.superres.made_up import (
    FEATURES,
    LOG_MAX,
    fit,
    log_error,
    moved,
    require_gradients,
    wet_scenes,
)


def build(features: tuple[int, ...] = FEATURES) -> ResidualUNet:
    torch.manual_seed(0)
    return ResidualUNet(LOG_MAX, features)


@pytest.mark.parametrize(
    ("features", "shape"),
    [((8, 16), (2, 4)), ((8, 8, 8, 8), (128, 128)), ((24, 8, 16), (20, 32)), ((8,) * 5, (16, 48))],
)
def test_a_new_one_gives_the_low_resolution(
    features: tuple[int, ...], shape: tuple[int, int]
) -> None:
    low = 50.0 * torch.rand(2, *shape) ** 4
    low[1] = 0.0
    fields = build(features).sample(Scene(low, torch.randn_like(low)), members=3)
    assert fields.shape == (3, 2, *shape)
    torch.testing.assert_close(fields, low.expand(3, -1, -1, -1), rtol=1e-5, atol=1e-6)


def test_sides_that_cannot_be_halved_are_refused() -> None:
    model = build((8, 8, 8))
    with pytest.raises(InputError, match="cannot be halved") as refused:
        model.sample(Scene(torch.zeros(1, 32, 30), torch.zeros(1, 32, 30)))
    assert refused.value.expected == "sides that are multiples of 4"


def test_no_field_is_below_zero() -> None:
    model, (scene, _) = build(), wet_scenes(6)
    moved(model, by=0.3)
    with torch.no_grad():
        below = (model.mean(scene) < 0.0).float().mean()
    assert 0.05 < below < 0.95
    fields = model.sample(scene)
    assert fields.min() == 0.0
    assert torch.equal(fields[0] > 0.0, model.mean(scene) > 0.0)


def test_the_loss_is_of_normalised_logarithms() -> None:
    model, (scene, target) = build(), wet_scenes(6)
    loss, rain_rate, _ = model.objective(scene, target)
    logarithms = torch.log1p(rain_rate) / LOG_MAX, torch.log1p(target) / LOG_MAX
    assert loss.item() == pytest.approx((logarithms[0] - logarithms[1]).square().mean().item())
    require_gradients(moved(model), scene, target)


def test_rain_that_falls_out_of_a_field_below_zero_has_a_gradient() -> None:
    model = build()
    with torch.no_grad():
        model.network.last.bias.fill_(-1.0)
    dry = torch.zeros(1, 8, 8)
    loss, rain_rate, _ = model.objective(Scene(dry, dry), torch.ones(1, 8, 8))
    assert rain_rate.max() == 0.0
    torch.autograd.backward(loss)
    assert model.network.last.bias.grad is not None
    assert model.network.last.bias.grad.item() < 0.0


def test_samples_do_not_see_each_other() -> None:
    model, (scene, _) = moved(build()), wet_scenes(6)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    together = model.sample(scene)
    shuffled = model.sample(Scene(scene.low[order], scene.terrain[order]))
    torch.testing.assert_close(shuffled, together[:, order])


def test_rain_and_terrain_are_both_seen() -> None:
    model, (scene, _) = moved(build()), wet_scenes(3)
    here = model.sample(scene)
    flat = model.sample(scene._replace(terrain=torch.zeros_like(scene.terrain)))
    assert (here - flat).abs().max() > 0.01


def test_autocast_rounds_convolutions_but_not_the_field() -> None:
    model, (scene, target) = moved(build()), wet_scenes(3)
    rounded: list[torch.dtype] = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, __, output: rounded.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        loss, rain_rate, _ = model.objective(scene, target)
        require_gradients(model, scene, target)
    assert set(rounded) == {torch.bfloat16}
    assert (loss.dtype, rain_rate.dtype) == (torch.float32, torch.float32)
    # A field that went through bfloat16 would have no more than 8 bits.
    assert (rain_rate.bfloat16().float() != rain_rate).float().mean() > 0.2


def test_attention_of_low_resolutions_begins_with_nothing() -> None:
    torch.manual_seed(0)
    plain = UNet(3, (8, 8, 8), context=4)
    attending = UNet(3, (8, 8, 8), context=4, attention_from=2)
    extra = attending.load_state_dict(plain.state_dict(), strict=False)
    assert {name.rpartition("attention")[0] for name in extra.missing_keys} == {"down.2."}
    for network in (plain, attending):
        nn.init.normal_(network.last.weight, generator=torch.Generator().manual_seed(1))
    x, context = torch.randn(2, 3, 32, 32), torch.randn(2, 4)
    assert torch.equal(plain(x, context), attending(x, context))


def test_attention_sees_the_far_corner() -> None:
    torch.manual_seed(0)
    attention = SelfAttention(64)
    nn.init.normal_(attention.out.weight)
    x = torch.randn(1, 64, 8, 8)
    seen = attention(x)
    # Attention has no notion of place: moved positions give moved answers.
    torch.testing.assert_close(attention(x.flip(2, 3)), seen.flip(2, 3))
    x[..., 0, 0] += 5.0
    assert (attention(x) - seen)[..., -1, -1].abs().max() > 0.01


def test_generative_networks_are_told_the_time() -> None:
    torch.manual_seed(0)
    network = ContextUNet(2, (16, 16))
    nn.init.normal_(network.network.last.weight)
    state, given = torch.randn(1, 8, 8), torch.randn(1, 2, 8, 8)
    fields = [network(state, torch.tensor([time]), given) for time in (0.0, 0.001, 0.5, 1.0)]
    for number, field in enumerate(fields):
        for other in fields[:number]:
            assert (field - other).abs().max() > 1e-3


def test_four_tiles_are_memorised() -> None:
    model, (scene, target) = build(), wet_scenes(4)
    fit(model, scene, target, steps=150)
    of_low = log_error(model, scene.low, target)
    assert log_error(model, model.sample(scene)[0], target) < 0.2 * of_low


@pytest.mark.slow
def test_sixteen_tiles_are_memorised() -> None:
    model, (scene, target) = build((16, 32, 64)), wet_scenes(16)
    fit(model, scene, target, steps=600)
    fields = model.sample(scene)[0]
    assert log_error(model, fields, target) < 0.02 * log_error(model, scene.low, target)
    assert (fields - target).abs().mean() < 0.15 * (scene.low - target).abs().mean()
