"""The public function: shapes, types, refusals, labelled and lazy arrays."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import dask.array
import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr

from minkgen.errors import InputError
from minkgen.gamma.functionals import FUNCTIONALS, UNITS
from minkgen.gamma.matrix import gamma_matrix
from minkgen.gamma.pairs import persistence_pairs
from minkgen.gamma.weights import weight_maps

Float32 = npt.NDArray[np.float32]

THRESHOLDS = [0.1, 1.0, 2.5]


def _batch(*shape: int) -> Float32:
    return np.random.default_rng(3).gamma(0.7, 2.0, shape).round(2).astype(np.float32)


def _labelled(*leading: int, height: int = 6, width: int = 5, units: str = "m") -> xr.DataArray:
    """Label a field as composites are: y decreasing, metres, with a time axis if asked for."""
    scale = {"m": 1.0, "km": 0.001}.get(units, 1.0)
    coordinates: dict[str, Any] = {
        "y": ("y", scale * (-1000.0 - 2000.0 * np.arange(height)), {"units": units}),
        "x": ("x", scale * (1000.0 + 2000.0 * np.arange(width)), {"units": units}),
        "spatial_ref": 0,
    }
    dims = ("time", "y", "x")[3 - len(leading) - 2 :]
    if leading:
        coordinates["time"] = np.datetime64("2024-11-26T01:00", "ns") + np.arange(
            leading[0]
        ) * np.timedelta64(15, "m")
    return xr.DataArray(_batch(*leading, height, width), coordinates, dims, name="rain_rate")


@pytest.mark.parametrize("leading", [(), (1,), (4,), (2, 3), (0,), (2, 0), (2, 1, 3)])
def test_leading_dimensions_are_kept(leading: tuple[int, ...]) -> None:
    batch = _batch(*leading, 5, 7)
    gamma = gamma_matrix(batch, THRESHOLDS, pixel_km=2.0)
    assert gamma.shape == (*leading, 8, 3)
    assert gamma.dtype == np.float32
    for index in np.ndindex(leading):
        alone = gamma_matrix(batch[index], THRESHOLDS, pixel_km=2.0)
        np.testing.assert_array_equal(gamma[index], alone)


@pytest.mark.parametrize("chosen", [("area", "perimeter", "components"), ("euler_8",), FUNCTIONALS])
def test_functionals_are_chosen_by_name_and_order(chosen: tuple[str, ...]) -> None:
    batch = _batch(2, 9, 7)
    every = gamma_matrix(batch, THRESHOLDS, pixel_km=2.0)
    some = gamma_matrix(batch, THRESHOLDS, pixel_km=2.0, functionals=chosen)
    np.testing.assert_array_equal(some, every[:, [FUNCTIONALS.index(name) for name in chosen]])
    labelled = gamma_matrix(_labelled(), THRESHOLDS, functionals=chosen)
    assert labelled.functional.values.tolist() == list(chosen)


def test_units_name_every_functional() -> None:
    assert tuple(UNITS) == FUNCTIONALS


@pytest.mark.parametrize(
    "as_given",
    [
        pytest.param(lambda x: np.asfortranarray(x), id="Fortran order"),
        pytest.param(lambda x: np.repeat(x, 2, axis=-1)[..., ::2], id="every second column"),
        pytest.param(lambda x: x[:, ::-1][:, ::-1], id="negative strides"),
        pytest.param(lambda x: x.astype(">f4"), id="big-endian"),
        pytest.param(lambda x: x.astype(np.float64), id="float64"),
        pytest.param(lambda x: x.tolist(), id="lists"),
        pytest.param(lambda x: np.broadcast_to(x, (2, *x.shape))[1], id="broadcast"),
    ],
)
def test_layout_and_byte_order_do_not_matter(as_given: Any) -> None:
    batch = (_batch(3, 6, 8) * 8).round() / 8
    expected = gamma_matrix(batch, THRESHOLDS, pixel_km=2.0)
    np.testing.assert_array_equal(gamma_matrix(as_given(batch), THRESHOLDS, pixel_km=2.0), expected)


def test_float16_is_widened_exactly() -> None:
    half = _batch(2, 6, 8).astype(np.float16)
    np.testing.assert_array_equal(
        gamma_matrix(half, [0.1, 1.0], pixel_km=2.0),
        gamma_matrix(half.astype(np.float32), [0.1, 1.0], pixel_km=2.0),
    )


def test_input_is_read_and_not_written() -> None:
    batch = _batch(2, 6, 8)
    batch[0, 0, :3] = [np.nan, -0.0, np.inf]
    thresholds = np.array(THRESHOLDS, np.float32)
    before = batch.tobytes(), thresholds.tobytes()
    batch.flags.writeable = thresholds.flags.writeable = False
    expected = gamma_matrix(batch, thresholds, pixel_km=2.0)
    persistence_pairs(batch)
    weight_maps(batch, pixel_km=2.0)
    assert (batch.tobytes(), thresholds.tobytes()) == before
    writeable = batch.copy()
    np.testing.assert_array_equal(gamma_matrix(writeable, thresholds, pixel_km=2.0), expected)
    assert (writeable.tobytes(), writeable.flags.writeable) == (before[0], True)


def test_pixel_size_scales_lengths_and_areas() -> None:
    field = _batch(9, 9)
    one = gamma_matrix(field, THRESHOLDS, pixel_km=1.0)
    two = gamma_matrix(field, THRESHOLDS, pixel_km=2.0)
    factors = np.array([{"km": 2, "km2": 4, "1": 1}[UNITS[name]] for name in FUNCTIONALS])
    np.testing.assert_array_equal(two, one * factors[:, np.newaxis].astype(np.float32))


GOOD = np.ones((3, 4), np.float32)
BAD_INPUT: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no thresholds": (GOOD, {"thresholds": []}, "no thresholds"),
    "decreasing thresholds": (GOOD, {"thresholds": [2, 1]}, "increase strictly"),
    "repeated threshold": (GOOD, {"thresholds": [1, 1]}, "increase strictly"),
    "NaN threshold": (GOOD, {"thresholds": [1, np.nan]}, "finite"),
    "infinite threshold": (GOOD, {"thresholds": [1, np.inf]}, "finite"),
    "threshold beyond float32": (GOOD, {"thresholds": [1, 1e39]}, "finite"),
    "zero threshold": (GOOD, {"thresholds": [0, 1]}, "positive"),
    "negative threshold": (GOOD, {"thresholds": [-1, 1]}, "positive"),
    "threshold that rounds to zero": (GOOD, {"thresholds": [1e-60, 1]}, "positive"),
    "equal in float32": (GOOD, {"thresholds": [0.1, 0.1 + 1e-12]}, "same number in float32"),
    "matrix of thresholds": (GOOD, {"thresholds": [[1, 2]]}, "vector"),
    "one bare threshold": (GOOD, {"thresholds": 1.0}, "vector"),
    "words as thresholds": (GOOD, {"thresholds": ["1", "2"]}, "vector of real numbers"),
    "flags as thresholds": (GOOD, {"thresholds": [True]}, "vector of real numbers"),
    "complex thresholds": (GOOD, {"thresholds": [1j]}, "vector of real numbers"),
    "integers": (GOOD.astype(np.int32), {}, "type"),
    "flags": (GOOD > 0, {}, "type"),
    "complex": (GOOD.astype(np.complex64), {}, "type"),
    "long double": (GOOD.astype(np.longdouble), {}, "type"),
    "objects": (GOOD.astype(object), {}, "type"),
    "nothing": (None, {}, "type"),
    "one dimension": (GOOD[0], {}, "no tile"),
    "no dimension": (np.float32(1), {}, "no tile"),
    "no rows": (GOOD[:0], {}, "no tile"),
    "no columns": (GOOD[:, :0], {}, "no tile"),
    "too large": (np.broadcast_to(np.float32(0), (50_000, 50_000)), {}, "too large"),
    "masked": (np.ma.masked_less(GOOD, 2), {}, "container"),
    "dataset": (xr.Dataset({"rain_rate": (("y", "x"), GOOD)}), {}, "container"),
    "no pixel size": (GOOD, {"pixel_km": None}, "pixel size is not known"),
    "zero pixel size": (GOOD, {"pixel_km": 0.0}, "pixel size cannot"),
    "negative pixel size": (GOOD, {"pixel_km": -2.0}, "pixel size cannot"),
    "NaN pixel size": (GOOD, {"pixel_km": np.nan}, "pixel size cannot"),
    "infinite pixel size": (GOOD, {"pixel_km": np.inf}, "pixel size cannot"),
    "negative floor": (GOOD, {"min_persistence": (0.0, -0.1)}, "floors"),
    "NaN floor": (GOOD, {"min_persistence": (np.nan, 0.0)}, "floors"),
    "one negative floor": (GOOD, {"min_persistence": -0.5}, "floors"),
    "three floors": (GOOD, {"min_persistence": (1, 2, 3)}, "floors"),
    "unknown functional": (GOOD, {"functionals": ["area", "volume"]}, "no such functional"),
    "functional given twice": (GOOD, {"functionals": ["area", "area"]}, "given twice"),
    "no functional": (GOOD, {"functionals": []}, "list of names"),
    "a bare functional": (GOOD, {"functionals": "area"}, "list of names"),
    "unknown essential": (GOOD, {"essential": "dead"}, "unknown way"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_refused(name: str) -> None:
    field, options, message = BAD_INPUT[name]
    arguments: dict[str, Any] = {"thresholds": THRESHOLDS, "pixel_km": 2.0, **options}
    with pytest.raises(InputError, match=message):
        gamma_matrix(field, **arguments)


def test_a_message_says_what_was_given() -> None:
    with pytest.raises(InputError) as caught:
        gamma_matrix(GOOD, [2.0, 1.0], pixel_km=2.0)
    assert "got: [2.0, 1.0]" in str(caught.value)


class TestFloat64:
    """A float64 field is refused only where rounding carries a value across a threshold."""

    def test_decimals_on_the_threshold_are_accepted(self) -> None:
        """Rounded to float32 on one side only, 0.35 would fall below its own threshold."""
        steps = np.arange(1, 2000) / 100
        gamma = gamma_matrix(steps[np.newaxis], steps[::50], pixel_km=1.0)
        assert gamma[0].tolist() == [(steps >= u).sum() for u in steps[::50]]

    @pytest.mark.parametrize(
        ("value", "threshold"),
        [
            pytest.param(0.35 - 1e-12, 0.35, id="the value rounds up"),
            pytest.param(0.35, 0.35 + 1e-12, id="the threshold rounds down"),
            pytest.param(float(np.float32(0.35)), 0.35, id="rounded before"),
            pytest.param(1e39, 3e38, id="beyond float32, so missing"),
        ],
    )
    def test_a_crossing_is_refused_unless_cast(self, value: float, threshold: float) -> None:
        field = np.array([[0.0, value, -value]])
        with pytest.raises(InputError, match="across a threshold") as caught:
            gamma_matrix(field, [threshold], pixel_km=1.0)
        assert repr(threshold) in str(caught.value)
        with np.errstate(over="ignore"):
            rounded = field.astype(np.float32)
        np.testing.assert_array_equal(
            gamma_matrix(field, [threshold], pixel_km=1.0, cast=True),
            gamma_matrix(rounded, [threshold], pixel_km=1.0),
        )

    @pytest.mark.parametrize("value", [0.35 - 1e-6, 0.35 + 1e-12, 1e-60, -1e39, 7 / 3])
    def test_rounding_that_crosses_no_threshold_is_accepted(self, value: float) -> None:
        area = gamma_matrix(np.array([[value]]), [0.35, 2.0], pixel_km=1.0)[0]
        assert area.tolist() == [value >= 0.35, value >= 2.0]

    def test_missing_and_negative_values_cross_nothing(self) -> None:
        field = np.array([[np.nan, np.inf, -np.inf, -0.35, -1e39, -0.0, 1.0]])
        assert gamma_matrix(field, [0.35], pixel_km=1.0)[0, 0] == 1

    def test_float32_fields_are_never_refused(self) -> None:
        assert gamma_matrix(np.array([[0.35]], np.float32), [0.35], pixel_km=1.0)[0, 0] == 1


class TestLabelled:
    """DataArrays in, DataArrays out."""

    @pytest.mark.parametrize("units", ["m", "km"])
    def test_values_dimensions_and_coordinates(self, units: str) -> None:
        rain_rate = _labelled(4, units=units)
        gamma = gamma_matrix(rain_rate, THRESHOLDS)
        assert gamma.dims == ("time", "functional", "threshold")
        assert gamma.dtype == np.float32
        np.testing.assert_allclose(
            gamma.values, gamma_matrix(rain_rate.values, THRESHOLDS, pixel_km=2.0), rtol=1e-6
        )
        assert tuple(gamma.functional.values) == FUNCTIONALS
        assert gamma.threshold.dtype == np.float32
        assert gamma.threshold.attrs["units"] == "mm/h"
        np.testing.assert_array_equal(gamma.threshold, np.array(THRESHOLDS, np.float32))
        xr.testing.assert_identical(
            gamma.time.drop_vars("spatial_ref"), rain_rate.time.drop_vars("spatial_ref")
        )
        assert "y" not in gamma.coords
        assert "spatial_ref" in gamma.coords

    def test_metres_give_the_same_bytes_as_numpy(self) -> None:
        rain_rate = _labelled(2, height=128, width=64)
        expected = gamma_matrix(rain_rate.values, THRESHOLDS, pixel_km=2.0)
        assert gamma_matrix(rain_rate, THRESHOLDS).values.tobytes() == expected.tobytes()

    def test_a_single_tile(self) -> None:
        gamma = gamma_matrix(_labelled(), THRESHOLDS)
        assert gamma.dims == ("functional", "threshold")
        assert gamma.sel(functional="area").shape == (3,)

    def test_options_reach_the_kernel(self) -> None:
        rain_rate = _labelled(2)
        options: dict[str, Any] = {"min_persistence": (1.0, 0.5), "essential": "background"}
        np.testing.assert_array_equal(
            gamma_matrix(rain_rate, [0.005, 1.0], **options),
            gamma_matrix(rain_rate.values, [0.005, 1.0], pixel_km=2.0, **options),
        )

    def test_dask_stays_lazy_and_gives_the_same_bytes(self) -> None:
        rain_rate = _labelled(6)
        computed: list[int] = []

        def watch(block: Float32) -> Float32:
            computed.append(len(block))
            return block

        blocks = dask.array.from_array(rain_rate.values, chunks=(2, 6, 5)).map_blocks(
            watch, meta=np.empty((0, 0, 0), np.float32)
        )
        lazy = gamma_matrix(rain_rate.copy(data=blocks), THRESHOLDS)
        assert isinstance(lazy.data, dask.array.Array)
        assert computed == []
        assert lazy.chunks == ((2, 2, 2), (8,), (3,))
        assert lazy.dtype == np.float32
        assert lazy.values.tobytes() == gamma_matrix(rain_rate, THRESHOLDS).values.tobytes()
        assert computed == [2, 2, 2]

    def test_a_lazy_float64_field_is_refused_when_computed(self) -> None:
        rain_rate = _labelled(2)
        crossing = rain_rate.copy(data=dask.array.full((2, 6, 5), 0.35 - 1e-12))
        lazy = gamma_matrix(crossing, [0.35])
        with pytest.raises(InputError, match="across a threshold"):
            lazy.compute()

    def test_tiles_cut_by_chunks_are_refused(self) -> None:
        rain_rate = _labelled(2)
        with pytest.raises(InputError, match=r"\.chunk\(\{'y': -1, 'x': -1\}\)"):
            gamma_matrix(rain_rate.chunk({"y": 3}), THRESHOLDS)

    def test_a_given_pixel_size_must_agree(self) -> None:
        rain_rate = _labelled()
        np.testing.assert_array_equal(
            gamma_matrix(rain_rate, THRESHOLDS, pixel_km=2.0), gamma_matrix(rain_rate, THRESHOLDS)
        )
        with pytest.raises(InputError, match="not that of the coordinates"):
            gamma_matrix(rain_rate, THRESHOLDS, pixel_km=1.0)

    def test_a_line_of_pixels_takes_the_other_spacing(self) -> None:
        for rain_rate in (_labelled(height=1), _labelled(width=1)):
            np.testing.assert_array_equal(
                gamma_matrix(rain_rate, THRESHOLDS),
                gamma_matrix(rain_rate.values, THRESHOLDS, pixel_km=2.0),
            )

    def test_a_single_pixel_needs_its_size(self) -> None:
        pixel = _labelled(height=1, width=1)
        with pytest.raises(InputError, match="single pixel"):
            gamma_matrix(pixel, THRESHOLDS)
        assert gamma_matrix(pixel + 9, THRESHOLDS, pixel_km=3.0)[0, 0] == 9

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda x: x.drop_vars("y"), "no coordinate"),
            (lambda x: x.assign_coords(x=("x", x.x.values)), "no length unit"),
            (
                lambda x: x.assign_coords(x=("x", x.x.values, {"units": "degrees"})),
                "no length unit",
            ),
            (
                lambda x: x.assign_coords(x=("x", x.x.values * 1.00001, {"units": "m"})),
                "not square",
            ),
            (lambda x: x.assign_coords(x=("x", x.x.values, {"units": "km"})), "not square"),
            (lambda x: x.assign_coords(x=("x", x.x.values**2, {"units": "m"})), "not uniformly"),
            (lambda x: x.assign_coords(x=("x", x.x.values * 0, {"units": "m"})), "not uniformly"),
            (
                lambda x: x.assign_coords(x=("x", x.x.values * np.nan, {"units": "m"})),
                "not uniformly",
            ),
            (lambda x: x.astype(int), "type"),
            (lambda x: x[0], "no tile"),
            (lambda x: x[:0], "no tile"),
        ],
    )
    def test_unusable_coordinates_and_fields_are_refused(self, change: Any, message: str) -> None:
        with pytest.raises(InputError, match=message):
            gamma_matrix(change(_labelled()), THRESHOLDS)


def test_gamma_needs_neither_dask_nor_the_oracle_libraries() -> None:
    """Machines that train have no GUDHI, and a NumPy user pays for no Dask."""
    code = (
        "import sys, numpy\n"
        "import minkgen.gamma.matrix, minkgen.gamma.thresholds, minkgen.gamma.floors\n"
        "minkgen.gamma.matrix.gamma_matrix(numpy.ones((2, 2), 'f4'), [1.0], pixel_km=1.0)\n"
        "print([m for m in ('dask', 'gudhi', 'skimage', 'sklearn') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "[]"
