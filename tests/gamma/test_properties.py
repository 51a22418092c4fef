"""Identities that hold for every field, whatever an oracle says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minkgen.gamma.functionals import FUNCTIONALS
from minkgen.gamma.matrix import gamma_matrix

Float32 = npt.NDArray[np.float32]

THRESHOLDS = np.array([0.1, 0.5, 1.0, 2.0, 3.0, 5.0], np.float32)
RATES = st.one_of(
    st.sampled_from([0.0, 0.1, 1.0, 2.0, 3.0]),
    st.floats(-1, 8, width=16).map(np.float32),
    st.just(np.nan),
)
FIELDS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=16),
    elements=RATES,
    fill=st.sampled_from([0.0, 1.0]),
)

TWO_FIELDS = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12).flatmap(
    lambda shape: st.tuples(*[hnp.arrays(np.float32, shape, elements=RATES)] * 2)
)

# Sums of float32 lengths, of which γ has rounded each; counts and areas are integers and exact.
LENGTH_TOLERANCE = 1e-6

property_test = settings(max_examples=100)


def _gamma(field: Float32, **options: object) -> dict[str, Float32]:
    matrix = gamma_matrix(field, THRESHOLDS, pixel_km=2.0, **options)  # type: ignore[call-overload]
    return dict(zip(FUNCTIONALS, np.moveaxis(matrix, -2, 0), strict=True))


def _diagonal_pairs(field: Float32) -> npt.NDArray[np.int64]:
    """Count the 2x2 blocks that hold just one diagonal pair, at each threshold."""
    counts = []
    for u in THRESHOLDS:
        mask = field >= u
        north_west, north_east = mask[:-1, :-1], mask[:-1, 1:]
        south_west, south_east = mask[1:, :-1], mask[1:, 1:]
        falling = north_west & south_east & ~north_east & ~south_west
        rising = ~north_west & ~south_east & north_east & south_west
        counts.append((falling | rising).sum())
    return np.array(counts)


@property_test
@given(field=FIELDS)
def test_components_less_holes_are_the_euler_characteristic(field: Float32) -> None:
    gamma = _gamma(field)
    np.testing.assert_array_equal(gamma["components"] - gamma["holes"], gamma["euler_8"])


@property_test
@given(field=FIELDS)
def test_euler_characteristics_differ_by_the_diagonal_pairs(field: Float32) -> None:
    gamma = _gamma(field)
    np.testing.assert_array_equal(gamma["euler_4"] - gamma["euler_8"], _diagonal_pairs(field))


@property_test
@given(field=FIELDS)
def test_area_does_not_increase(field: Float32) -> None:
    assert (np.diff(_gamma(field)["area"]) <= 0).all()


@property_test
@given(field=FIELDS, floor=st.floats(0, 4), higher=st.floats(0, 4))
def test_a_higher_floor_never_adds_features(field: Float32, floor: float, higher: float) -> None:
    low = _gamma(field, min_persistence=(floor, floor))
    high = _gamma(field, min_persistence=(floor + higher, floor + higher))
    assert (high["components"] <= low["components"]).all()
    assert (high["holes"] <= low["holes"]).all()


@property_test
@given(field=FIELDS, floors=st.tuples(st.floats(0, 4), st.floats(0, 4)))
def test_floors_and_the_essential_class_leave_geometry_alone(
    field: Float32, floors: tuple[float, float]
) -> None:
    plain = _gamma(field)
    other = _gamma(field, min_persistence=floors, essential="background")
    for name in set(FUNCTIONALS) - {"components", "holes"}:
        np.testing.assert_array_equal(other[name], plain[name], name)


@property_test
@given(field=FIELDS, floor=st.sampled_from([0.0, 0.5]))
def test_the_eight_symmetries_of_the_square_change_nothing(field: Float32, floor: float) -> None:
    floors = {"min_persistence": (floor, floor)}
    expected = _gamma(field, **floors)
    for turned in (field, field[:, ::-1]):
        for quarter in range(4):
            got = _gamma(np.rot90(turned, quarter), **floors)
            for name in FUNCTIONALS:
                np.testing.assert_array_equal(got[name], expected[name], name)


@property_test
@given(field=FIELDS, data=st.data())
def test_euler_characteristics_add_up_over_a_shared_column(
    field: Float32, data: st.DataObject
) -> None:
    column = data.draw(st.integers(0, field.shape[1] - 1))
    whole, shared = _gamma(field), _gamma(field[:, column : column + 1])
    left, right = _gamma(field[:, : column + 1]), _gamma(field[:, column:])
    for name in ("euler_4", "euler_8", "area"):
        np.testing.assert_array_equal(left[name] + right[name] - shared[name], whole[name])
    # The segments of open contours lie between two columns, and belong to one side only.
    np.testing.assert_allclose(
        left["perimeter"] + right["perimeter"], whole["perimeter"], rtol=LENGTH_TOLERANCE, atol=0
    )


@property_test
@given(fields=TWO_FIELDS)
def test_fields_apart_add_up(fields: tuple[Float32, Float32]) -> None:
    """One dry column between two fields parts them, also for runs along the diagonals."""
    left, right = fields
    apart = _gamma(np.concatenate([np.pad(left, ((0, 0), (0, 1))), right], axis=1))
    one, other = _gamma(left), _gamma(right)
    for name in set(FUNCTIONALS) - {"perimeter"}:
        np.testing.assert_allclose(
            one[name] + other[name], apart[name], rtol=LENGTH_TOLERANCE, atol=0, err_msg=name
        )


@property_test
@given(field=FIELDS)
def test_a_dry_border_changes_open_contours_only(field: Float32) -> None:
    """They become the closed ones of the tile."""
    alone, bordered = _gamma(field), _gamma(np.pad(field, 1))
    alone["perimeter"] = alone["perimeter_closed"]
    for name in FUNCTIONALS:
        np.testing.assert_array_equal(bordered[name], alone[name], name)


@property_test
@given(field=FIELDS)
def test_open_contours_are_not_longer_than_closed_ones(field: Float32) -> None:
    gamma = _gamma(field)
    assert (gamma["perimeter"] <= gamma["perimeter_closed"]).all()


@property_test
@given(field=FIELDS)
def test_only_the_excursion_set_matters(field: Float32) -> None:
    """Without floors, a column of γ is that of the set's indicator."""
    gamma = gamma_matrix(field, THRESHOLDS, pixel_km=2.0)
    for column, u in enumerate(THRESHOLDS):
        indicator = (field >= u).astype(np.float32)
        alone = gamma_matrix(indicator, [1.0], pixel_km=2.0)[:, 0]
        np.testing.assert_array_equal(gamma[:, column], alone)


