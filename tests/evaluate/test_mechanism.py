from __future__ import annotations

import numpy as np
import pytest

from minkgen.evaluate.mechanism import (
    FACTORS,
    cell_test,
    response_shares,
    threshold_to_cross,
)
from minkgen.gamma.matrix import gamma_matrix


@pytest.fixture(scope="module")
def growing():
    return cell_test(128, 0.1)


def test_the_cell_is_a_component_of_its_own_that_comes_and_goes(growing):
    threshold = 10.0
    gamma = gamma_matrix(
        growing.scaled([0.0, 0.5, 1.0, 2.0]),
        [threshold],
        pixel_km=2.0,
        functionals=["area", "components"],
    )
    assert growing.peak == pytest.approx(16.0, rel=0.02)
    # The cell passes 10 mm/h between factors 0.5 and 1, and adds one component.
    assert gamma[:, 1, 0].tolist() == [2.0, 2.0, 3.0, 3.0]
    assert gamma[0, 0, 0] == gamma[1, 0, 0] < gamma[2, 0, 0] < gamma[3, 0, 0]


def test_only_the_cell_is_scaled(growing):
    scaled = growing.scaled([0.0, 1.0, 2.0])
    np.testing.assert_array_equal(scaled[1], growing.rain_rate)
    assert not scaled[0][growing.cell].any()
    np.testing.assert_array_equal(scaled[2][growing.cell], 2.0 * growing.rain_rate[growing.cell])
    np.testing.assert_array_equal(
        scaled[:, ~growing.cell], growing.rain_rate[None, ~growing.cell][[0] * 3]
    )


def test_the_shown_threshold_is_crossed_inside_the_range(growing):
    thresholds = [0.1, 0.5, 2.0, 6.0, 11.0, 40.0]
    place = threshold_to_cross(thresholds, growing.peak)
    assert thresholds[place] == 11.0
    assert min(FACTORS) < thresholds[place] / growing.peak < max(FACTORS)


def test_a_blind_surrogate_shows_no_response_and_an_exact_one_all_of_it():
    exact = np.random.default_rng(0).gamma(1.0, 5.0, (7, 3, 4))
    exact[:, 2] = 2.0  # does not respond
    assert response_shares(exact, exact) == [1.0, 1.0, None]
    assert response_shares(exact, np.full((7, 3, 4), 9.0)) == [0.0, 0.0, None]
