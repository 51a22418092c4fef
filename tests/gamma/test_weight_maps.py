"""Weight maps: every functional is a sum over pixels of a weight times a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask
import dask.array
import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from minkgen.errors import InputError
from minkgen.gamma.functionals import FUNCTIONALS, UNITS
from minkgen.gamma.matrix import gamma_matrix
from minkgen.gamma.oracle import Settings
from minkgen.gamma.weights import weight_maps
from tests.gamma.fields import FIELDS, SETTINGS, TIED_FIELDS

Float32 = npt.NDArray[np.float32]
Check = Callable[..., None]

COUNTS = np.array([UNITS[name] == "1" for name in FUNCTIONALS])
ALIVE = {name: setting for name, setting in SETTINGS.items() if setting[1].essential == "alive"}


def _batch(*shape: int) -> Float32:
    return np.random.default_rng(3).gamma(0.7, 2.0, shape).round(1).astype(np.float32)


def _labelled(*leading: int) -> xr.DataArray:
    """Label a batch as composites are: y decreasing, metres, a scalar grid mapping."""
    height, width = 9, 12
    dims = (*("time", "member")[: len(leading)], "y", "x")
    coordinates: dict[str, Any] = {
        "y": ("y", -1000.0 - 2000.0 * np.arange(height), {"units": "m"}),
        "x": ("x", 1000.0 + 2000.0 * np.arange(width), {"units": "m"}),
        "spatial_ref": 0,
    }
    coordinates |= {
        dim: [f"{dim} {index}" for index in range(size)]
        for dim, size in zip(dims, leading, strict=False)
    }
    return xr.DataArray(_batch(*leading, height, width), coordinates, dims, name="rain_rate")


@pytest.mark.parametrize("setting", ALIVE)
@pytest.mark.parametrize("name", FIELDS)
def test_steps_times_weights_sum_to_gamma(
    name: str, setting: str, assert_weights_sum_to_gamma: Check
) -> None:
    assert_weights_sum_to_gamma(FIELDS[name], *ALIVE[setting])


@given(field=TIED_FIELDS, floors=st.tuples(*[st.sampled_from([0.0, 0.5, 1.0, 2.5])] * 2))
def test_sums_over_small_fields(
    field: Float32, floors: tuple[float, float], assert_weights_sum_to_gamma: Check
) -> None:
    thresholds = np.array([0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0], np.float32)
    assert_weights_sum_to_gamma(field, thresholds, Settings(2.0, floors))


@pytest.mark.parametrize("name", FIELDS)
def test_counts_have_integer_weights_and_pixels_one_area(name: str) -> None:
    maps = weight_maps(FIELDS[name], pixel_km=1.5, min_persistence=(0.5, 0.2))
    assert np.isfinite(maps).all()
    np.testing.assert_array_equal(maps[COUNTS], np.rint(maps[COUNTS]))
    assert (maps[FUNCTIONALS.index("area")] == np.float32(1.5 * 1.5)).all()


@pytest.mark.parametrize("leading", [(), (1,), (4,), (2, 3), (0,), (2, 0)])
def test_leading_dimensions_are_kept(leading: tuple[int, ...]) -> None:
    batch = _batch(*leading, 5, 7)
    maps = weight_maps(batch, pixel_km=2.0, min_persistence=(0.3, 0.1))
    assert maps.shape == (*leading, 8, 5, 7)
    assert maps.dtype == np.float32
    for index in np.ndindex(leading):
        alone = weight_maps(batch[index], pixel_km=2.0, min_persistence=(0.3, 0.1))
        np.testing.assert_array_equal(maps[index], alone)


@pytest.mark.parametrize("functionals", [["area"], ["holes", "area"], FUNCTIONALS[::-1]])
def test_functionals_are_chosen_and_ordered(functionals: list[str]) -> None:
    batch = _labelled(3)
    every = weight_maps(batch, min_persistence=0.3)
    chosen = weight_maps(batch, min_persistence=0.3, functionals=functionals)
    xr.testing.assert_identical(chosen, every.sel(functional=list(functionals)))
    of_array = weight_maps(batch.values, pixel_km=2.0, min_persistence=0.3, functionals=functionals)
    np.testing.assert_array_equal(of_array, chosen)


def test_one_floor_is_for_both() -> None:
    field = FIELDS["rain, small"]
    both = weight_maps(field, pixel_km=2.0, min_persistence=(0.5, 0.5))
    np.testing.assert_array_equal(weight_maps(field, pixel_km=2.0, min_persistence=0.5), both)
    assert (both != weight_maps(field, pixel_km=2.0)).any()


def test_pixel_size_scales_lengths_and_areas() -> None:
    field = _batch(9, 9)
    factors = np.array([{"km": 2, "km2": 4, "1": 1}[UNITS[name]] for name in FUNCTIONALS])
    np.testing.assert_array_equal(
        weight_maps(field, pixel_km=2.0),
        weight_maps(field, pixel_km=1.0) * factors[:, None, None].astype(np.float32),
    )


@pytest.mark.parametrize("leading", [(), (4,), (2, 3)])
def test_labels_are_kept(leading: tuple[int, ...]) -> None:
    rain_rate = _labelled(*leading)
    maps = weight_maps(rain_rate, min_persistence=(0.3, 0.1))
    assert isinstance(maps, xr.DataArray)
    assert maps.dims == (*rain_rate.dims[:-2], "functional", "y", "x")
    np.testing.assert_array_equal(
        maps, weight_maps(rain_rate.values, pixel_km=2.0, min_persistence=(0.3, 0.1))
    )
    assert tuple(maps.functional.values) == FUNCTIONALS
    for name, coordinate in rain_rate.coords.items():
        xr.testing.assert_identical(maps.coords[name].variable, coordinate.variable)
    area = maps.sel(functional="area").where(rain_rate >= 1.0).sum(("y", "x"))
    gamma = gamma_matrix(rain_rate, [1.0]).sel(functional="area").isel(threshold=0)
    np.testing.assert_array_equal(area, gamma)


def _refuse_to_compute(*_: object, **__: object) -> None:
    raise AssertionError("a lazy array was computed")


def test_dask_stays_lazy_and_gives_the_same_bytes() -> None:
    rain_rate = _labelled(6)
    with dask.config.set(scheduler=_refuse_to_compute):
        chunked = rain_rate.chunk({"time": 2})
        lazy = weight_maps(chunked, min_persistence=(0.3, 0.1))
        with pytest.raises(AssertionError, match="was computed"):
            lazy.compute()
    assert isinstance(lazy.data, dask.array.Array)
    assert lazy.chunks == ((2, 2, 2), (8,), (9,), (12,))
    assert lazy.dtype == np.float32
    expected = weight_maps(rain_rate, min_persistence=(0.3, 0.1))
    assert lazy.values.tobytes() == expected.values.tobytes()


def test_tiles_cut_by_chunks_are_refused() -> None:
    with pytest.raises(InputError, match=r"\.chunk\(\{'y': -1, 'x': -1\}\)"):
        weight_maps(_labelled(2).chunk({"y": 3}))


def test_input_is_read_and_not_written() -> None:
    batch = _batch(2, 6, 8)
    batch[0, 0, :3] = [np.nan, -0.0, np.inf]
    before = batch.tobytes()
    batch.flags.writeable = False
    weight_maps(batch, pixel_km=2.0)
    assert batch.tobytes() == before


GOOD = np.ones((3, 4), np.float32)
BAD_INPUT: dict[str, tuple[Any, dict[str, Any], str]] = {
    "integers": (GOOD.astype(np.int32), {}, "got: int32"),
    "complex": (GOOD.astype(np.complex64), {}, "got: complex64"),
    "one dimension": (GOOD[0], {}, r"got: .*\(4,\)"),
    "no rows": (GOOD[:0], {}, r"got: .*\(0, 4\)"),
    "no pixel size": (GOOD, {"pixel_km": None}, "pixel size is not known"),
    "negative pixel size": (GOOD, {"pixel_km": -2.0}, "got: -2.0"),
    "NaN pixel size": (GOOD, {"pixel_km": np.nan}, "got: nan"),
    "negative floor": (GOOD, {"min_persistence": (0.0, -0.1)}, "got: .*-0.1"),
    "NaN floor": (GOOD, {"min_persistence": (np.nan, 0.0)}, "got: .*nan"),
    "three floors": (GOOD, {"min_persistence": (1, 2, 3)}, r"got: .*\(1, 2, 3\)"),
    "unknown functional": (GOOD, {"functionals": ["volume"]}, "got: .*volume"),
    "functional given twice": (GOOD, {"functionals": ["area", "area"]}, "got: .*area"),
    "no functional": (GOOD, {"functionals": []}, r"got: .*\[\]"),
    "no coordinates": (_labelled().drop_vars("y"), {"pixel_km": None}, "no coordinate"),
    "another pixel size": (_labelled(), {"pixel_km": 1.0}, "not that of the coordinates"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_refused(name: str) -> None:
    field, options, message = BAD_INPUT[name]
    with pytest.raises(InputError, match=message):
        weight_maps(field, **{"pixel_km": 2.0, **options})
