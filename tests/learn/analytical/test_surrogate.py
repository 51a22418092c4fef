from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from minkgen.errors import InputError
from minkgen.evaluate.metrics import EmulatorStatistics
from minkgen.gamma.matrix import gamma_matrix
from minkgen.grid import TEST_2KM
from minkgen.learn.analytical import CLOSED_FORMS, AnalyticalGamma
from minkgen.learn.losses import minkowski_terms, signed_log1p
from minkgen.learn.surrogate import GammaDefinition
from minkgen.opera.synthetic import rain_field
from minkgen.recipe import Analytical
from tests.gamma.fields import FIELDS

THRESHOLDS = (0.1, 0.15, 0.5, 1.0, 2.0, 5.0)
PLAIN = Analytical(closing=False, opening=False, persistence_mask=False)
EXACT_LIMITS = ("area", "perimeter_crofton", "euler_4")


def build(
    settings: Analytical = PLAIN,
    functionals: tuple[str, ...] = CLOSED_FORMS,
    *,
    thresholds: tuple[float, ...] = THRESHOLDS,
    drizzle: float = 0.1,
    floor: float = 1.0,
) -> AnalyticalGamma:
    definition = GammaDefinition(thresholds, 2.0, drizzle, (floor, 0.5), "alive")
    return AnalyticalGamma(definition, settings, functionals)


def rain(count: int = 3, seed: int = 0, shape: tuple[int, int] = (24, 31)) -> torch.Tensor:
    """Return smooth rain on the grid of the products, drizzle zeroed."""
    random = np.random.default_rng(seed)
    noise = gaussian_filter(random.standard_normal((count, *shape)), (0, 1.5, 1.5))
    values = np.round(np.exp(2.5 * noise / noise.std() - 1.0), 2)
    return torch.from_numpy(np.where(values < 0.1, 0.0, values).astype(np.float32))


def exact(tiles: torch.Tensor, functionals: tuple[str, ...]) -> torch.Tensor:
    return torch.from_numpy(
        gamma_matrix(tiles.numpy(), THRESHOLDS, pixel_km=2.0, functionals=functionals)
    )


def gradient(surrogate: AnalyticalGamma, tiles: torch.Tensor) -> torch.Tensor:
    given = tiles.clone().requires_grad_()
    signed_log1p(surrogate(given)).sum().backward()
    assert given.grad is not None
    return given.grad


