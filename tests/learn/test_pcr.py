from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from minkgen.errors import EmptySplitError, InputError, TrainingError
from minkgen.evaluate.metrics import EmulatorStatistics, emulator_scores
from minkgen.learn.data import Batch, TileReader
from minkgen.learn.losses import signed_log1p
from minkgen.learn.pcr import PcrDesign, PcrGamma, fit_pcr
from minkgen.learn.surrogate import GammaDefinition
from minkgen.recipe import PCR
from minkgen.store.snapshot import Snapshot
from tests.learn.conftest import MakeSnapshot

NAMES = ("area", "perimeter", "components")
SETTINGS = PCR(components=12, basis_tiles=60, seed=3)


def design(
    components: int = 6, functionals: tuple[str, ...] = ("area", "euler_4"), size: int = 8
) -> PcrDesign:
    definition = GammaDefinition((0.1, 1.0, 4.0), 2.0, 0.1, (0.5, 0.25), "alive")
    return PcrDesign(definition, functionals, components, size, log_max=3.0)


def rain(count: int, size: int = 8, seed: int = 0) -> torch.Tensor:
    """Return rain of six patterns, so that six components hold all of its log."""
    random = np.random.default_rng(seed)
    patterns = np.random.default_rng(99).random((6, size, size))
    logs = 0.2 + np.tensordot(random.random((count, 6)), patterns, axes=1)
    return torch.from_numpy(np.expm1(logs).astype(np.float32))


def batches(tiles: torch.Tensor, gamma: torch.Tensor, size: int) -> list[Batch]:
    return [Batch(*pair) for pair in zip(tiles.split(size), gamma.split(size), strict=True)]


def linear_gamma(tiles: torch.Tensor) -> torch.Tensor:
    """Return γ of which the log is linear in the log of the rain; the Euler number is negative."""
    random = torch.Generator().manual_seed(5)
    slopes = torch.rand(64, 6, generator=random)
    logs = (torch.log1p(tiles).flatten(1) @ slopes / 40.0).view(-1, 2, 3)
    return torch.expm1(logs) * torch.tensor([1.0, -1.0])[:, None]


