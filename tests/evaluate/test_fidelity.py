from __future__ import annotations

import numpy as np
import pytest

from minkgen.evaluate.fidelity import SMOOTH_DIRECTIONS, directions_of, exact_changes, summary

FUNCTIONALS = ("area", "components")


def tiles(count=3, size=24):
    return np.random.default_rng(0).gamma(0.5, 2.0, (count, size, size)).astype(np.float32)


def test_every_direction_has_the_rms_of_its_tile():
    rain_rate = tiles()
    directions = directions_of(rain_rate, seed=0)
    assert directions.shape == (3, SMOOTH_DIRECTIONS + 1, 24, 24)
    sizes = np.sqrt(np.square(rain_rate).mean(axis=(1, 2)))
    of_directions = np.sqrt(np.square(directions).mean(axis=(2, 3)))
    np.testing.assert_allclose(of_directions, np.repeat(sizes[:, None], 9, axis=1), rtol=1e-5)
    np.testing.assert_array_equal(directions[:, -1], rain_rate)


def test_smooth_directions_are_smooth_and_differ():
    first, second = directions_of(tiles(), seed=0)[0, :2]
    assert np.corrcoef(first[:, 1:].ravel(), first[:, :-1].ravel())[0, 1] > 0.95
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.5


def test_a_linear_functional_changes_by_its_gradient_at_every_step():
    rain_rate = tiles().astype(np.float64)
    directions = directions_of(rain_rate, seed=1)
    weights = np.random.default_rng(2).standard_normal((2, 5, 24, 24))

    def gamma(field):
        return np.einsum("bhw,fqhw->bfq", field, weights)

    along = np.einsum("bkhw,fqhw->bkfq", directions, weights)
    for step in (0.01, 0.1):
        true = exact_changes(gamma, rain_rate, directions, step)
        np.testing.assert_allclose(true, step * along, rtol=1e-5, atol=1e-6)
        compared = summary(step * along, true, FUNCTIONALS)
        for part in ("area", "components", "all"):
            assert compared[part]["tiles"] == 3
            assert compared[part]["cosine"]["low"] == pytest.approx(1.0)
            assert compared[part]["relative_l2"]["high"] == pytest.approx(0.0, abs=1e-5)


def test_cosine_and_error_by_hand():
    true, foretold = np.zeros((1, 2, 2, 1)), np.zeros((1, 2, 2, 1))
    true[0, :, 0, 0] = 3.0, 4.0
    foretold[0, :, 0, 0] = 4.0, 3.0
    compared = summary(foretold, true, FUNCTIONALS)
    assert compared["area"]["cosine"]["median"] == pytest.approx(24.0 / 25.0)
    assert compared["area"]["relative_l2"]["median"] == pytest.approx(np.sqrt(2.0) / 5.0)
    # The components do not change: there is nothing to compare with, in `all` either.
    assert compared["components"] == {"tiles": 0, "cosine": None, "relative_l2": None}
    for measure, values in compared["area"].items():
        assert compared["all"][measure] == pytest.approx(values)


def test_functionals_weigh_alike_whatever_their_units():
    random = np.random.default_rng(3)
    true = random.standard_normal((4, 5, 2, 6))
    foretold = true.copy()
    foretold[:, :, 1] = -true[:, :, 1]
    true[:, :, 0] *= 1e6
    foretold[:, :, 0] *= 1e6
    compared = summary(foretold, true, FUNCTIONALS)
    assert compared["all"]["cosine"]["median"] == pytest.approx(0.0, abs=1e-9)
    assert compared["all"]["relative_l2"]["median"] == pytest.approx(np.sqrt(2.0))


def test_what_foretells_no_change_has_cosine_0_and_error_1():
    true = np.random.default_rng(4).standard_normal((2, 3, 2, 4))
    compared = summary(np.zeros_like(true), true, FUNCTIONALS)
    assert compared["all"]["cosine"] == {"median": 0.0, "low": 0.0, "high": 0.0}
    assert compared["all"]["relative_l2"]["median"] == pytest.approx(1.0)
