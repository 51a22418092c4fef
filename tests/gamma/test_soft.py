"""γ with soft steps: sums over weight maps, derivatives, drizzle."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minkgen.errors import InputError
from minkgen.gamma.functionals import FUNCTIONALS, UNITS
from minkgen.gamma.matrix import gamma_matrix
from minkgen.gamma.pairs import persistence_pairs
from minkgen.gamma.soft import SoftGamma
from minkgen.gamma.weights import weight_maps
from tests.gamma.fields import FIELDS

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

THRESHOLDS = np.array([0.1, 0.11, 0.13, 0.5, 1.0, 1.05, 2.0, 3.0, 4.0, 21.0], np.float32)
COUNTS = [name for name in FUNCTIONALS if UNITS[name] == "1"]


def _soft(thresholds: npt.ArrayLike = THRESHOLDS, factor: float = 0.1, **options: Any) -> SoftGamma:
    """Make soft γ with the recipe's temperatures."""
    options = {"pixel_km": 2.0, "drizzle_mm_h": 0.1, **options}
    met = np.maximum(np.asarray(thresholds, np.float64), options["drizzle_mm_h"])
    return SoftGamma(thresholds, factor * met, **options)


class _Twin:
    """Soft γ of one tile and its derivatives as dense sums in float64 over public weight maps.

    Drizzle is scaled to next to nothing, but not to zero: it keeps its order, and lifetimes that
    end in it are those to 0.
    """

    def __init__(self, field: Float32, soft: SoftGamma, temperatures: Float64) -> None:
        drizzle = np.float32(soft.drizzle)
        finite = np.where(np.isfinite(field), field, np.float32(0))
        met = np.maximum(soft.thresholds.astype(np.float64), soft.drizzle)
        kept = finite >= min(soft.drizzle, (met - temperatures).min())
        ordered = np.where(finite >= drizzle, finite, kept * finite * np.float32(2.0**-70))
        options: Any = {"pixel_km": soft.pixel_km, "min_persistence": soft.floors}
        maps = weight_maps(ordered, functionals=soft.functionals, **options).astype(np.float64)
        # By threshold, too: the essential component may count at some of them only.
        self.weights = np.repeat(maps[:, None], met.size, axis=1)
        if soft.essential == "background" and "components" in soft.functionals:
            place = np.unravel_index(persistence_pairs(ordered).birth_pixel[0], field.shape)
            row = soft.functionals.index("components")
            self.weights[row, soft.thresholds > np.float32(0.01), *place] -= 1.0
        self.temperatures = temperatures[:, None, None]
        self.met = met[:, None, None]
        self.rates = np.where(kept, finite.astype(np.float64), 0.0)

    def steps(self, rates: Float64) -> Float64:
        t = np.clip((rates - self.met) / self.temperatures, -1, 1)
        return np.asarray(0.5 + (3 * t - t**3) / 4)

    def slopes(self) -> Float64:
        t = np.clip((self.rates - self.met) / self.temperatures, -1, 1)
        return np.asarray(0.75 * (1 - t**2) / self.temperatures)

    def gamma(self) -> Float64:
        return np.asarray(np.einsum("fqhw,qhw->fq", self.weights, self.steps(self.rates)))

    def pull_back(self, gradient: Float32) -> Float64:
        return np.asarray(np.einsum("fq,fqhw,qhw->hw", gradient, self.weights, self.slopes()))

    def push_forward(self, direction: Float32) -> Float64:
        return np.asarray(np.einsum("fqhw,qhw,hw->fq", self.weights, self.slopes(), direction))

    def sizes(self, slopes: Float64) -> Float64:
        """Return the sum of absolute terms: what rounding is relative to."""
        return np.asarray(np.einsum("fqhw,qhw->fq", np.abs(self.weights), slopes)) + 1.0


def _random(*shape: int) -> Float32:
    return np.random.default_rng(7).standard_normal(shape).astype(np.float32)