def test_a_linear_target_is_learned_completely() -> None:
    regression = PcrGamma(design())
    tiles = rain(80)
    regression.learn_basis(tiles[:40], seed=0)
    regression.regress(batches(tiles, linear_gamma(tiles), 16))
    unseen = rain(50, seed=1)
    expected = linear_gamma(unseen)
    assert (expected[:, 1] < 0.0).all()
    torch.testing.assert_close(regression(unseen), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", [1, 7, 300])
def test_one_pass_equals_least_squares_on_everything(size: int) -> None:
    random = torch.Generator().manual_seed(2)
    tiles = torch.rand(90, 8, 8, generator=random) * 5.0
    gamma = torch.randn(90, 2, 3, generator=random) * 50.0
    regression = PcrGamma(design(components=10))
    regression.learn_basis(tiles, seed=0)
    regression.regress(batches(tiles, gamma, size))
    scores = regression.scores(tiles).double().numpy()
    matrix = np.column_stack([np.ones(90), scores])
    solution = np.linalg.lstsq(matrix, signed_log1p(gamma.double()).numpy().reshape(90, 6))[0]
    np.testing.assert_allclose(regression.intercepts.flatten(), solution[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(regression.slopes.flatten(1), solution[1:], rtol=1e-4, atol=1e-5)


def test_the_basis_is_that_of_the_exact_decomposition() -> None:
    tiles = rain(60)
    regression = PcrGamma(design())
    regression.learn_basis(tiles, seed=0)
    logs = (torch.log1p(tiles).flatten(1) / 3.0).double().numpy()
    centred = logs - logs.mean(axis=0)
    exact = np.linalg.svd(centred, full_matrices=False)[2][:6]
    basis = regression.basis.double().numpy()
    np.testing.assert_allclose(basis.T @ basis, np.eye(6), atol=1e-5)
    overlap = np.linalg.svd(exact @ basis)[1]
    np.testing.assert_allclose(overlap, 1.0, atol=1e-4)
    np.testing.assert_allclose(regression.scores(tiles).mean(dim=0), 0.0, atol=1e-5)


def test_the_basis_follows_from_the_seed_alone() -> None:
    tiles = torch.rand(60, 8, 8, generator=torch.Generator().manual_seed(0)) * 5.0
    bases = []
    for seed, drawn_before in ((1, 0), (1, 5), (2, 0)):
        torch.rand(drawn_before)
        before = torch.get_rng_state()
        regression = PcrGamma(design())
        regression.learn_basis(tiles, seed)
        assert torch.equal(torch.get_rng_state(), before)
        bases.append(regression.basis)
    assert torch.equal(bases[0], bases[1])
    assert not torch.equal(bases[0], bases[2])


def test_fewer_directions_than_components_are_no_trouble() -> None:
    tiles = rain(4)
    regression = PcrGamma(design(components=6))
    regression.learn_basis(tiles[[0, 1, 2, 3, 0, 1, 2, 3]], seed=0)
    regression.regress(batches(tiles, linear_gamma(tiles), 2))
    torch.testing.assert_close(regression(tiles), linear_gamma(tiles), rtol=1e-2, atol=1e-2)


def test_a_snapshot_is_fitted(snapshot: Snapshot) -> None:
    regression = fit_pcr(snapshot, SETTINGS)
    assert regression.functionals == NAMES
    assert regression.design.components == 12
    assert regression.definition == GammaDefinition.of(snapshot)
    (batch,) = TileReader(snapshot, "train", NAMES).in_order(1000)
    predicted = regression(batch.rain_rate)
    scores = emulator_scores(
        EmulatorStatistics.of(predicted.numpy(), batch.gamma.numpy(), NAMES),
        np.ones(len(regression.thresholds)),
    ).as_dict()
    assert scores["r2"]["log1p"]["mean"] > 0.5
    again = fit_pcr(snapshot, SETTINGS)
    assert all(
        torch.equal(a, b) for a, b in zip(regression.buffers(), again.buffers(), strict=True)
    )
    other = fit_pcr(snapshot, SETTINGS.model_copy(update={"seed": 4}))
    assert not torch.equal(other.basis, regression.basis)


def test_a_small_split_has_fewer_components(snapshot: Snapshot) -> None:
    regression = fit_pcr(snapshot, PCR(components=500), ("area",), max_tiles=20)
    assert regression.design.components == 19
    assert regression(torch.ones(1, 32, 32)).shape == (1, 1, 5)


def test_a_split_without_rain_is_refused(make_snapshot: MakeSnapshot) -> None:
    with pytest.raises(EmptySplitError):
        fit_pcr(make_snapshot(all_dry=("train",)), SETTINGS)


def test_what_is_not_finite_is_refused() -> None:
    tiles = rain(8)
    broken = linear_gamma(tiles)
    broken[3] = math.nan
    regression = PcrGamma(design())
    regression.learn_basis(tiles, seed=0)
    for given in ([], batches(tiles, broken, 4)):
        with pytest.raises(TrainingError, match="nothing to regress on"):
            regression.regress(given)


def test_state_and_design_are_all_there_is() -> None:
    tiles = rain(30)
    regression = PcrGamma(design())
    regression.learn_basis(tiles, seed=0)
    regression.regress(batches(tiles, linear_gamma(tiles), 10))
    stored = json.loads(json.dumps(regression.design.as_dict()))
    rebuilt = PcrGamma(PcrDesign.from_dict(stored))
    assert rebuilt.design == regression.design
    rebuilt.load_state_dict(regression.state_dict())
    assert torch.equal(rebuilt(tiles), regression(tiles))


def test_only_euler_numbers_are_negative() -> None:
    regression = PcrGamma(design())
    regression.intercepts.fill_(-2.0)
    gamma = regression(rain(2))
    assert (gamma[:, 0] == 0.0).all()
    torch.testing.assert_close(gamma[:, 1], torch.full((2, 3), -math.expm1(2.0)))


def test_drizzle_is_dry_and_gradients_are_those_of_the_function() -> None:
    tiles = rain(30)
    regression = PcrGamma(design())
    regression.learn_basis(tiles, seed=0)
    regression.regress(batches(tiles, linear_gamma(tiles), 10))
    drizzling, dry = tiles[:4].clone(), tiles[:4].clone()
    drizzling[:, 2:5], dry[:, 2:5] = torch.tensor([0.05, -1.0, 0.099])[:, None], 0.0
    torch.testing.assert_close(regression(drizzling), regression(dry))
    doubled = regression.double()
    assert torch.autograd.gradcheck(doubled, tiles[:2].double().requires_grad_())


def test_tiles_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match="another size"):
        PcrGamma(design())(torch.zeros(1, 9, 8))
