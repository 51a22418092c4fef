"""The exact surrogate: γ itself, differentiable."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from minkgen.errors import InputError
from minkgen.gamma.functionals import FUNCTIONALS
from minkgen.gamma.matrix import gamma_matrix
from minkgen.learn import exact
from minkgen.learn.exact import ExactGamma
from minkgen.learn.passes import backward_pass, forward_pass
from minkgen.learn.surrogate import GammaDefinition
from minkgen.recipe.learning import Exact
from tests.learn.conftest import rain

THRESHOLDS = (0.1, 0.12, 0.5, 1.0, 2.0, 5.0)
DEFINITION = GammaDefinition(THRESHOLDS, 2.0, 0.1, (0.5, 0.2), "alive")
PAPER = ("area", "perimeter", "components")


def prediction(count: int, *, seed: int = 0) -> Tensor:
    """Return what a network might put out: dense, in places below 0."""
    noise = np.random.default_rng(seed).normal(0.02, 0.05, (count, 32, 32))
    return torch.tensor(rain(count, seed) + noise, dtype=torch.float32)


def loss_of(gamma_BFQ: Tensor) -> Tensor:
    """Weigh all entries differently."""
    weights = torch.linspace(-1.0, 2.0, gamma_BFQ[0].numel()).reshape(gamma_BFQ.shape[1:])
    return (gamma_BFQ * weights).sum()


def gradient(surrogate: ExactGamma, rain_rate_BHW: Tensor) -> Tensor:
    leaf = rain_rate_BHW.clone().requires_grad_()
    loss_of(surrogate(leaf)).backward()
    assert leaf.grad is not None
    return leaf.grad


FIELDS = {
    "real-like": rain(6, 1),
    "dense": prediction(6).numpy(),
    "plateaus": np.kron(rain(4, 2)[:, ::4, ::4].round(), np.ones((1, 4, 4))).astype(np.float32),
    "not square": rain(3, 3)[:, :20, :],
    "larger than a tile": np.tile(rain(2, 4), (1, 5, 6))[:, :150, :],
    "a row": rain(3, 5)[:, 9:10, :],
    "dry": np.zeros((2, 5, 7), np.float32),
    "nothing": np.zeros((0, 5, 7), np.float32),
}


@pytest.mark.parametrize("essential", ["alive", "background"])
@pytest.mark.parametrize("name", FIELDS)
def test_forward_is_gamma_of_the_zeroed_field_bit_for_bit(name: str, essential: str) -> None:
    definition = GammaDefinition((0.01, *THRESHOLDS), 2.0, 0.1, (0.5, 0.2), essential)
    field = FIELDS[name]
    gamma = ExactGamma(definition, FUNCTIONALS)(torch.from_numpy(field))
    expected = gamma_matrix(
        np.where(field >= np.float32(0.1), field, np.float32(0)),
        definition.thresholds,
        pixel_km=2.0,
        min_persistence=definition.floors,
        essential=essential,
    )
    assert gamma.dtype == torch.float32
    assert gamma.numpy().tobytes() == expected.tobytes()


def test_functionals_are_chosen_and_ordered() -> None:
    fields = prediction(3)
    every = ExactGamma(DEFINITION, FUNCTIONALS)(fields)
    chosen = ExactGamma(DEFINITION, ["holes", "area"])(fields)
    torch.testing.assert_close(chosen, every[:, [3, 0]], rtol=0, atol=0)


def soft(functionals: Any = FUNCTIONALS, definition: GammaDefinition = DEFINITION) -> ExactGamma:
    return ExactGamma(definition, functionals, Exact(forward="soft"))


def test_the_gradient_is_that_of_the_soft_form_hard_or_soft_forward() -> None:
    fields = prediction(4)
    hard = ExactGamma(DEFINITION, FUNCTIONALS)
    torch.testing.assert_close(gradient(soft(), fields), gradient(hard, fields), rtol=0, atol=0)
    assert not torch.equal(soft()(fields), hard(fields))


# Torch's own rules for forward mode are written in what it has deprecated since.
in_forward_mode = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")


@in_forward_mode
@pytest.mark.parametrize("forward", ["hard", "soft"])
def test_forward_mode_and_backward_are_adjoint(forward: Any) -> None:
    surrogate = ExactGamma(DEFINITION, FUNCTIONALS, Exact(forward=forward))
    fields, direction = prediction(3), torch.randn(3, 32, 32)
    gamma, change = torch.func.jvp(surrogate, (fields,), (direction,))
    torch.testing.assert_close(gamma, surrogate(fields), rtol=0, atol=0)
    slopes = gradient(surrogate, fields)
    along = (slopes.double() * direction).sum()
    torch.testing.assert_close(loss_of(change.double()), along, rtol=1e-5, atol=1e-3)
    with forward_ad.dual_level():
        dual = forward_ad.unpack_dual(surrogate(forward_ad.make_dual(fields, direction)))
    torch.testing.assert_close(dual.tangent, change, rtol=0, atol=0)
    by_function = torch.func.grad(lambda tiles: loss_of(surrogate(tiles)))(fields)
    torch.testing.assert_close(by_function, slopes, rtol=0, atol=0)


@in_forward_mode
def test_a_small_step_changes_the_soft_form_as_the_gradient_says() -> None:
    surrogate, random = soft(), np.random.default_rng(5)
    # All rates differ, by more than the step.
    rates = 0.05 + 0.004 * (random.permutation(2 * 30 * 30) % 1500)
    fields = torch.tensor(rates.reshape(2, 30, 30) + random.uniform(0, 1e-3, (2, 30, 30)))
    fields = fields.float()
    direction = torch.randn(2, 30, 30)
    _, change = torch.func.jvp(surrogate, (fields,), (direction,))
    step = 1e-4
    difference = (surrogate(fields + step * direction) - surrogate(fields - step * direction)) / (
        2 * step
    )
    area = FUNCTIONALS.index("area")
    # Of 450 pixels in float32: weights of other functionals jump where lifetimes cross the floor.
    torch.testing.assert_close(change[:, area], difference[:, area], rtol=5e-3, atol=2.0)


def test_descent_leads_to_the_target() -> None:
    """From other rain to given γ, on soft steps: hard ones leave most pixels without a pull."""
    surrogate = ExactGamma(DEFINITION, PAPER)
    surrogate.temper(8.0)
    target = surrogate(torch.from_numpy(rain(2, 8)[1:]))
    field = nn.Parameter(torch.from_numpy(rain(3, 9)[2:]) + 0.2)
    optimiser = torch.optim.Adam([field], lr=0.05)
    losses = []
    for _ in range(60):
        loss = (torch.log1p(surrogate(field)) - torch.log1p(target)).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_results_depend_neither_on_threads_nor_on_the_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exact, "_PIECE", 3)
    fields = prediction(10)
    results = []
    for threads in (1, 2, 5, None):
        surrogate = ExactGamma(DEFINITION, FUNCTIONALS, threads=threads)
        results.append((surrogate(fields), gradient(surrogate, fields)))
    for gamma, slopes in results[1:]:
        assert torch.equal(gamma, results[0][0])
        assert torch.equal(slopes, results[0][1])
    order = torch.randperm(10)
    assert torch.equal(surrogate(fields[order]), results[0][0][order])
    assert torch.equal(gradient(surrogate, fields[order]), results[0][1][order])


def test_passes_on_arrays() -> None:
    surrogate, fields = ExactGamma(DEFINITION, PAPER), prediction(3)
    gamma = forward_pass(surrogate)(fields.numpy())
    np.testing.assert_array_equal(gamma, surrogate(fields))
    leaf = fields.clone().requires_grad_()
    surrogate(leaf).sum().backward()
    np.testing.assert_array_equal(backward_pass(surrogate)(fields.numpy()), leaf.grad)


def test_nothing_is_kept_without_a_gradient() -> None:
    surrogate = ExactGamma(DEFINITION, PAPER)
    with torch.no_grad():
        gamma = surrogate(prediction(2).requires_grad_())
    assert gamma.grad_fn is None
    assert surrogate(prediction(2)).grad_fn is None


def test_gradients_add_up_and_have_none_themselves() -> None:
    surrogate, leaf = ExactGamma(DEFINITION, PAPER), prediction(2).requires_grad_()
    loss = loss_of(surrogate(leaf)).square()
    (once,) = torch.autograd.grad(loss, leaf, retain_graph=True, create_graph=True)
    loss.backward()
    loss_of(surrogate(leaf)).square().backward()
    assert leaf.grad is not None
    torch.testing.assert_close(leaf.grad, 2 * once.detach(), rtol=0, atol=0)
    with pytest.raises(InputError, match="differentiated twice"):
        once.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_are_computed_in_float32(dtype: torch.dtype) -> None:
    surrogate, leaf = ExactGamma(DEFINITION, PAPER), prediction(3).to(dtype).requires_grad_()
    gamma = surrogate(leaf)
    assert gamma.dtype == torch.float32
    assert torch.equal(gamma, surrogate(leaf.detach().float()))
    loss_of(gamma).backward()
    assert leaf.grad is not None
    assert leaf.grad.dtype == dtype
    expected = gradient(surrogate, leaf.detach().float()).to(dtype)
    torch.testing.assert_close(leaf.grad, expected, rtol=0, atol=0)


def test_a_network_learns_through_it_under_autocast() -> None:
    surrogate = ExactGamma(DEFINITION, PAPER)
    network = nn.Conv2d(1, 1, 3, padding=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(prediction(2)[:, None])[:, 0] + 0.3
        gamma = surrogate(output)
    assert output.dtype == torch.bfloat16
    assert gamma.dtype == torch.float32
    loss_of(gamma).backward()
    assert network.weight.grad is not None
    assert network.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_by_its_sample(value: float) -> None:
    fields = prediction(4)
    fields[2, 3, 5:7] = value
    with pytest.raises(InputError, match=r"sample 2\n.*2 of 1024 pixels.*1 of 4 samples"):
        ExactGamma(DEFINITION, PAPER)(fields)
    huge = torch.full((2, 8, 8), 3e38)
    assert ExactGamma(DEFINITION, PAPER)(huge).isfinite().all()


@pytest.mark.parametrize(
    "tensor", [torch.zeros(8, 8), torch.zeros(1, 1, 8, 8), torch.zeros(2, 8, 8, dtype=torch.int32)]
)
def test_no_batch_of_tiles(tensor: Tensor) -> None:
    with pytest.raises(InputError, match="no batch of tiles"):
        ExactGamma(DEFINITION, PAPER)(tensor)


def test_tempering_softens_the_gradient_and_not_gamma() -> None:
    fields, surrogate = prediction(3), ExactGamma(DEFINITION, PAPER)
    gamma, slopes = surrogate(fields), gradient(surrogate, fields)
    leaf = fields.clone().requires_grad_()
    before = surrogate(leaf)
    surrogate.temper(3.0)
    assert torch.equal(surrogate(fields), gamma)
    softer = gradient(surrogate, fields)
    assert (softer != 0).sum() > 2 * (slopes != 0).sum()
    # Each call goes back as it came.
    loss_of(before).backward()
    assert leaf.grad is not None
    assert torch.equal(leaf.grad, slopes)
    as_recipe = ExactGamma(DEFINITION, PAPER, Exact(temperature_factor=0.3))
    torch.testing.assert_close(gradient(as_recipe, fields), softer, rtol=1e-5, atol=1e-3)


def test_the_scale_is_kept_with_the_state_and_in_copies() -> None:
    surrogate, other = ExactGamma(DEFINITION, PAPER), ExactGamma(DEFINITION, PAPER)
    surrogate.temper(2.0)
    other.load_state_dict(surrogate.state_dict())
    fields = prediction(2)
    expected = gradient(surrogate, fields)
    assert torch.equal(gradient(other, fields), expected)
    assert torch.equal(gradient(copy.deepcopy(surrogate), fields), expected)
    assert list(surrogate.parameters()) == []


@pytest.mark.parametrize(
    ("scale", "message"),
    [(0.0, "got: 0.0"), (-1.0, "got: -1.0"), (np.nan, "got: nan"), (10.5, "too soft")],
)
def test_scales_that_cannot_be_used(scale: float, message: str) -> None:
    surrogate = ExactGamma(DEFINITION, PAPER)
    with pytest.raises(InputError, match=message):
        surrogate.temper(scale)
    assert surrogate.temperature_scale.item() == 1.0


def test_bad_definitions_are_refused_at_once() -> None:
    with pytest.raises(InputError, match="got: 'volume'"):
        ExactGamma(DEFINITION, ["volume"])
    with pytest.raises(InputError, match="got: 0"):
        ExactGamma(DEFINITION, PAPER, threads=0)
    with pytest.raises(InputError, match="steps are too soft"):
        ExactGamma(DEFINITION, PAPER, Exact(temperature_factor=1.5))


def test_nothing_is_copied_on_the_processor() -> None:
    surrogate = ExactGamma(DEFINITION, PAPER)
    gradient(surrogate, prediction(2))
    assert surrogate.copied_bytes == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="copies need a GPU")
def test_tensors_of_a_gpu_are_copied_and_counted() -> None:
    surrogate, fields = ExactGamma(DEFINITION, PAPER), prediction(5)
    gamma, slopes = surrogate(fields), gradient(surrogate, fields)
    surrogate = surrogate.cuda()
    leaf = fields.cuda().requires_grad_()
    on_gpu = surrogate(leaf)
    assert on_gpu.device == leaf.device
    assert torch.equal(on_gpu.cpu(), gamma)
    assert surrogate.copied_bytes == fields.nbytes + gamma.nbytes
    (on_gpu * torch.linspace(-1.0, 2.0, 18).reshape(3, 6).cuda()).sum().backward()
    assert leaf.grad is not None
    torch.testing.assert_close(leaf.grad.cpu(), slopes, rtol=0, atol=0)
    assert surrogate.copied_bytes == 3 * fields.nbytes + 2 * gamma.nbytes
