"""The oracle table: the kernel against every slow twin, over fields hard in different ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minkgen.errors import InputError
from minkgen.gamma.functionals import FUNCTIONALS
from minkgen.gamma.matrix import gamma_matrix
from minkgen.gamma.oracle import ORACLES, oracle_gamma, reference_gamma
from tests.gamma.fields import ANY_FIELDS, FIELDS, SETTINGS, SMALLEST_DENORMAL, TIED_FIELDS
from tests.gamma.twins import TWINS, Twin

Float32 = npt.NDArray[np.float32]
Check = Callable[..., None]


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", FIELDS)
def test_gamma_equals_every_twin(name: str, setting: str, assert_equals_twins: Check) -> None:
    assert_equals_twins(FIELDS[name], *SETTINGS[setting])


def test_every_functional_has_independent_twins() -> None:
    """Two libraries, or a library and plain Python; persistence floors have three."""
    twins = Counter(twin.functional for twin in TWINS)
    knowing_floors = Counter(twin.functional for twin in TWINS if twin.knows_floors)
    assert tuple(ORACLES) == FUNCTIONALS
    for name in FUNCTIONALS:
        assert twins[name] >= 2, name
    assert (knowing_floors["components"], knowing_floors["holes"]) == (3, 3)
    assert len({twin.name for twin in TWINS}) == len(TWINS)


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.name)
def test_every_twin_serves_most_fields(twin: Twin) -> None:
    served = [twin.serves(field, *SETTINGS["usual"]) for field in FIELDS.values()]
    assert np.mean(served) > 0.7


@pytest.mark.parametrize("name", FIELDS)
def test_the_reference_pipeline_computes_the_same(name: str) -> None:
    thresholds, options = SETTINGS["usual"]
    np.testing.assert_allclose(
        reference_gamma(FIELDS[name], thresholds, pixel_km=options.pixel_km),
        gamma_matrix(FIELDS[name], thresholds, pixel_km=options.pixel_km)[:4],
        rtol=2e-6,
        atol=0,
    )


GRIDS = hnp.arrays(
    np.float32,
    st.integers(1, 6),
    elements=st.floats(SMALLEST_DENORMAL, 2.0**100, width=32),
    unique=True,
    fill=st.nothing(),
).map(np.sort)


@settings(max_examples=150)
@given(field=TIED_FIELDS)
def test_small_fields_with_ties_equal_the_oracle(
    field: Float32, assert_equals_oracle: Check
) -> None:
    thresholds = np.array([0.25, 0.5, 1.0, 2.0, 3.0, 4.0], np.float32)
    assert_equals_oracle(field, thresholds, pixel_km=2.0, min_persistence=(1.0, 0.9))


@settings(max_examples=150)
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


@pytest.mark.parametrize("field", ["random", "1 x N", "a tile"])
def test_duplicate_thresholds_are_refused(field: str) -> None:
    with pytest.raises(InputError, match="increase strictly"):
        gamma_matrix(FIELDS[field], [0.1, 1.0, 1.0], pixel_km=2.0)


@pytest.mark.parametrize("compute", [oracle_gamma, reference_gamma])
def test_the_oracle_refuses_float64(compute: Any) -> None:
    with pytest.raises(InputError, match="float32 with float32"):
        compute(np.ones((2, 2)), np.ones(1, np.float32), pixel_km=1.0)
