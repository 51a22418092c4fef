from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from minkgen.errors import InputError
from minkgen.learn.emulators import EmulatorDesign, EmulatorNetwork
from minkgen.learn.emulators.heads import ConstrainedHeads
from minkgen.learn.emulators.network import input_gradient_norms, spectral_product
from minkgen.learn.losses import signed_log1p
from minkgen.learn.prediction import predict
from minkgen.learn.surrogate import GammaDefinition
from minkgen.recipe import Architecture

THRESHOLDS = tuple(np.geomspace(0.1, 10.0, 7).astype(np.float32).tolist())
DEFINITION = GammaDefinition(
    thresholds=THRESHOLDS, pixel_km=2.0, drizzle_mm_h=0.1, floors=(0.5, 0.5), essential="alive"
)
DESIGN = EmulatorDesign(
    definition=DEFINITION,
    architecture="lip-cnn-constrained",
    perimeter="perimeter",
    widths=(8, 16, 32),
    latent=12,
    log_max=5.0,
    tile_size=24,
)
TILE_AREA = (24 * 2.0) ** 2
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)


def build(seed: int = 0, design: EmulatorDesign = DESIGN, **changes: Any) -> EmulatorNetwork:
    torch.manual_seed(seed)
    return EmulatorNetwork(replace(design, **changes))


def decode(raw: torch.Tensor) -> torch.Tensor:
    return ConstrainedHeads(DESIGN).decode(raw)


def tiles(count: int = 6, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    rates = torch.exp(3.0 * torch.randn(count, 24, 24, generator=random))
    rates[0] = 0.0
    rates[1] = 1e4
    return torch.where(rates < 0.1, 0.0, rates)


def require_possible(gamma: np.ndarray[Any, Any]) -> None:
    """Check in float64 what holds for the float32 values, to the letter."""
    assert gamma.dtype == np.float32
    assert np.isfinite(gamma).all()
    assert (gamma >= 0.0).all()
    area, perimeter = gamma[:, 0].astype(np.float64), gamma[:, 1].astype(np.float64)
    assert (area <= TILE_AREA).all()
    assert (np.diff(area, axis=1) <= 0.0).all()
    assert (perimeter**2 >= 4.0 * math.pi * area * (1.0 - 1e-5)).all()


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1e3])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("architecture", ["lip-cnn-constrained", "cnn-constrained"])
def test_no_weights_make_an_impossible_gamma(architecture: str, scale: float, seed: int) -> None:
    emulator = build(seed, architecture=architecture)
    with torch.no_grad():
        for parameter in emulator.heads.parameters():
            parameter.mul_(scale)
        gamma = emulator.eval()(tiles(seed=seed))
    assert gamma.shape == (6, 3, len(THRESHOLDS))
    require_possible(gamma.numpy())


@pytest.mark.parametrize("scale", [0.1, 3.0, 40.0, 150.0])
def test_no_raw_output_of_the_heads_makes_an_impossible_gamma(scale: float) -> None:
    raw = scale * torch.randn(20_000, 1 + 3 * len(THRESHOLDS))
    require_possible(decode(raw).numpy())


def test_the_heads_by_hand() -> None:
    count = len(THRESHOLDS)
    raw = torch.zeros(1, 1 + 3 * count)
    raw[0, 0] = math.log(3.0)  # three quarters of the tile
    area, perimeter, components = decode(raw)[0].tolist()
    expected = [0.75 * TILE_AREA * (count - q) / count for q in range(count)]
    assert area == pytest.approx(expected, rel=1e-6)
    softplus = math.log(2.0)
    assert perimeter == pytest.approx(
        [math.sqrt(4.0 * math.pi * value) * (1.0 + softplus) for value in expected], rel=1e-6
    )
    assert components == pytest.approx([softplus] * count)


def test_gradients_are_finite_where_a_set_is_empty() -> None:
    raw = torch.zeros(1, 1 + 3 * len(THRESHOLDS))
    raw[0, 0], raw[0, 1] = -200.0, 200.0  # no area at all, and none of it above the first threshold
    raw.requires_grad_()
    gamma = decode(raw)
    assert gamma[0, 0, 1].item() == 0.0
    torch.log1p(gamma).sum().backward()
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()