@pytest.mark.parametrize("name", FIELDS)
def test_the_hard_limit_is_exact(name: str) -> None:
    """Also where many pixels are equal to a threshold; fields are put on the products' grid."""
    field = np.nan_to_num(FIELDS[name].astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    field = field.round(2).astype(np.float32)
    thresholds = (0.01, 0.1, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 21.0)
    surrogate = build(functionals=EXACT_LIMITS, thresholds=thresholds, drizzle=0.005).double()
    surrogate.temper(1e-9)
    (soft,) = surrogate(torch.from_numpy(field)[None]).numpy()
    hard = gamma_matrix(field, thresholds, pixel_km=2.0, functionals=EXACT_LIMITS)
    # Equal pixels share the count of a face in thirds, which leaves the last digits of doubles.
    np.testing.assert_allclose(soft[[0, 2]], hard[[0, 2]], rtol=0.0, atol=1e-9)
    np.testing.assert_allclose(soft[1], hard[1], rtol=2e-6)


def test_the_colder_the_nearer_to_exact() -> None:
    tiles, surrogate = rain(), build(functionals=EXACT_LIMITS)
    errors = []
    for scale in (1.0, 0.3, 0.1, 0.03, 0.01):
        surrogate.temper(scale)
        off = signed_log1p(surrogate(tiles)) - signed_log1p(exact(tiles, EXACT_LIMITS))
        errors.append(off.abs().mean(dim=(0, 2)))
    assert (torch.stack(errors).diff(dim=0) < 0.0).all(), errors
    assert (errors[-1] < 0.01).all()


@pytest.mark.parametrize("estimator", ["central-differences", "crofton"])
def test_perimeters_come_near_the_functionals_they_stand_for(estimator: str) -> None:
    names = ("perimeter", "perimeter_closed")
    tiles = rain(8, shape=(96, 96))
    surrogate = build(PLAIN.model_copy(update={"perimeter": estimator}), names)
    surrogate.temper(0.01)
    soft, hard = surrogate(tiles), exact(tiles, names)
    ratio = soft.sum(dim=(0, 2)) / hard.sum(dim=(0, 2))
    assert ((ratio > 0.8) & (ratio < 1.05)).all(), ratio
    # What runs along the frame counts in one and not in the other.
    wet = torch.full((1, 50, 60), 9.0)
    assert surrogate(wet)[0, 0].abs().max() < 1e-3
    torch.testing.assert_close(surrogate(wet)[0, 1], exact(wet, names)[0, 1], rtol=0.08, atol=0.0)


def test_made_up_weather_is_measured_well() -> None:
    """R² as the table has it; the area of soft sets is off where true sets are a few pixels."""
    names = ("area", "perimeter")
    noons = [datetime(2024, 7, day, 12, tzinfo=UTC) for day in range(1, 7)]
    frames = np.stack([rain_field(TEST_2KM, noon, seed=day) for day, noon in enumerate(noons)])
    cut = frames.reshape(6, 4, 128, 5, 128).swapaxes(2, 3).reshape(-1, 128, 128)
    cut = np.where(cut < np.float32(0.1), np.float32(0.0), cut)
    tiles = torch.from_numpy(cut[np.isfinite(cut).all(axis=(1, 2)) & (cut > 0).any(axis=(1, 2))])
    assert len(tiles) > 40
    for settings, least in (
        (Analytical(), (0.98, 0.97)),
        (Analytical(area="straight-through", perimeter="crofton"), (1.0, 0.98)),
    ):
        soft, hard = build(settings, names)(tiles), exact(tiles, names)
        statistics = EmulatorStatistics.of(soft.numpy(), hard.numpy(), names)
        assert (statistics.log1p.r2.mean(axis=1) >= least).all(), statistics.log1p.r2


def test_straight_through_counts_pixels_and_learns_from_soft_sets() -> None:
    tiles = rain()
    soft = build(PLAIN, ("area",))
    hard = build(PLAIN.model_copy(update={"area": "straight-through"}), ("area",))
    assert torch.equal(hard(tiles), exact(tiles, ("area",)))
    assert not torch.equal(hard(tiles), soft(tiles))

    def slopes(surrogate: AnalyticalGamma) -> torch.Tensor:
        given = tiles.clone().requires_grad_()
        surrogate(given).sum().backward()
        assert given.grad is not None
        return given.grad

    torch.testing.assert_close(slopes(hard), slopes(soft))


def test_a_dry_tile_has_nothing() -> None:
    assert not build(Analytical())(torch.zeros(2, 128, 128)).any()


def test_area_never_grows_with_the_threshold() -> None:
    for scale in (0.1, 1.0, 20.0):
        surrogate = build(functionals=("area",))
        surrogate.temper(scale)
        area = surrogate(rain())[:, 0]
        assert (area.diff(dim=1) <= 0.0).all()
        assert (area <= 24 * 31 * 4.0).all()


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("flipped", [False, True])
def test_symmetries_of_the_square(turns: int, flipped: bool) -> None:
    surrogate, tiles = build(Analytical(opening=True)), rain()

    def moved(field: torch.Tensor) -> torch.Tensor:
        turned = torch.rot90(field, turns, (1, 2))
        return turned.flip(2) if flipped else turned

    torch.testing.assert_close(surrogate(moved(tiles)), surrogate(tiles), rtol=1e-5, atol=1e-3)
    # Of equal pixels in a window, pooling gives one the gradient: the filters are left out.
    plain = build()
    torch.testing.assert_close(
        gradient(plain, moved(tiles)), moved(gradient(plain, tiles)), rtol=1e-3, atol=1e-4
    )


def test_samples_do_not_see_each_other() -> None:
    surrogate, tiles = build(Analytical()), rain(5)
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(surrogate(tiles[order]), surrogate(tiles)[order])
    torch.testing.assert_close(surrogate(tiles[2:3]), surrogate(tiles)[2:3])


def test_the_same_bits_again() -> None:
    surrogate, tiles = build(Analytical()), rain()
    assert torch.equal(surrogate(tiles), surrogate(tiles))
    assert torch.equal(gradient(surrogate, tiles), gradient(surrogate, tiles))


@pytest.mark.parametrize("estimator", ["central-differences", "crofton"])
def test_gradients_are_those_of_the_function(estimator: str) -> None:
    settings = Analytical(opening=True, perimeter=estimator)
    surrogate = build(settings, thresholds=(0.3, 1.0, 2.0), floor=0.3).double()
    random = torch.Generator().manual_seed(1)
    tiles = 0.2 + 2.5 * torch.rand(2, 5, 6, generator=random, dtype=torch.float64)
    assert torch.autograd.gradcheck(surrogate, tiles.requires_grad_(), eps=1e-7, atol=1e-4)


def test_every_functional_has_finite_gradients_that_are_not_zero() -> None:
    for settings in (PLAIN, Analytical(), Analytical(opening=True, area="straight-through")):
        for name in CLOSED_FORMS:
            slope = gradient(build(settings, (name,)), rain(shape=(40, 40)))
            assert torch.isfinite(slope).all(), name
            assert (slope != 0.0).any(dim=(1, 2)).all(), name


def test_drizzle_is_dry_but_can_learn_to_rain() -> None:
    tiles = rain()
    dense = torch.where(tiles == 0.0, torch.tensor(0.099), tiles)
    negative = torch.where(tiles == 0.0, torch.tensor(-3.0), tiles)
    for settings in (PLAIN, Analytical(), Analytical(area="straight-through")):
        surrogate = build(settings)
        torch.testing.assert_close(surrogate(dense), surrogate(tiles))
        torch.testing.assert_close(surrogate(negative), surrogate(tiles))
    area = build(functionals=("area",))
    dry = tiles == 0.0
    # Just below the lowest threshold the gate is steep; far below it is flat.
    assert gradient(area, dense)[dry].min() > 30.0 * gradient(area, tiles)[dry].max() > 0.0


def test_a_descent_makes_the_rain_that_is_asked_for() -> None:
    surrogate = build(Analytical(), ("area", "perimeter", "components"))
    target = surrogate(rain(1)).detach()
    field = rain(1, seed=7).requires_grad_()
    measure = torch.ones(len(THRESHOLDS))
    optimiser = torch.optim.Adam([field], lr=0.05)
    losses = []
    for _ in range(40):
        loss = minkowski_terms(surrogate(field), target, measure).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert min(losses) < 0.5 * losses[0]


def test_filters_concern_components_alone() -> None:
    tiles = rain()
    plain, filtered = build(PLAIN), build(Analytical())
    differs = [
        not torch.equal(one, other)
        for one, other in zip(plain(tiles).unbind(1), filtered(tiles).unbind(1), strict=True)
    ]
    assert dict(zip(CLOSED_FORMS, differs, strict=True)) == {
        name: name == "components" for name in CLOSED_FORMS
    }
    torch.testing.assert_close(
        plain(tiles)[:, CLOSED_FORMS.index("components")],
        plain(tiles)[:, CLOSED_FORMS.index("euler_4")],
    )


def test_the_mask_takes_the_floor_of_the_definition() -> None:
    tiles = rain()
    counted = [build(Analytical(), ("components",), floor=floor)(tiles) for floor in (0.1, 3.0)]
    assert not torch.equal(*counted)
    assert build(Analytical(), ("components",), floor=1e4)(tiles).abs().max() < 1e-5


def test_more_thresholds_keep_no_more_memory() -> None:
    def kept(count: int) -> int:
        thresholds = tuple(np.linspace(0.2, 5.0, count).tolist())
        surrogate = build(Analytical(), CLOSED_FORMS, thresholds=thresholds)
        storages: dict[int, int] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            output = surrogate(rain().requires_grad_())
        assert output.requires_grad
        return sum(storages.values())

    assert kept(30) < kept(3) + 10_000


def test_temperatures_follow_the_recipe_and_the_annealing() -> None:
    settings = Analytical(temperature_factor=0.2, temperature_floor_mm_h=0.05)
    surrogate = build(settings)
    expected = [max(0.2 * u, 0.05) for u in THRESHOLDS]
    assert surrogate.temperatures.tolist() == pytest.approx(expected)
    before = surrogate(rain())
    surrogate.temper(3.0)
    warm = surrogate(rain())
    assert not torch.equal(warm, before)
    taken_up = build(settings)
    taken_up.load_state_dict(surrogate.state_dict())
    assert torch.equal(taken_up(rain()), warm)
    surrogate.temper(1.0)
    assert torch.equal(surrogate(rain()), before)


def test_what_has_no_closed_form_is_refused() -> None:
    with pytest.raises(InputError, match="closed form") as raised:
        build(functionals=("area", "holes"))
    assert raised.value.got == "holes"
    for scale in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="positive"):
            build().temper(scale)


def test_prediction_mode_gives_the_same() -> None:
    surrogate, tiles = build(Analytical()), rain()
    with torch.inference_mode():
        predicted = surrogate(tiles)
    assert torch.equal(predicted, surrogate(tiles.requires_grad_()).detach())
