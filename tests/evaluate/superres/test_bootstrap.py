"""Days drawn again: errors of means as statistics has them, of medians and quantiles as well."""

from __future__ import annotations

import numpy as np
import pytest

from minkgen.errors import InputError
from minkgen.evaluate.superres.bootstrap import _Days, bootstrap_by_day
from minkgen.evaluate.superres.scores import field_scores, scalar_scores
from minkgen.evaluate.superres.statistics import field_statistics, merge_statistics


@pytest.fixture(scope="module")
def by_day(setting, truth, members, gammas):
    return {
        f"2024-08-{day + 1:02d}": field_statistics(
            setting,
            truth[day::6],
            members[:, day::6],
            gammas[0][day::6],
            gammas[1][day::6],
        )
        for day in range(6)
    }


def test_a_draw_equals_merging_the_days_it_holds(setting, by_day):
    """Every kind of statistic: sums, samples and histograms."""
    days = [by_day[name] for name in sorted(by_day)]
    drawn = _Days(days).drawn(np.array([0, 2, 0, 1, 3, 0]))
    held = merge_statistics([days[place] for place in (1, 1, 3, 4, 4, 4)])
    assert drawn.count == held.count
    for name in ("truth", "predicted"):
        assert drawn.rates[name] == held.rates[name]
    got, expected = (scalar_scores(field_scores(setting, each)) for each in (drawn, held))
    assert got == pytest.approx(expected, rel=1e-12)


def test_the_standard_error_of_a_mean_is_that_of_theory(setting, by_day):
    """Of days with as many pixels each: the deviation over days by the root of their number."""
    found = bootstrap_by_day(setting, by_day, 1000, seed=1)["mae"]
    means = np.array([field_scores(setting, each)["mae"] for each in by_day.values()])
    expected = means.std() / np.sqrt(len(means))
    assert found["standard_error"] == pytest.approx(expected, rel=0.08)
    assert found["low"] < means.mean() < found["high"]
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * expected, rel=0.15)
    assert found["replicates"] == 1000


def test_the_seed_decides_and_the_order_of_days_does_not(setting, by_day):
    shuffled = dict(reversed(by_day.items()))
    first = bootstrap_by_day(setting, by_day, 20, seed=3)
    assert bootstrap_by_day(setting, shuffled, 20, seed=3) == first
    assert bootstrap_by_day(setting, by_day, 20, seed=4) != first


def test_scores_undefined_in_a_draw_are_left_out_and_counted(setting, truth, gammas):
    """The truth rains on one of two days: a draw without it has no mass bias."""
    dry = np.zeros_like(truth[2:4])
    wet, none = gammas[0][2:4], 0 * gammas[0][2:4]
    days = {
        "2024-08-01": field_statistics(setting, truth[2:4], 1.5 * truth[None, 2:4], wet, wet),
        "2024-08-02": field_statistics(setting, dry, dry[None], none, none),
    }
    found = bootstrap_by_day(setting, days, 100, seed=0)
    assert found["mae"]["replicates"] == 100
    assert 50 < found["mass_bias"]["replicates"] < 95  # 3 of 4 draws have the wet day
    assert found["mass_bias"]["standard_error"] == pytest.approx(0.0, abs=1e-12)


def test_one_day_says_nothing_about_others(setting, by_day):
    with pytest.raises(InputError, match="nothing to draw from"):
        bootstrap_by_day(setting, {"2024-08-01": by_day["2024-08-01"]})