def test_every_convolution_but_the_first_has_norm_one() -> None:
    emulator = build().train()
    with torch.no_grad():
        for _ in range(60):
            emulator(tiles(2))
    emulator.eval()
    stem = torch.linalg.matrix_norm(emulator.trunk.stem.weight.detach().flatten(1), 2).item()
    assert spectral_product(emulator) == pytest.approx(stem, rel=5e-2)
    convolutions = {
        name: module for name, module in emulator.named_modules() if isinstance(module, nn.Conv2d)
    }
    assert sum(".skip" in name for name in convolutions) == 2
    assert len(convolutions) == 1 + 3 * 2 + 2
    for name, module in convolutions.items():
        norm = torch.linalg.matrix_norm(module.weight.flatten(1), 2).item()
        assert is_parametrized(module) == (name != "trunk.stem"), name
        if name != "trunk.stem":
            assert norm == pytest.approx(1.0, rel=1e-2), name


def test_the_amount_of_rain_reaches_the_heads() -> None:
    # A normalised network that lost it could not tell one shower from a tile full of them.
    shower = torch.zeros(2, 24, 24)
    shower[0, 2:6, 2:6] = 3.0
    shower[1] = 3.0
    outputs: list[torch.Tensor] = []
    emulator = build().eval()
    handle = emulator.trunk.latent.register_forward_pre_hook(
        lambda _, given: outputs.append(given[0])
    )
    with torch.no_grad():
        emulator(shower)
    handle.remove()
    small, large = outputs[0]
    assert float((large - small).norm()) > float(small.norm())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_training_starts_from_the_climatology(architecture: str) -> None:
    area = np.array([900.0, 700.0, 400.0, 200.0, 100.0, 20.0, 4.0])
    gamma = np.stack([area, 8.0 * np.sqrt(area), np.linspace(6.0, 0.5, 7)])
    emulator = build(architecture=architecture)
    emulator.heads.start_from(np.log1p(gamma))
    with torch.no_grad():
        emulator.heads.linear.weight.zero_()
        started = emulator.eval()(tiles(3))
    for sample in started.numpy():
        np.testing.assert_allclose(sample, gamma, rtol=1e-3)


def test_an_impossible_climatology_starts_from_the_nearest_possible_one() -> None:
    # Contours are open along a tile's frame: mean perimeters can be shorter than a disk's.
    gamma = np.zeros((3, 7))
    gamma[0] = TILE_AREA
    emulator = build()
    emulator.heads.start_from(np.log1p(gamma))
    with torch.no_grad():
        require_possible(emulator.eval()(tiles()).numpy())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_samples_do_not_see_each_other(architecture: str) -> None:
    emulator, batch = build(architecture=architecture).eval(), tiles(6)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    with torch.no_grad():
        together = emulator(batch)
        torch.testing.assert_close(emulator(batch[order]), together[order])
        torch.testing.assert_close(emulator(batch[2:3]), together[2:3])


def test_the_input_has_a_gradient() -> None:
    batch = tiles(3).clamp_min(0.05).requires_grad_()
    build().eval()(batch).sum().backward()
    assert batch.grad is not None
    assert torch.isfinite(batch.grad).all()
    assert (batch.grad != 0.0).float().mean() > 0.5


def test_units_and_scale_belong_to_the_module() -> None:
    state = build().state_dict()
    assert state["thresholds"].tolist() == list(THRESHOLDS)
    assert float(state["log_max"]) == 5.0
    assert build().functionals == ("area", "perimeter", "components")
    closed = build(perimeter="perimeter_closed")
    assert closed.functionals == ("area", "perimeter_closed", "components")
    plain = json.loads(json.dumps(DESIGN.as_dict()))
    assert EmulatorDesign.from_dict(plain) == DESIGN


@pytest.mark.parametrize(("size", "side"), [(9, 3), (24, 6), (128, 32)])
def test_sizes_that_do_not_halve_evenly_lose_no_pixel(size: int, side: int) -> None:
    emulator = build(widths=(8, 8, 8), tile_size=size).eval()
    shapes: list[torch.Size] = []
    emulator.trunk.stages[-1].register_forward_hook(
        lambda _, __, output: shapes.append(output.shape)
    )
    with torch.no_grad():
        emulator(torch.full((1, size, size), 0.5))
    assert shapes == [(1, 8, side, side)]
    assert emulator.trunk.positions == side * side


def test_tiles_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match="another size"):
        build()(torch.zeros(2, 24, 25))
    with pytest.raises(InputError, match="too small"):
        build(widths=(8, 8, 8), tile_size=3)
    with pytest.raises(InputError, match="no such architecture"):
        build(architecture="transformer")


