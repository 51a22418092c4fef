import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import r2_score

from minkgen.errors import InputError
from minkgen.evaluate.metrics import EmulatorStatistics, Violations, emulator_scores, signed_log1p

FUNCTIONALS = ("area", "perimeter", "components")


def random_gammas(samples=37, thresholds=5, seed=0):
    rng = np.random.default_rng(seed)
    target = rng.gamma(0.5, 1000.0, (samples, 3, thresholds))
    predicted = target * rng.lognormal(0.0, 0.3, target.shape)
    return predicted.astype(np.float32), target.astype(np.float32)


def scores_of(predicted, target, measure=None):
    statistics = EmulatorStatistics.of(predicted, target, FUNCTIONALS)
    weights = np.ones(target.shape[2]) if measure is None else measure
    return emulator_scores(statistics, weights)


def test_r2_equals_scikit_learn_per_functional_and_threshold():
    predicted, target = random_gammas()
    scores = scores_of(predicted, target)
    for transform, got in ((signed_log1p, scores.r2_log1p), (np.float64, scores.r2_physical)):
        for functional in range(3):
            expected = r2_score(
                transform(target[:, functional]),
                transform(predicted[:, functional]),
                multioutput="raw_values",
            )
            np.testing.assert_allclose(got[functional], expected, rtol=1e-12)


def test_means_are_over_thresholds_and_then_over_functionals():
    predicted, target = random_gammas()
    scores = scores_of(predicted, target)
    table = scores.as_dict()
    by_functional = scores.r2_log1p.mean(axis=1)
    assert table["r2"]["log1p"]["area"] == pytest.approx(by_functional[0])
    assert table["r2"]["log1p"]["mean"] == pytest.approx(by_functional.mean())
    assert table["mae"]["perimeter"] == pytest.approx(
        np.abs(predicted.astype(float) - target)[:, 1].mean()
    )


def test_loss_by_hand_in_both_measures():
    target = np.zeros((2, 3, 2))
    predicted = np.zeros((2, 3, 2))
    predicted[0, 0, 0] = math.e - 1.0  # one unit of log error at the first threshold
    predicted[1, 2, 1] = math.e**3 - 1.0  # three units at the second
    scores = scores_of(predicted, target, measure=[0.25, 0.5])
    assert scores.loss_counting == pytest.approx((1.0 + 3.0) / 2)
    assert scores.loss_measure == pytest.approx((0.25 * 1.0 + 0.5 * 3.0) / 2)


@settings(deadline=None, max_examples=50)
@given(cuts=st.lists(st.integers(1, 36), max_size=6, unique=True), seed=st.integers(0, 99))
def test_any_grouping_into_batches_gives_the_same_scores(cuts, seed):
    predicted, target = random_gammas(seed=seed)
    edges = [0, *sorted(cuts), 37]
    parts = [
        EmulatorStatistics.of(predicted[start:stop], target[start:stop], FUNCTIONALS)
        for start, stop in pairwise(edges)
    ]
    merged = parts[-1]
    for part in reversed(parts[:-1]):
        merged = part.merge(merged)
    measure = np.full(5, 0.2)
    whole = emulator_scores(EmulatorStatistics.of(predicted, target, FUNCTIONALS), measure)
    got = emulator_scores(merged, measure)
    np.testing.assert_allclose(got.r2_log1p, whole.r2_log1p, rtol=1e-10)
    np.testing.assert_allclose(got.r2_physical, whole.r2_physical, rtol=1e-10)
    np.testing.assert_allclose(got.mae, whole.mae, rtol=1e-12)
    assert got.loss_measure == pytest.approx(whole.loss_measure, rel=1e-12)
    assert (got.samples, got.predicted, got.target) == (37, whole.predicted, whole.target)