SETTINGS: dict[str, dict[str, Any]] = {
    "usual": {},
    "floors": {"min_persistence": (1.0, 0.5), "pixel_km": 0.3},
    "background": {"essential": "background", "min_persistence": (0.25, 0.0)},
    "background, low": {
        "essential": "background",
        "thresholds": [0.005, 0.01, 0.02, 1.0],
        "drizzle_mm_h": 0.0,
    },
    "softest": {"factor": 1.0},
    "much drizzle": {"drizzle_mm_h": 1.02},
    "two of them": {"functionals": ["holes", "perimeter"]},
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_all_equal_dense_sums_over_weight_maps(setting: str) -> None:
    soft = _soft(**SETTINGS[setting])
    factor = SETTINGS[setting].get("factor", 0.1)
    temperatures = factor * np.maximum(soft.thresholds.astype(np.float64), soft.drizzle)
    for name, field in FIELDS.items():
        twin = _Twin(field, soft, temperatures)
        gradient = _random(len(soft.functionals), soft.thresholds.size)
        direction = _random(*field.shape)
        tolerance = 2.0**-23 * twin.sizes(twin.steps(twin.rates))
        off = np.abs(soft.soft(field) - twin.gamma())
        assert (off <= tolerance).all(), f"{name}: soft off by {off.max()}"
        steep = 4e-7 * twin.sizes(twin.slopes()) * np.abs(direction).max()
        off = np.abs(soft.push_forward(field, direction) - twin.push_forward(direction))
        assert (off <= steep).all(), f"{name}: derivative off by {off.max()}"
        expected = twin.pull_back(gradient)
        off = np.abs(soft.pull_back(field, gradient) - expected)
        # At a pixel terms of several weights cancel; at the end of a step its slope does; at the
        # frame so does what `perimeter` leaves out.
        largest = np.einsum(
            "fq,fqhw,qhw->hw", np.abs(gradient), np.abs(twin.weights), twin.slopes()
        ).max()
        assert (off <= 1e-6 * largest + 4e-6).all(), f"{name}: gradient off by {off.max()}"


@pytest.mark.parametrize("essential", ["alive", "background"])
@pytest.mark.parametrize("drizzle", [0.0, 0.1, 1.0])
def test_hard_is_gamma_of_the_zeroed_field(drizzle: float, essential: str) -> None:
    thresholds = [0.01, 0.1, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0]
    options: Any = {"pixel_km": 2.0, "min_persistence": (0.5, 0.2), "essential": essential}
    soft = _soft(thresholds, drizzle_mm_h=drizzle, **options)
    for name, field in FIELDS.items():
        zeroed = np.where(field >= np.float32(drizzle), field, np.float32(0))
        expected = gamma_matrix(zeroed, thresholds, **options)
        np.testing.assert_array_equal(soft.hard(field), expected, err_msg=name)


@pytest.mark.parametrize("drizzle", [0.01, 0.3])
def test_the_soft_form_tends_to_the_hard_one(drizzle: float) -> None:
    """Rates are on a grid of 0.01, thresholds between: then a temperature of 0.001 is hard."""
    thresholds = np.array([0.125, 0.295, 0.305, 0.995, 1.005, 2.005, 3.115], np.float32)
    options: Any = {"pixel_km": 2.0, "drizzle_mm_h": drizzle, "min_persistence": (0.5, 0.2)}
    soft = SoftGamma(thresholds, np.full(7, 1e-3), **options)
    for name in ("rain", "plateaus", "a tile", "larger than a tile", "ring touching the frame"):
        field = FIELDS[name].round(2)
        hard, softened = soft.hard(field), soft.soft(field)
        for functional, expected, got in zip(FUNCTIONALS, hard, softened, strict=True):
            rtol = 0 if functional in COUNTS else 1e-5
            np.testing.assert_allclose(got, expected, rtol=rtol, atol=0, err_msg=functional)


def test_a_rate_on_a_threshold_counts_half() -> None:
    soft = _soft([1.0], functionals=["area"])
    field = np.array([[1.0, 2.0, 1.1, 0.9, 0.95]], np.float32)
    # s(1/2) = 27/32
    np.testing.assert_allclose(soft.soft(field), [[4 * (0.5 + 1 + 1 + 0 + 5 / 32)]], rtol=1e-5)


def _distinct(seed: int, height: int, width: int) -> Float64:
    """Draw rates with gaps of at least 0.008, each within 0.001 of a multiple of 0.01."""
    random = np.random.default_rng(seed)
    steps = 1 + random.permutation(height * width)
    return 0.01 * (steps + random.uniform(-0.1, 0.1, steps.size)).reshape(height, width)


@pytest.mark.parametrize("name", FUNCTIONALS)
@pytest.mark.parametrize("seed", range(3))
def test_gradients_equal_finite_differences_in_float64(name: str, seed: int) -> None:
    """Weights are computed anew on either side; floors lie between lifetimes."""
    rates = _distinct(seed, 15, 18)
    thresholds = np.array([0.1, 0.12, 0.4, 0.9, 1.3, 1.9], np.float32)
    temperatures = 0.1 * thresholds.astype(np.float64)
    soft = _soft(thresholds, min_persistence=(0.105, 0.055), functionals=[name])
    random = np.random.default_rng(seed)
    step = 2e-5
    for _ in range(3):
        direction = random.uniform(-1, 1, rates.shape)
        ends = []
        for side in (rates + step * direction, rates - step * direction):
            twin = _Twin(side.astype(np.float32), soft, temperatures)
            twin.rates = side
            ends.append(twin.gamma())
        difference = ((ends[0] - ends[1]) / (2 * step))[0]
        field = rates.astype(np.float32)
        derivative = soft.push_forward(field, direction.astype(np.float32))[0]
        assert np.abs(difference).max() > 1.0
        np.testing.assert_allclose(
            derivative, difference, rtol=1e-3, atol=1e-5 * np.abs(difference).max()
        )
        gradient = random.standard_normal((1, 6)).astype(np.float32)
        slope = (soft.pull_back(field, gradient).astype(np.float64) * direction).sum()
        assert slope == pytest.approx(gradient[0] @ difference, rel=1e-3, abs=1e-3)


RATES = st.sampled_from([0.0, 0.05, 0.094, 0.096, 0.1, 0.104, 0.52, 1.0, 1.02, -1.0, np.nan])
SMALL_FIELDS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=7),
    elements=RATES,
    fill=st.nothing(),
)