def test_predicting_does_not_change_the_emulator() -> None:
    emulator = build().eval()
    before = copy.deepcopy(emulator.state_dict())
    predicted = predict(emulator, tiles(4).numpy())
    assert predicted.shape == (4, 3, 7)
    with torch.no_grad():
        np.testing.assert_array_equal(predicted, emulator(tiles(4)).numpy())
    for name, value in emulator.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_drizzle_is_dry(architecture: str) -> None:
    emulator, batch = build(architecture=architecture).eval(), tiles(3)
    drizzle = torch.where(batch == 0.0, 0.0999, batch)
    below = torch.where(batch == 0.0, -5.0, batch)
    with torch.no_grad():
        expected = emulator(batch)
        assert torch.equal(emulator(drizzle), expected)
        assert torch.equal(emulator(below), expected)
        assert not torch.equal(emulator(torch.where(batch == 0.0, 0.11, batch)), expected)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_an_architecture_is_made_of(architecture: str) -> None:
    emulator = build(architecture=architecture)
    kinds = [type(module) for module in emulator.modules()]
    lipschitz = architecture.startswith("lip")
    assert (nn.GroupNorm in kinds, nn.BatchNorm2d in kinds) == (lipschitz, not lipschitz)
    assert any(is_parametrized(module) for module in emulator.modules()) == lipschitz
    raw = emulator.heads.linear.out_features
    assert raw == 3 * len(THRESHOLDS) + architecture.endswith("-constrained")
    outputs = emulator.train()(tiles(6))
    outputs.sum().backward()
    assert all(parameter.grad is not None for parameter in emulator.parameters())


def test_free_heads_are_compared_in_the_log_space_they_predict() -> None:
    heads = build(architecture="lip-cnn").heads
    latent = torch.randn(50, 12, generator=torch.Generator().manual_seed(0))
    gamma = heads(latent)
    assert (gamma < 0.0).any()
    torch.testing.assert_close(signed_log1p(gamma).flatten(1), heads.linear(latent))


def test_autocast_rounds_the_convolutions_alone() -> None:
    emulator, batch = build().train(), tiles(6)
    with torch.no_grad():
        for _ in range(3):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                rounded = emulator(batch)
        emulator.eval()
        exact = emulator(batch)
        norm = torch.linalg.matrix_norm(emulator.trunk.stages[0].first.weight.flatten(1), 2)
    assert not torch.equal(rounded, exact)
    require_possible(rounded.numpy())
    buffers = dict(emulator.named_buffers())
    assert {buffer.dtype for buffer in buffers.values()} == {torch.float32}
    # The power iteration has run on float32: a norm that bfloat16 rounded would be 1e-2 off.
    first = emulator.trunk.stages[0].first
    with torch.no_grad():
        twin = build().train()
        for _ in range(3):
            twin(batch)
        twin.eval()
    torch.testing.assert_close(
        norm,
        torch.linalg.matrix_norm(twin.trunk.stages[0].first.weight.flatten(1), 2),
        rtol=1e-6,
        atol=0.0,
    )
    assert is_parametrized(first)


def test_noise_is_of_training_and_of_its_size() -> None:
    torch.manual_seed(0)
    noisy, batch = EmulatorNetwork(DESIGN, input_noise=0.25), tiles(6)
    seen: list[torch.Tensor] = []
    noisy.trunk.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        noisy.train()(batch)
        noisy.eval()(batch)
        clean = noisy.normalised(batch)
    assert float((seen[0] - clean).std()) == pytest.approx(0.25, rel=0.05)
    assert torch.equal(seen[1], clean)


def test_input_gradients_are_those_of_finite_differences() -> None:
    # All rates differ: where two are equal, max-pooling has a kink.
    batch = 0.2 + torch.rand(2, 24, 24, generator=torch.Generator().manual_seed(3)).double()
    emulator = build(seed=1).double().eval()
    norms = input_gradient_norms(emulator, batch)
    assert norms.shape == (2,)
    assert all(parameter.grad is None for parameter in emulator.parameters())
    x = emulator.normalised(batch)
    direction = torch.zeros_like(x).requires_grad_()
    signed_log1p(emulator.gamma_of(x + direction)).mean(dim=(1, 2)).sum().backward()
    assert direction.grad is not None
    unit = direction.grad / direction.grad.flatten(1).norm(dim=1)[:, None, None, None]
    step = 1e-6
    with torch.no_grad():
        ahead, behind = (
            signed_log1p(emulator.gamma_of(x + sign * step * unit)).mean(dim=(1, 2))
            for sign in (1.0, -1.0)
        )
    torch.testing.assert_close((ahead - behind) / (2 * step), norms, rtol=1e-3, atol=0.0)


def test_an_emulator_in_training_mode_predicts_nothing() -> None:
    with pytest.raises(InputError, match="training mode"):
        predict(build().train(), tiles().numpy())
