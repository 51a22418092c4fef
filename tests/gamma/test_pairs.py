"""Persistence pairs: births, deaths and the pixels where they happen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from minkgen.errors import InputError
from minkgen.gamma.pairs import PersistencePairs, persistence_pairs
from tests.gamma.fields import ANY_FIELDS, FIELDS, TIED_FIELDS

Float32 = npt.NDArray[np.float32]
Check = Callable[..., None]

COMPONENT, HOLE = 0, 1
MOST_PIXELS_BY_LABELS = 1000
CROSS = ndimage.generate_binary_structure(2, 1)
DTYPES = {
    "birth": np.float32,
    "death": np.float32,
    "dimension": np.int8,
    "birth_pixel": np.int64,
    "death_pixel": np.int64,
    "offsets": np.int64,
}


def _batch(*shape: int) -> Float32:
    """Tiles on a grid of 0.1 with dry pixels, so that floors meet lifetimes that equal them."""
    values = np.random.default_rng(5).gamma(0.6, 2.0, shape).round(1)
    return np.where(values > 1, values, 0).astype(np.float32)


def _tile(pairs: PersistencePairs, index: int) -> list[npt.NDArray[Any]]:
    part = slice(pairs.offsets[index], pairs.offsets[index + 1])
    return [column[part] for column in pairs[:-1]]


def _assert_same(got: list[npt.NDArray[Any]], expected: list[npt.NDArray[Any]]) -> None:
    assert [column.tobytes() for column in got] == [column.tobytes() for column in expected]


def _regions(mask: npt.NDArray[np.bool_], dimension: int) -> npt.NDArray[np.int32]:
    """Label rain, 8-connected, or dry ground, 4-connected and one with what is outside."""
    if dimension == COMPONENT:
        return np.asarray(ndimage.label(mask, np.ones((3, 3)))[0])
    return np.asarray(ndimage.label(np.pad(mask, 1, constant_values=True), CROSS)[0])[1:-1, 1:-1]


def _assert_elder_rule(field: Float32, pairs: PersistencePairs) -> None:
    """Every feature is the eldest of its region until it meets another at its last pixel.

    Upside down, a hole is a component: it begins at its minimum and ends where it runs over.
    """
    for dimension, sign, firsts, lasts in (
        (COMPONENT, 1, pairs.birth_pixel, pairs.death_pixel),
        (HOLE, -1, pairs.death_pixel, pairs.birth_pixel),
    ):
        height = (sign * field).ravel()
        finite = (pairs.dimension == dimension) & (pairs.death_pixel >= 0)
        for last_value in np.unique(height[lasts[finite]]):
            before = _regions((sign * field) > last_value, dimension).ravel()
            after = _regions((sign * field) >= last_value, dimension).ravel()
            for first, last in zip(firsts[finite], lasts[finite], strict=True):
                if height[last] == last_value:
                    assert height[before == before[first]].max() == height[first]
                    assert after[first] == after[last]
                    assert before[last] == 0


def _assert_critical(field: Float32, cleaned: Float32) -> None:
    """Check, for one tile, what its pixels must be, whatever way ties are broken."""
    pairs = persistence_pairs(field)
    assert {name: column.dtype for name, column in pairs._asdict().items()} == DTYPES
    assert pairs.offsets.tolist() == [0, pairs.birth.size]

    # The essential pair comes first, then the other components, then the holes.
    assert (pairs.death[0], pairs.death_pixel[0]) == (-np.inf, -1)
    assert (pairs.birth[0], pairs.dimension[0]) == (cleaned.max(), COMPONENT)
    assert (pairs.death_pixel[1:] >= 0).all()
    assert (np.diff(pairs.dimension) >= 0).all()
    assert (pairs.birth > pairs.death).all()

    np.testing.assert_array_equal(cleaned.ravel()[pairs.birth_pixel], pairs.birth)
    np.testing.assert_array_equal(cleaned.ravel()[pairs.death_pixel[1:]], pairs.death[1:])
    assert not np.signbit(pairs.birth[pairs.birth == 0]).any()
    assert not np.signbit(pairs.death[pairs.death == 0]).any()

    # A component begins at a maximum of its own, a hole ends at a minimum of its own.
    maxima = pairs.birth_pixel[pairs.dimension == COMPONENT]
    minima = pairs.death_pixel[pairs.dimension == HOLE]
    highest_around = ndimage.maximum_filter(cleaned, size=3, mode="nearest")
    lowest_around = ndimage.minimum_filter(cleaned, footprint=CROSS, mode="nearest")
    assert (highest_around.ravel()[maxima] == cleaned.ravel()[maxima]).all()
    assert (lowest_around.ravel()[minima] == cleaned.ravel()[minima]).all()
    assert np.unique(maxima).size == maxima.size
    assert np.unique(minima).size == minima.size

    if field.size <= MOST_PIXELS_BY_LABELS:
        _assert_elder_rule(cleaned, pairs)


@pytest.mark.parametrize("name", FIELDS)
def test_pairs_equal_the_oracle(name: str, assert_pairs_equal_oracle: Check) -> None:
    assert_pairs_equal_oracle(FIELDS[name])


@pytest.mark.parametrize("name", FIELDS)
def test_pairs_lie_at_critical_pixels(name: str, cleaned: Callable[[Float32], Float32]) -> None:
    _assert_critical(FIELDS[name], cleaned(FIELDS[name]))


@settings(max_examples=300)
@given(field=st.one_of(TIED_FIELDS, ANY_FIELDS))
def test_pairs_of_small_fields(
    field: Float32, assert_pairs_equal_oracle: Check, cleaned: Callable[[Float32], Float32]
) -> None:
    assert_pairs_equal_oracle(field)
    _assert_critical(field, cleaned(field))


def test_a_worked_example() -> None:
    """Three peaks on a ridge; a dry pixel that the ridge encloses."""
    field = np.array(
        [
            [0, 0, 0, 0, 0, 0],
            [0, 5, 2, 4, 1, 3],
            [0, 2, 0, 2, 0, 0],
            [0, 2, 2, 2, 0, 0],
        ],
        np.float32,
    )
    pairs = persistence_pairs(field)
    births_and_deaths = zip(pairs.birth, pairs.death, pairs.dimension, strict=True)
    assert sorted(births_and_deaths) == [
        (2, 0, HOLE),
        (3, 1, COMPONENT),
        (4, 2, COMPONENT),
        (5, -np.inf, COMPONENT),
    ]
    born = dict(zip(pairs.birth.tolist(), pairs.birth_pixel.tolist(), strict=True))
    died = dict(zip(pairs.birth.tolist(), pairs.death_pixel.tolist(), strict=True))
    assert (born[5], born[4], born[3]) == (7, 9, 11)
    assert (died[5], died[3], died[2]) == (-1, 10, 14)


def test_zero_lifetimes_are_absent() -> None:
    """On a checkerboard of one height everything that is born is joined at once."""
    assert persistence_pairs(np.eye(6, dtype=np.float32)).dimension.tolist() == [COMPONENT]


@pytest.mark.parametrize("floor", [0.0, 0.1, 0.5, 1.7, (0.5, 0.0), (0.0, 0.5), (0.3, 2.0)])
def test_floors_keep_lifetimes_above_them(floor: float | tuple[float, float]) -> None:
    tile = _batch(40, 50)
    pairs = persistence_pairs(tile)
    epsilons = np.broadcast_to(floor, 2)[pairs.dimension]
    lifetimes = pairs.birth.astype(np.float64) - pairs.death.astype(np.float64)
    expected = [column[lifetimes > epsilons] for column in pairs[:-1]]
    kept = persistence_pairs(tile, min_persistence=floor)
    _assert_same(_tile(kept, 0), expected)
    assert kept.death[0] == -np.inf


def test_a_lifetime_at_the_floor_is_not_above_it() -> None:
    tile = np.array([[9.0, 0.1, 0.3]], np.float32)
    lifetime = float(tile[0, 2]) - float(tile[0, 1])
    for floor, births in ((np.nextafter(lifetime, 0), [9.0, tile[0, 2]]), (lifetime, [9.0])):
        assert persistence_pairs(tile, min_persistence=floor).birth.tolist() == births


@pytest.mark.parametrize("leading", [(1,), (6,), (2, 3), (3, 1, 2)])
def test_a_batch_is_its_tiles_one_after_another(leading: tuple[int, ...]) -> None:
    batch = _batch(*leading, 17, 23)
    batch.reshape(-1, 17, 23)[0] = 0
    pairs = persistence_pairs(batch, min_persistence=(0.2, 0.1))
    tiles = batch.reshape(-1, 17, 23)
    assert pairs.offsets.shape == (len(tiles) + 1,)
    assert (pairs.offsets[0], pairs.offsets[-1]) == (0, pairs.birth.size)
    for index, tile in enumerate(tiles):
        alone = persistence_pairs(tile, min_persistence=(0.2, 0.1))
        _assert_same(_tile(pairs, index), _tile(alone, 0))


def test_finite_pairs_are_those_that_die() -> None:
    pairs = persistence_pairs(_batch(3, 17, 23))
    for dimension in (COMPONENT, HOLE):
        chosen = (pairs.dimension == dimension) & (pairs.death > -np.inf)
        expected = np.stack([pairs.birth[chosen], pairs.death[chosen]], axis=1)
        finite = pairs.finite(dimension)
        np.testing.assert_array_equal(finite, expected)
        assert finite.dtype == np.float32
        assert len(finite) > 0


@pytest.mark.parametrize("shape", [(0, 4, 5), (2, 0, 4, 5)])
def test_no_tiles_have_no_pairs(shape: tuple[int, ...]) -> None:
    pairs = persistence_pairs(np.empty(shape, np.float32))
    assert pairs.offsets.tolist() == [0]
    assert {name: column.dtype for name, column in pairs._asdict().items()} == DTYPES
    assert {column.shape for column in pairs[:-1]} == {(0,)}


@pytest.mark.parametrize(
    "as_given",
    [
        pytest.param(lambda x: np.asfortranarray(x), id="Fortran order"),
        pytest.param(lambda x: np.repeat(x, 2, axis=-1)[..., ::2], id="every second column"),
        pytest.param(lambda x: x.astype(">f4"), id="big-endian"),
        pytest.param(lambda x: x.astype(np.float64), id="float64"),
        pytest.param(lambda x: x.astype(np.float16), id="float16"),
    ],
)
def test_layout_and_type_do_not_matter(as_given: Any) -> None:
    batch = _batch(3, 9, 14).round()
    given = as_given(batch)
    given.flags.writeable = False
    _assert_same(list(persistence_pairs(given)), list(persistence_pairs(batch)))


GOOD = np.ones((3, 4), np.float32)
BAD_INPUT: dict[str, tuple[Any, Any, str]] = {
    "integers": (GOOD.astype(np.int32), 0.0, "int32"),
    "flags": (GOOD > 0, 0.0, "bool"),
    "complex": (GOOD.astype(np.complex64), 0.0, "complex64"),
    "long double": (GOOD.astype(np.longdouble), 0.0, str(np.dtype(np.longdouble))),
    "one dimension": (GOOD[0], 0.0, r"\(4,\)"),
    "no dimension": (np.float32(1), 0.0, r"\(\)"),
    "no rows": (GOOD[:0], 0.0, r"\(0, 4\)"),
    "no columns": (GOOD[:, :0], 0.0, r"\(3, 0\)"),
    "negative floor": (GOOD, -0.1, "-0.1"),
    "one negative floor": (GOOD, (0.0, -0.2), "-0.2"),
    "NaN floor": (GOOD, np.nan, "nan"),
    "one NaN floor": (GOOD, (np.nan, 0.0), "nan"),
    "three floors": (GOOD, (0.1, 0.2, 0.3), "0.3"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_refused(name: str) -> None:
    field, floor, given_words = BAD_INPUT[name]
    with pytest.raises(InputError, match=f"(?s)got: .*{given_words}"):
        persistence_pairs(field, min_persistence=floor)