@property_test
@given(field=FIELDS, power=st.integers(-3, 3), floor=st.floats(0, 4))
def test_units_of_rain_do_not_matter(field: Float32, power: int, floor: float) -> None:
    """Field, thresholds and floors times a power of two: exact, so that nothing changes."""
    factor = 2.0**power
    expected = _gamma(field, min_persistence=(floor, floor))
    scaled = gamma_matrix(
        field * np.float32(factor),
        THRESHOLDS * np.float32(factor),
        pixel_km=2.0,
        min_persistence=(floor * factor, floor * factor),
    )
    np.testing.assert_array_equal(scaled, np.array([expected[name] for name in FUNCTIONALS]))


@property_test
@given(field=FIELDS)
def test_missing_is_dry(field: Float32) -> None:
    for missing in (np.nan, np.inf, -np.inf, -0.0):
        other = np.where((field == 0) | np.isnan(field), np.float32(missing), field)
        for name, row in _gamma(field).items():
            np.testing.assert_array_equal(_gamma(other)[name], row, name)


def _batch() -> Float32:
    """Tiles of very different kinds, so that leftovers of one would show in the next."""
    generator = np.random.default_rng(7)
    noise = generator.gamma(0.5, 2.0, (24, 20, 31)).astype(np.float32)
    noise[::6] = 0
    noise[1::6] = np.round(noise[1::6])
    noise[2::6] += 10
    noise[3::6] -= 3
    noise[4::6][noise[4::6] < 3] = np.nan
    return noise


def test_a_shuffled_batch_gives_the_same_bytes() -> None:
    batch = _batch()
    options = {"pixel_km": 2.0, "min_persistence": (0.5, 0.2)}
    expected = gamma_matrix(batch, THRESHOLDS, **options)  # type: ignore[call-overload]
    generator = np.random.default_rng(8)
    for _ in range(10):
        order = generator.permutation(len(batch))
        got = gamma_matrix(batch[order], THRESHOLDS, **options)  # type: ignore[call-overload]
        assert got.tobytes() == expected[order].tobytes()
    alone = [gamma_matrix(tile, THRESHOLDS, **options) for tile in batch]  # type: ignore[call-overload]
    assert np.array(alone).tobytes() == expected.tobytes()


def test_threads_give_the_same_bytes() -> None:
    batches = [_batch()[::step] for step in (1, -1, 2, 3)] * 4

    def gamma_bytes(batch: Float32) -> bytes:
        return gamma_matrix(batch, THRESHOLDS, pixel_km=2.0).tobytes()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(gamma_bytes, batches)) == [gamma_bytes(batch) for batch in batches]


@pytest.mark.parametrize("count", [1, 2, 33, 200])
def test_a_threshold_does_not_depend_on_its_neighbours(count: int) -> None:
    field = _batch()[1]
    thresholds = np.linspace(0.05, 9.0, count, dtype=np.float32)
    together = gamma_matrix(field, thresholds, pixel_km=2.0)
    alone = [gamma_matrix(field, [u], pixel_km=2.0)[:, 0] for u in thresholds]
    np.testing.assert_array_equal(together, np.transpose(alone))