@given(field=SMALL_FIELDS, seed=st.integers(0, 99), floor=st.sampled_from([0.0, 0.45, 0.93]))
def test_forward_and_backward_are_adjoint(field: Float32, seed: int, floor: float) -> None:
    soft = _soft(min_persistence=floor)
    random = np.random.default_rng(seed)
    direction = random.standard_normal(field.shape).astype(np.float32)
    gradient = random.standard_normal((8, THRESHOLDS.size)).astype(np.float32)
    change = soft.push_forward(field, direction).astype(np.float64)
    slopes = soft.pull_back(field, gradient).astype(np.float64)
    allowed = 1e-6 * (np.abs(change * gradient).sum() + np.abs(slopes * direction).sum()) + 1e-4
    assert (change * gradient).sum() == pytest.approx((slopes * direction).sum(), abs=allowed)


def test_components_less_holes_is_euler_8_pixel_by_pixel() -> None:
    """At ε = 0 and without ties, drizzle included."""
    field = (0.09 + 0.1 * _distinct(1, 20, 23)).astype(np.float32)
    soft = _soft(functionals=["components", "holes", "euler_8"])
    gradient = np.zeros((3, THRESHOLDS.size), np.float32)
    gradient[:] = np.array([1, -1, -1])[:, None]
    slopes = soft.pull_back(field, gradient)
    alone = soft.pull_back(field, np.abs(gradient) * np.array([[0], [0], [1]], np.float32))
    drizzle = field < np.float32(0.1)
    assert (alone[drizzle] != 0).any()
    np.testing.assert_allclose(slopes, 0, atol=1e-5 * np.abs(alone).max())


