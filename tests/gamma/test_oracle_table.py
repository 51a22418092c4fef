"""The kernel against GUDHI and scikit-image over fields that are hard in different ways."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minkgen.gamma.functionals import FUNCTIONALS
from minkgen.gamma.matrix import gamma_matrix
from minkgen.gamma.oracle import ORACLES, oracle_gamma
from minkgen.gamma.pairs import finite_pairs

Float32 = npt.NDArray[np.float32]
Check = Callable[..., None]

SMALLEST_DENORMAL = float(np.nextafter(np.float32(0), np.float32(1)))


def _random() -> np.random.Generator:
    return np.random.default_rng(20241126)


def _noise(*shape: int) -> npt.NDArray[np.float64]:
    return _random().gamma(0.6, 2.0, shape)


def _smooth(*shape: int) -> npt.NDArray[np.float64]:
    """Sum waves: plateaus, saddles and ridges of many sizes, below zero in places."""
    rows, columns = np.indices(shape)
    generator = _random()
    waves = [
        np.sin(rows * a + columns * b + phase)
        for a, b, phase in generator.uniform([-0.9, -0.9, 0], [0.9, 0.9, 6], (12, 3))
    ]
    return np.asarray(np.sum(waves, axis=0))


def _integers(*shape: int, levels: int = 5) -> npt.NDArray[np.int64]:
    return _random().integers(0, levels, shape)


def _checkerboard(*shape: int) -> npt.NDArray[np.int64]:
    return np.asarray(np.indices(shape).sum(axis=0) % 2)


def _ring(side: int, low: int, high: int) -> npt.NDArray[np.float64]:
    """Draw the outline of a square from row and column `low` up to and without `high`."""
    field = np.zeros((side, side))
    field[low:high, low:high] = 3.0
    field[low + 1 : high - 1, low + 1 : high - 1] = 1.0
    return field


def _single(row: int, column: int) -> npt.NDArray[np.float64]:
    field = np.zeros((4, 5))
    field[row, column] = 2.0
    return field


def _with(field: npt.NDArray[np.float64], *values: float) -> npt.NDArray[np.float64]:
    """Put each value into a twentieth of the pixels."""
    out = field.copy()
    places = _random().permutation(out.size)
    for index, value in enumerate(values):
        out.flat[places[index::20]] = value
    return out


FIELDS: dict[str, npt.NDArray[np.floating] | npt.NDArray[np.int64]] = {
    "random": _noise(40, 40),
    "random, sparse": np.where(_noise(60, 60) > 3, _noise(60, 60), 0),
    "smooth": _smooth(50, 50),
    "smooth, dry below 1": np.where(_smooth(60, 60) > 1, _smooth(60, 60), 0).round(2),
    "plateaus": np.kron(_integers(8, 8), np.ones((5, 5))),
    "integers with many ties": _integers(50, 50),
    "two values": _integers(30, 30, levels=2),
    "checkerboard": _checkerboard(16, 16),
    "checkerboard of odd size": _checkerboard(17, 15) * 7,
    "checkerboard of random heights": _checkerboard(20, 20) * _noise(20, 20),
    "stripes": np.indices((12, 12))[0] % 2 * 2.0,
    "constant dry": np.zeros((7, 9)),
    "constant wet": np.full((7, 9), 2.5),
    "constant negative": np.full((7, 9), -2.5),
    "all wet": _noise(24, 24) + 20,
    "one pixel, dry": np.zeros((1, 1)),
    "one pixel, wet": np.ones((1, 1)),
    "wet pixel inside": _single(1, 2),
    "wet pixel at the frame": _single(0, 2),
    "wet pixel in the corner": _single(3, 4),
    "dry pixel inside": 2 - _single(1, 2),
    "dry pixel at the frame": 2 - _single(2, 0),
    "diagonal line": np.eye(9),
    "two diagonals": np.eye(9) + np.eye(9)[::-1],
    "ring inside": _ring(9, 2, 7),
    "ring touching the frame": _ring(9, 0, 5),
    "ring on the frame": _ring(9, 0, 9),
    "nested rings": _ring(13, 1, 12) + _ring(13, 3, 10) + _ring(13, 5, 8),
    "ring closed by a diagonal": np.array([[0, 2, 0], [2, 0, 2], [0, 2, 0]]),
    "1 x N": _noise(1, 64),
    "N x 1": _noise(64, 1).round(1),
    "1 x N, integers": _integers(1, 64),
    "2 x N": _integers(2, 33),
    "N x 2": _noise(33, 2),
    "2 x 2": np.array([[1, 0], [0, 1]]),
    "not square": _integers(11, 43),
    "not square, upright": _noise(43, 11).round(1),
    "larger than 128": np.where(_smooth(150, 201) > 1, _smooth(150, 201), 0).round(1),
    "denormals": _integers(12, 12) * SMALLEST_DENORMAL,
    "NaN patches": _with(_noise(30, 30), np.nan),
    "NaN and infinities": _with(_noise(30, 30).round(1), np.nan, np.inf, -np.inf),
    "all missing": np.full((5, 6), np.nan),
    "NaN above negative values": _with(_noise(20, 20) - 8, np.nan),
    "negative zeros": np.where(_integers(15, 15) > 1, _integers(15, 15), -0.0),
    "negative values": -_noise(25, 25),
    "both signs, integers": _integers(25, 25, levels=9) - 4,
    "huge and tiny": _with(_noise(20, 20), 3e38, 1e-38, -3e38),
}

THRESHOLDS: dict[str, list[float]] = {
    "usual": [0.01, 0.1, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 21.0],
    "one": [1.0],
    "beyond the data": [1e9, 2e38],
    "denormal": [k * SMALLEST_DENORMAL for k in (1, 2, 3)],
}

SETTINGS: dict[str, dict[str, object]] = {
    "default": {"pixel_km": 2.0},
    "floors": {"pixel_km": 0.3, "min_persistence": (1.0, 0.5)},
    "background": {"pixel_km": 1.0, "min_persistence": (0.25, 0.0), "essential": "background"},
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("grid", THRESHOLDS)
@pytest.mark.parametrize("name", FIELDS)
def test_gamma_equals_the_oracle(
    name: str, grid: str, setting: str, assert_equals_oracle: Check
) -> None:
    field = FIELDS[name].astype(np.float32)
    thresholds = np.array(THRESHOLDS[grid], np.float32)
    assert_equals_oracle(field, thresholds, **SETTINGS[setting])


@pytest.mark.parametrize("name", FIELDS)
def test_pairs_equal_the_oracle(name: str, assert_pairs_equal_oracle: Check) -> None:
    assert_pairs_equal_oracle(FIELDS[name].astype(np.float32))


def test_every_functional_has_a_slow_twin() -> None:
    assert tuple(ORACLES) == FUNCTIONALS


SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)
FEW_VALUES = st.sampled_from([0.0, 1.0, 2.0, 3.0, -1.0, -0.0, np.nan, np.inf, 0.25])
FIELDS_WITH_TIES = hnp.arrays(np.float32, SHAPES, elements=FEW_VALUES, fill=st.nothing())
ANY_FIELDS = hnp.arrays(np.float32, SHAPES, elements=st.floats(width=32), fill=st.nothing())
GRIDS = hnp.arrays(
    np.float32,
    st.integers(1, 6),
    elements=st.floats(SMALLEST_DENORMAL, 2.0**100, width=32),
    unique=True,
    fill=st.nothing(),
).map(np.sort)


@settings(deadline=None, max_examples=150)
@given(field=FIELDS_WITH_TIES)
def test_small_fields_with_ties_equal_the_oracle(
    field: Float32, assert_equals_oracle: Check, assert_pairs_equal_oracle: Check
) -> None:
    thresholds = np.array([0.25, 0.5, 1.0, 2.0, 3.0, 4.0], np.float32)
    assert_equals_oracle(field, thresholds, pixel_km=2.0, min_persistence=(1.0, 0.9))
    assert_pairs_equal_oracle(field)


@settings(deadline=None, max_examples=150)
@given(field=ANY_FIELDS, thresholds=GRIDS)
def test_small_fields_of_any_value_equal_the_oracle(
    field: Float32, thresholds: Float32, assert_equals_oracle: Check
) -> None:
    assert_equals_oracle(field, thresholds, pixel_km=2.0)


def test_a_worked_example() -> None:
    """Two cells of rain, one of them a ring, counted by hand."""
    field = np.array(
        [
            [0, 0, 0, 0, 0, 0],
            [0, 2, 2, 2, 0, 5],
            [0, 2, 0, 2, 0, 0],
            [0, 2, 2, 2, 0, 0],
            [0, 0, 0, 0, 0, 0],
        ],
        np.float32,
    )
    gamma = dict(zip(FUNCTIONALS, gamma_matrix(field, [2.0, 5.0, 6.0], pixel_km=2.0), strict=True))
    diagonal = np.sqrt(0.5)
    assert gamma["area"].tolist() == [9 * 4, 4, 0]
    assert gamma["components"].tolist() == [2, 1, 0]
    assert gamma["holes"].tolist() == [1, 0, 0]
    assert gamma["euler_4"].tolist() == [1, 1, 0]
    # The ring has 4 outer corners and 2 units on each side, and a diamond inside; the pixel on
    # the frame has half a diamond, and its contour is open.
    ring = (4 * diagonal + 4 * 2) + 4 * diagonal
    np.testing.assert_allclose(
        gamma["perimeter"], [2 * (ring + 2 * diagonal), 2 * 2 * diagonal, 0], rtol=1e-6
    )
    np.testing.assert_allclose(
        gamma["perimeter_closed"], [2 * (ring + 4 * diagonal), 2 * 4 * diagonal, 0], rtol=1e-6
    )


def test_a_lifetime_at_the_floor_does_not_count() -> None:
    field = np.array([[3.0, 1.0, 2.0, 0.0]], np.float32)
    at_floor = gamma_matrix(field, [1.5], pixel_km=1.0, min_persistence=(1.0, 0.0))
    below = gamma_matrix(field, [1.5], pixel_km=1.0, min_persistence=(np.nextafter(1.0, 0), 0.0))
    row = FUNCTIONALS.index("components")
    assert (at_floor[row, 0], below[row, 0]) == (1, 2)


def test_lifetimes_are_compared_in_float64() -> None:
    """In float32, 0.3 - 0.1 is another number than the float64 difference of the same two."""
    field = np.array([[9.0, 0.1, 0.3]], np.float32)
    lifetime = float(field[0, 2]) - float(field[0, 1])
    assert float(field[0, 2] - field[0, 1]) != lifetime
    row = FUNCTIONALS.index("components")
    for epsilon, expected in ((np.nextafter(lifetime, 0), 2), (lifetime, 1)):
        gamma = gamma_matrix(field, [0.2], pixel_km=1.0, min_persistence=(epsilon, 0.0))
        assert gamma[row, 0] == expected


def test_a_component_that_meets_nobody_dies_at_the_minimum() -> None:
    field = np.array([[3.0, -1.0, 2.0]], np.float32)
    assert finite_pairs(field)[0].tolist() == [[2.0, -1.0]]


def test_negative_zero_is_zero() -> None:
    field = np.array([[3.0, -0.0, 2.0]], np.float32)
    death = finite_pairs(field)[0][0, 1]
    assert (death, np.signbit(death)) == (0.0, False)


def test_the_essential_class_as_background() -> None:
    field = np.array([[0.0, 2.0]], np.float32)
    thresholds = [0.005, 0.01, 0.02, 1.0]
    row = FUNCTIONALS.index("components")
    alive = gamma_matrix(field, thresholds, pixel_km=1.0)
    background = gamma_matrix(field, thresholds, pixel_km=1.0, essential="background")
    assert alive[row].tolist() == [1, 1, 1, 1]
    assert background[row].tolist() == [1, 1, 0, 0]
    dry = gamma_matrix(field * 0, thresholds, pixel_km=1.0, essential="background")
    assert not dry.any()


def test_the_oracle_refuses_float64() -> None:
    with pytest.raises(ValueError, match="float32 with float32"):
        oracle_gamma(np.ones((2, 2)), np.ones(1, np.float32), pixel_km=1.0)  # type: ignore[arg-type]
