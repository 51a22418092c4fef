"""Rates from reflectivity and hourly sums, on made-up values and against the real products."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from minkgen.errors import InputError
from minkgen.grid import OPERA_1KM
from minkgen.opera.conversion import accumulate_hour, rain_rate_from_reflectivity, rain_rate_of
from minkgen.opera.odim import read_composite


@pytest.mark.parametrize(("a", "b"), [(200.0, 1.6), (316.0, 1.5), (1.0, 1.0)])
def test_the_rate_is_that_of_the_relation(a: float, b: float) -> None:
    dbz = np.arange(-32.0, 95.5, 0.5, dtype=np.float32)
    rate = rain_rate_from_reflectivity(dbz, a, b)
    assert rate.dtype == np.float32
    expected = (10.0 ** (dbz.astype(np.float64) / 10) / a) ** (1 / b)
    np.testing.assert_allclose(rate, expected, rtol=3e-6)


def test_the_known_ceilings_come_out() -> None:
    """50 and 64 dBZ are the two rates at which composites are cut off."""
    rates = rain_rate_from_reflectivity(np.array([50.0, 64.0], np.float32))
    assert rates.round(2).tolist() == [np.float32(48.62), np.float32(364.63)]


def test_the_three_states_stay_three() -> None:
    dbz = np.array([[-np.inf, np.nan, 0.0], [-32.0, np.inf, 2000.0]], np.float32)
    before = dbz.copy()
    rate = rain_rate_from_reflectivity(dbz)
    np.testing.assert_array_equal(dbz, before)
    assert rate[0, 0] == 0
    assert np.isnan(rate[0, 1])
    assert 0 < rate[1, 0] < rate[0, 2] < 0.04
    assert np.isnan(rate[1, 1:]).all()  # infinite, and beyond float32


@pytest.mark.parametrize(("a", "b"), [(0.0, 1.6), (-200.0, 1.6), (200.0, 0.0), (200.0, np.nan)])
def test_an_impossible_relation_is_refused(a: float, b: float) -> None:
    with pytest.raises(InputError, match="positive numbers"):
        rain_rate_from_reflectivity(np.zeros(3, np.float32), a, b)


def test_rain_of_any_product() -> None:
    """Rates and hourly sums are rain rates; those of reflectivity lie on the 0.01 mm/h grid."""
    values = np.array([0.0, np.nan, 1.23, 30.0], np.float32)
    for quantity in ("RATE", "ACRR"):
        assert rain_rate_of(values, quantity) is values
    dbz = np.array([-np.inf, np.nan, -32.0, 23.01, 40.0], np.float32)
    assert rain_rate_of(dbz, "DBZH").tolist()[3:] == [np.float32(1.0), np.float32(11.53)]
    assert rain_rate_of(dbz, "DBZH")[[0, 2]].tolist() == [0.0, 0.0]
    assert np.isnan(rain_rate_of(dbz, "DBZH")[1])
    assert rain_rate_of(dbz, "DBZH", (300.0, 1.4))[4] == np.float32(12.24)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_hour_is_a_quarter_of_the_sum(dtype: type[np.floating]) -> None:
    rates = np.random.default_rng(0).gamma(0.3, 4.0, (4, 5, 7)).round(2).astype(dtype)
    hour = accumulate_hour(rates)
    assert hour.dtype == np.float32
    np.testing.assert_allclose(hour, rates.astype(np.float64).mean(axis=0), rtol=1e-7)


@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("frame", range(4))
def test_a_pixel_that_lacks_one_rate_has_no_sum(missing: float, frame: int) -> None:
    rates = np.ones((4, 2, 3), np.float32)
    rates[frame, 1, 2] = missing
    hour = accumulate_hour(rates)
    assert np.isnan(hour[1, 2])
    assert np.nansum(hour) == 5


@pytest.mark.parametrize("shape", [(3, 4, 4), (5, 4, 4), (4, 4), (4, 4, 4, 4)])
def test_an_hour_has_four_frames(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="four frames"):
        accumulate_hour(np.zeros(shape, np.float32))


@pytest.fixture
def real(real_archive: Path) -> Callable[[str, str], Path]:
    return lambda time, product: next(real_archive.rglob(f"OPERA@20241126T{time}@0@{product}.h5"))


@pytest.mark.shared_data
def test_the_real_accumulation_is_the_four_frame_rule(real: Callable[[str, str], Path]) -> None:
    times = ("0115", "0130", "0145", "0200")
    rates = np.stack([read_composite(real(time, "RATE")).values for time in times])
    stored = read_composite(real("0200", "ACRR")).values
    found = accumulate_hour(rates)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(stored))
    covered = ~np.isnan(stored)
    # Half a step of the file's 0.01 mm, and the float32 of sums up to some 100 mm.
    assert np.abs(found - stored)[covered].max() <= 0.005 + 1e-5
    assert np.count_nonzero(stored[covered]) > 400_000
    partly = np.isnan(rates).any(axis=0) & ~np.isnan(rates).all(axis=0)
    assert np.count_nonzero(partly) > 6_000
    # Another hour's frame, or another weight of the ends, is no match.
    assert np.abs(accumulate_hour(rates[[0, 0, 1, 2]]) - stored)[covered].max() > 1


@pytest.mark.shared_data
def test_real_reflectivity_becomes_rates_on_its_grid(real: Callable[[str, str], Path]) -> None:
    composite = read_composite(real("0100", "DBZH"))
    assert composite.z_r is None  # CIRRUS states no relation
    rate = rain_rate_from_reflectivity(composite.values)
    assert composite.grid == OPERA_1KM
    assert rate.shape == OPERA_1KM.shape
    np.testing.assert_array_equal(np.isnan(rate), np.isnan(composite.values))
    np.testing.assert_array_equal(rate == 0, np.isneginf(composite.values))
    echo = np.isfinite(composite.values)
    assert np.count_nonzero(echo) > 1_000_000
    # 0.1 mm/h are 7.0103 dBZ.
    assert np.count_nonzero(rate >= 0.1) == np.count_nonzero(composite.values >= 7.0103)