def test_small_variance_on_a_large_mean_is_not_lost():
    # A sum of squares minus the square of a sum would lose all digits here.
    rng = np.random.default_rng(1)
    target = np.full((4000, 3, 1), 6e4) + rng.normal(0.0, 1e-3, (4000, 3, 1))
    predicted = target + rng.normal(0.0, 1e-4, target.shape)
    parts = [
        EmulatorStatistics.of(predicted[i : i + 16], target[i : i + 16], FUNCTIONALS)
        for i in range(0, 4000, 16)
    ]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    expected = r2_score(target[:, 0], predicted[:, 0])
    assert merged.physical.r2[0, 0] == pytest.approx(expected, rel=1e-6)


def test_outputs_that_do_not_vary_are_left_out_and_counted():
    predicted, target = random_gammas()
    # 0.1 has no exact binary form: the mean of many copies differs from it in the last digit.
    target[:, 0, 3:] = 0.1
    target[:, 2, :] = 7.0
    halves = [
        EmulatorStatistics.of(predicted[part], target[part], FUNCTIONALS)
        for part in (slice(0, 20), slice(20, 37))
    ]
    table = emulator_scores(halves[0].merge(halves[1]), np.ones(5)).as_dict()
    assert table["thresholds_without_variance"] == {"area": 2, "perimeter": 0, "components": 5}
    assert table["r2_per_threshold"]["log1p"]["area"][3:] == [None, None]
    expected = [
        r2_score(signed_log1p(target[:, 0, q]), signed_log1p(predicted[:, 0, q])) for q in range(3)
    ]
    assert table["r2"]["log1p"]["area"] == pytest.approx(np.mean(expected))
    assert table["r2"]["log1p"]["components"] is None
    assert table["r2"]["log1p"]["mean"] is None


def test_isoperimetric_violations_count_only_non_empty_sets():
    disk = 4.0 * math.pi * 100.0
    area = np.array([[100.0, 100.0, 0.0], [100.0, 0.0, 0.0]])
    perimeter = np.array([[math.sqrt(disk) * 0.9, math.sqrt(disk), 0.0], [500.0, 0.0, 0.0]])
    counts = Violations.of(area, perimeter)
    assert (counts.sets, counts.isoperimetric_sets, counts.isoperimetric_samples) == (3, 1, 1)
    assert counts.rates.isoperimetric_sets == pytest.approx(1 / 3)
    assert counts.rates.isoperimetric_samples == pytest.approx(1 / 2)


def test_the_tolerance_of_the_isoperimetric_inequality_is_one_in_a_hundred_thousand():
    area = np.full((1, 1), 100.0)
    bound = 4.0 * math.pi * 100.0
    inside = np.sqrt(np.full((1, 1), bound * (1.0 - 0.9e-5)))
    outside = np.sqrt(np.full((1, 1), bound * (1.0 - 1.1e-5)))
    assert Violations.of(area, inside).isoperimetric_sets == 0
    assert Violations.of(area, outside).isoperimetric_sets == 1


def test_monotonicity_violations_are_areas_that_grow_with_the_threshold():
    area = np.array([[5.0, 6.0, 6.0], [5.0, 4.0, 0.0], [0.0, 1.0, 2.0]])
    counts = Violations.of(area, np.full_like(area, 1e3))
    assert counts.steps == 5
    assert counts.monotonicity_sets == 3
    assert counts.rates.monotonicity_sets == pytest.approx(3 / 5)
    assert counts.rates.monotonicity_samples == pytest.approx(2 / 3)


def test_the_euler_characteristic_is_compared_with_its_sign():
    assert signed_log1p([-3.0, 3.0]) == pytest.approx([-math.log(4.0), math.log(4.0)])


@pytest.mark.parametrize(
    ("predicted", "target"),
    [
        (np.zeros((2, 3, 4)), np.zeros((2, 3, 5))),
        (np.zeros((2, 2, 4)), np.zeros((2, 2, 4))),
        (np.zeros((0, 3, 4)), np.zeros((0, 3, 4))),
        (np.full((2, 3, 4), np.nan), np.zeros((2, 3, 4))),
        (np.zeros((2, 3, 4)), np.full((2, 3, 4), np.inf)),
    ],
)
def test_what_cannot_be_compared_is_refused(predicted, target):
    with pytest.raises(InputError):
        EmulatorStatistics.of(predicted, target, FUNCTIONALS)