def test_drizzle_on_the_lowest_step_has_a_gradient_and_no_other() -> None:
    field = np.array([[0.095, 0.0, 0.05, 0.0, 0.12, 0.099]], np.float32)
    soft = _soft([0.1, 5.0], functionals=["area"])
    slopes = soft.pull_back(field, np.ones((1, 2), np.float32))
    assert (slopes[0, [0, 5]] > 0).all()
    np.testing.assert_array_equal(slopes[0, 1:5], 0)
    assert soft.hard(field)[0, 0] == 4.0


def test_a_component_dies_at_its_saddle_in_the_drizzle() -> None:
    """Its lifetime is that to 0: with a floor of 0.45 it counts, though 0.5 - 0.096 does not."""
    ridge = np.array([[0.5, 0.096, 0.7, 0.0]], np.float32)
    soft = _soft([0.1, 0.3], functionals=["components"], min_persistence=0.45)
    np.testing.assert_array_equal(soft.hard(ridge), [[2, 2]])
    slopes = soft.pull_back(ridge, np.ones((1, 2), np.float32))
    assert slopes[0, 1] < 0
    np.testing.assert_array_equal(slopes[0, [0, 2, 3]], 0)


def test_a_component_that_dies_in_dry_ground_pulls_at_its_maximum_only() -> None:
    """Not in the first of the zeroed pixels, where the kernel lets it die, though on a step."""
    field = np.array([[0.095, 0.0], [0.0, 0.0], [2.0, 0.0], [0.0, 0.0], [3.0, 0.0]], np.float32)
    soft = _soft([0.1, 2.0], functionals=["components"], min_persistence=0.5)
    expected = np.zeros_like(field)
    expected[2, 0] = 0.75 / 0.2
    slopes = soft.pull_back(field, np.ones((1, 2), np.float32))
    np.testing.assert_allclose(slopes, expected, rtol=1e-6)


def test_no_gradient_away_from_all_steps() -> None:
    field = FIELDS["a tile"].round() + (FIELDS["a tile"] > 0) * np.float32(0.5)
    soft = _soft([1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(soft.pull_back(field, _random(8, 4)), 0)
    np.testing.assert_array_equal(soft.push_forward(field, _random(*field.shape)), 0)


def test_thresholds_below_the_drizzle_are_met_where_it_is() -> None:
    field = FIELDS["random"]
    low, at = (_soft([u, 2.0], drizzle_mm_h=0.5) for u in (0.2, 0.5))
    for method in (SoftGamma.hard, SoftGamma.soft):
        np.testing.assert_array_equal(method(low, field), method(at, field))
    gradient = _random(8, 2)
    np.testing.assert_array_equal(low.pull_back(field, gradient), at.pull_back(field, gradient))


def test_missing_pixels_are_dry_and_have_no_gradient() -> None:
    soft = _soft()
    field = FIELDS["NaN and infinities"]
    dry = np.where(np.isfinite(field), field, np.float32(0))
    gradient = _random(8, THRESHOLDS.size)
    np.testing.assert_array_equal(soft.soft(field), soft.soft(dry))
    slopes = soft.pull_back(field, gradient)
    np.testing.assert_array_equal(slopes, soft.pull_back(dry, gradient))
    np.testing.assert_array_equal(slopes[~np.isfinite(field)], 0)


@pytest.mark.parametrize("leading", [(), (1,), (3, 2), (0,)])
def test_tiles_of_a_batch_do_not_meet(leading: tuple[int, ...]) -> None:
    """Also in whatever order: dry, full and missing tiles leave nothing behind."""
    soft = _soft(min_persistence=(0.3, 0.1))
    tiles = np.stack([FIELDS["random, sparse"], np.zeros((60, 60)), FIELDS["rain"]] * 2)
    tiles[3] = np.nan
    tiles[4] += 0.3
    batch = tiles.astype(np.float32)[: int(np.prod(leading))].reshape(*leading, 60, 60)
    gradient, direction = _random(*leading, 8, THRESHOLDS.size), _random(*leading, 60, 60)
    before = batch.tobytes()
    batch.flags.writeable = False
    gamma, slopes = soft.soft(batch), soft.pull_back(batch, gradient)
    hard, change = soft.hard(batch), soft.push_forward(batch, direction)
    assert batch.tobytes() == before
    assert gamma.shape == hard.shape == change.shape == (*leading, 8, THRESHOLDS.size)
    assert slopes.shape == batch.shape
    assert {array.dtype for array in (gamma, slopes, hard, change)} == {np.dtype(np.float32)}
    for index in np.ndindex(leading):
        tile = batch[index]
        np.testing.assert_array_equal(gamma[index], soft.soft(tile))
        np.testing.assert_array_equal(hard[index], soft.hard(tile))
        np.testing.assert_array_equal(slopes[index], soft.pull_back(tile, gradient[index]))
        np.testing.assert_array_equal(change[index], soft.push_forward(tile, direction[index]))


GOOD = np.ones((3, 4), np.float32)
BAD_OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "no thresholds": ({"thresholds": []}, "no thresholds"),
    "drizzle below 0": ({"drizzle_mm_h": -0.1}, "got: -0.1"),
    "drizzle NaN": ({"drizzle_mm_h": np.nan}, "got: nan"),
    "too soft": ({"factor": 1.1}, "steps are too soft"),
    "temperature 0": ({"factor": 0.0}, "temperatures cannot be used"),
    "temperature NaN": ({"factor": np.nan}, "temperatures cannot be used"),
    "temperature infinite": ({"factor": np.inf}, "temperatures cannot be used"),
    "unknown functional": ({"functionals": ["volume"]}, "got: 'volume'"),
    "essential": ({"essential": "dead"}, "got: 'dead'"),
    "negative floor": ({"min_persistence": -1.0}, "got: -1.0"),
    "pixel size": ({"pixel_km": 0.0}, "got: 0.0"),
}


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_bad_options_are_refused(name: str) -> None:
    options, message = BAD_OPTIONS[name]
    with pytest.raises(InputError, match=message):
        _soft(**options)


def test_one_temperature_for_each_threshold() -> None:
    with pytest.raises(InputError, match="10 finite numbers"):
        SoftGamma(THRESHOLDS, [0.1], pixel_km=2.0, drizzle_mm_h=0.1)


def test_steps_may_begin_at_0_whatever_float32_makes_of_a_threshold() -> None:
    """Of 0.7 it makes a little less, of 0.1 a little more."""
    soft = _soft([0.1, 0.7], factor=1.0, functionals=["area"])
    np.testing.assert_array_equal(soft.soft(np.zeros((3, 3), np.float32)), 0)


def test_steps_in_another_order_than_thresholds_are_refused() -> None:
    with pytest.raises(InputError, match="after those of lower thresholds"):
        SoftGamma([1.0, 1.1], [0.1, 0.9], pixel_km=2.0, drizzle_mm_h=0.1)


def test_arrays_that_do_not_fit_are_refused() -> None:
    soft = _soft()
    with pytest.raises(InputError, match=r"expected: floats, shape \(8, 10\)"):
        soft.pull_back(GOOD, np.ones((8, 9), np.float32))
    with pytest.raises(InputError, match=r"expected: floats, shape \(3, 4\)"):
        soft.push_forward(GOOD, np.ones((3, 4), np.int64))
    with pytest.raises(InputError, match="got: int64"):
        soft.soft(np.ones((3, 4), np.int64))
