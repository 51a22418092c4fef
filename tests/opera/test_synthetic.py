"""Synthetic rain: the climate of the real files, and every frame a function of seed and time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
from gudhi.sklearn import CubicalPersistence
from scipy.ndimage import median_filter
from skimage.measure import find_contours

from minkgen.errors import InputError
from minkgen.grid import OPERA_2KM, TEST_2KM
from minkgen.opera.odim import read_composite
from minkgen.opera.synthetic import (
    CALIBRATED_RAIN,
    SyntheticRain,
    nimbus_ladder,
    rain_field,
    write_archive,
)
from minkgen.opera.synthetic import rain as synthetic
from minkgen.opera.synthetic.odim_writer import Layout
from minkgen.opera.synthetic.radar_network import radar_network

Field = npt.NDArray[np.float32]

START = datetime(2024, 7, 1, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
LAYOUTS: tuple[Layout, ...] = ("odyssey", "nimbus")
DRIZZLE = np.float32(0.1)
TILE = 128
QUANTILE_LEVELS = [0.01, *(np.arange(1, 20) / 20), 0.99]
# What the climate is held to, and beside it what the 20 real files give (measured here).
RANGES = {
    "wet_fraction": (0.12, 0.25, 0.178),
    "median_wet": (0.3, 0.5, 0.38),
    "quantile_99_wet": (6.0, 12.0, 8.68),
    "components_a_tile": (130.0, 250.0, 180.6),
    "holes_a_tile": (100.0, 220.0, 148.8),
    "component_lifetime_95": (2.5, 4.5, 3.6),
    "hole_lifetime_95": (0.3, 0.6, 0.45),
    "isoperimetric_violations": (0.02, 0.08, 0.0433),
}
NODATA, UNDETECT = -9_999_000.0, -8_888_000.0


def eligible_tiles(frames: Iterable[Field]) -> Field:
    """Return the fully covered tiles with rain, drizzle zeroed, shape (N, 128, 128)."""
    tiles = []
    for frame in frames:
        for row in range(0, frame.shape[0] - TILE + 1, TILE):
            for column in range(0, frame.shape[1] - TILE + 1, TILE):
                tile = frame[row : row + TILE, column : column + TILE]
                if not np.isnan(tile).any() and tile.max() >= DRIZZLE:
                    tiles.append(np.where(tile < DRIZZLE, np.float32(0), tile))
    return np.stack(tiles)


def perimeter_by_block() -> npt.NDArray[np.float64]:
    """Return the marching-squares length in each of the 16 kinds of 2 x 2 blocks."""
    lengths = np.empty(16)
    for kind in range(16):
        block = np.array([[kind & 1, kind & 2], [kind & 4, kind & 8]], bool).astype(float)
        lines = find_contours(block, 0.5)
        lengths[kind] = sum(np.hypot(*np.diff(line, axis=0).T).sum() for line in lines)
    return lengths


def violation_share(tiles: Field, thresholds: Field) -> float:
    """Return the share of non-empty excursion sets with P^2 < 4 pi A (open perimeter)."""
    lengths = perimeter_by_block()
    broken = non_empty = 0
    for threshold in thresholds:
        masks = (tiles >= threshold).astype(np.uint8)
        kinds = (
            masks[:, :-1, :-1]
            + 2 * masks[:, :-1, 1:]
            + 4 * masks[:, 1:, :-1]
            + 8 * masks[:, 1:, 1:]
        )
        perimeter = lengths[kinds].sum(axis=(1, 2))
        area = masks.sum(axis=(1, 2), dtype=np.int64)
        broken += int(np.count_nonzero(perimeter**2 < 4 * np.pi * area * (1 - 1e-5)))
        non_empty += int(np.count_nonzero(area))
    return broken / non_empty


def measure_climate(frames: Iterable[Field]) -> dict[str, float]:
    """Measure what `RANGES` names, over all eligible tiles of the frames together."""
    tiles = eligible_tiles(frames)
    wet = tiles[tiles > 0]
    climate: dict[str, float] = {
        "wet_fraction": wet.size / tiles.size,
        "median_wet": float(np.quantile(wet, 0.5, method="inverted_cdf")),
        "quantile_99_wet": float(np.quantile(wet, 0.99, method="inverted_cdf")),
    }
    persistence = CubicalPersistence(
        homology_dimensions=[0, 1], input_type="top_dimensional_cells"
    ).fit_transform([-tile for tile in tiles])
    for dimension, name in enumerate(("component", "hole")):
        pairs = np.concatenate([np.reshape(found[dimension], (-1, 2)) for found in persistence])
        pairs = pairs[np.isfinite(pairs).all(axis=1)]
        steps = np.rint((pairs[:, 1] - pairs[:, 0]) * 100).astype(int)
        steps = steps[steps >= 1]
        climate[f"{name}s_a_tile"] = steps.size / len(tiles)
        climate[f"{name}_lifetime_95"] = np.percentile(steps, 95, method="inverted_cdf") / 100
    thresholds = np.quantile(wet, QUANTILE_LEVELS, method="inverted_cdf")
    climate["isoperimetric_violations"] = violation_share(tiles, thresholds)
    return climate


def out_of_range(climate: dict[str, float]) -> dict[str, float]:
    return {
        name: climate[name]
        for name, (low, high, _) in RANGES.items()
        if not low <= climate[name] <= high
    }


def six_days(root: Path, layout: Layout, seed: int) -> list[Field]:
    """Return 24 frames, six hours apart, as they come back from files."""
    paths = write_archive(
        root,
        start=START,
        end=START + timedelta(days=6),
        layout=layout,
        seed=seed,
        step=timedelta(hours=6),
    )
    return [read_composite(path).values for path in paths]


def raw_rates(path: Path) -> Any:
    with h5py.File(path) as file:
        return file["dataset1/data1/data"][...]


def correlation(first: Field, second: Field) -> float:
    both = ~(np.isnan(first) | np.isnan(second))
    return float(np.corrcoef(np.log1p(first[both]), np.log1p(second[both]))[0, 1])


# --- the climate


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_climate_is_that_of_the_real_files(layout: Layout, tmp_path: Path) -> None:
    assert out_of_range(measure_climate(six_days(tmp_path, layout, seed=0))) == {}


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_no_seed_is_lucky(seed: int, layout: Layout, tmp_path: Path) -> None:
    assert out_of_range(measure_climate(six_days(tmp_path, layout, seed))) == {}


@pytest.mark.slow
def test_the_climate_is_the_same_on_the_full_grid() -> None:
    times = [START + timedelta(hours=19 * index) for index in range(6)]
    frames = (rain_field(OPERA_2KM, time, seed=0) for time in times)
    assert out_of_range(measure_climate(frames)) == {}


@pytest.mark.shared_data
def test_the_real_files_measure_the_same_way(real_archive: Path) -> None:
    paths = sorted(real_archive.rglob("*RATE.h5"))
    assert len(paths) == 20
    frames = [read_composite(path).values for path in paths]
    assert len(eligible_tiles(frames)) == 1288
    climate = measure_climate(frames)
    assert out_of_range(climate) == {}
    for name, (_, _, real) in RANGES.items():
        assert climate[name] == pytest.approx(real, rel=0.005), name


def test_the_block_table_is_marching_squares() -> None:
    mask = np.random.default_rng(0).random((40, 50)) < 0.5
    kinds = mask[:-1, :-1] + 2 * mask[:-1, 1:] + 4 * mask[1:, :-1] + 8 * mask[1:, 1:]
    lines = find_contours(mask.astype(float), 0.5)
    expected = sum(np.hypot(*np.diff(line, axis=0).T).sum() for line in lines)
    assert perimeter_by_block()[kinds].sum() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_lie_on_the_grid_of_a_hundredth_with_ties(layout: Layout, tmp_path: Path) -> None:
    (path,) = write_archive(tmp_path, start=START, end=START + QUARTER, layout=layout)
    raw = raw_rates(path)
    wet = raw[raw > 0]
    assert np.array_equal(wet, np.round(wet, 2))
    assert wet.size > 20 * np.unique(wet).size


def test_nimbus_knows_few_values() -> None:
    rain_rate = rain_field(TEST_2KM, START, seed=0)
    laddered = nimbus_ladder(rain_rate)
    assert np.array_equal(np.isnan(laddered), np.isnan(rain_rate))
    assert np.array_equal(laddered == 0, rain_rate == 0)
    strong = laddered[laddered >= DRIZZLE]
    assert np.unique(strong).size < 130 < np.unique(rain_rate[rain_rate >= DRIZZLE]).size
    assert np.array_equal(nimbus_ladder(strong), strong)
    wet = rain_rate >= DRIZZLE
    # Half a step of 0.4 dB, and half a hundredth.
    limit = rain_rate[wet] * (10 ** (0.02 / 1.6) - 1) + 0.0051
    assert (np.abs(laddered[wet] - rain_rate[wet]) <= limit).all()


@pytest.mark.shared_data
def test_the_ladder_is_that_of_the_real_files(real_archive: Path) -> None:
    for path in sorted(real_archive.rglob("*@RATE.h5")):
        rain_rate = read_composite(path).values
        strong = rain_rate[rain_rate >= DRIZZLE]
        assert np.array_equal(nimbus_ladder(strong), strong)


def test_days_differ() -> None:
    times = [START + timedelta(days=day, hours=12) for day in range(8)]
    frames = [rain_field(TEST_2KM, time, seed=0) for time in times]
    wet = [np.mean(frame[~np.isnan(frame)] >= DRIZZLE) for frame in frames]
    assert max(wet) > 2 * min(wet)
    assert max(correlation(frames[0], frame) for frame in frames[1:]) < 0.25


# --- a function of seed and time


def test_a_frame_needs_no_other_frame() -> None:
    wanted = START + timedelta(days=3)
    after_others = [rain_field(TEST_2KM, START + hour * QUARTER, seed=0) for hour in range(3)]
    late = rain_field(TEST_2KM, wanted, seed=0)
    synthetic._waves.cache_clear()
    radar_network.cache_clear()
    assert np.array_equal(rain_field(TEST_2KM, wanted, seed=0), late, equal_nan=True)
    assert not np.array_equal(late, after_others[-1], equal_nan=True)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_arguments_give_the_same_bytes(layout: Layout, tmp_path: Path) -> None:
    whole = write_archive(
        tmp_path / "whole", start=START, end=START + 3 * QUARTER, layout=layout, seed=3
    )
    (last,) = write_archive(
        tmp_path / "last",
        start=START + 2 * QUARTER,
        end=START + 3 * QUARTER,
        layout=layout,
        seed=3,
    )
    assert last.read_bytes() == whole[-1].read_bytes()
    assert len({path.read_bytes() for path in whole}) == 3


def test_the_archive_holds_the_rain_field(tmp_path: Path) -> None:
    time = START + timedelta(hours=5)
    field = rain_field(TEST_2KM, time, seed=7)
    for layout in LAYOUTS:
        expected = field if layout == "odyssey" else nimbus_ladder(field)
        (path,) = write_archive(tmp_path, start=time, end=time + QUARTER, layout=layout, seed=7)
        assert np.array_equal(read_composite(path).values, expected, equal_nan=True)


def test_seeds_differ_in_weather_and_network() -> None:
    first, second = (rain_field(TEST_2KM, START, seed=seed) for seed in (0, 1))
    assert abs(correlation(first, second)) < 0.3
    assert not np.array_equal(np.isnan(first), np.isnan(second))


def similarity(climate: SyntheticRain, minutes: list[int]) -> list[float]:
    """Return the correlation of a frame with those some minutes later."""
    now, *later = (
        rain_field(TEST_2KM, START + timedelta(hours=36, minutes=after), seed=0, climate=climate)
        for after in (0, *minutes)
    )
    return [correlation(now, frame) for frame in later]


def test_consecutive_frames_are_alike_and_distant_ones_are_not() -> None:
    similar = similarity(CALIBRATED_RAIN, [15, 60, 180, 1440])
    assert similar[0] > 0.6
    assert similar[0] > similar[1] > similar[2]
    assert max(similar[2:]) < 0.25


def test_rain_grows_and_decays_by_itself() -> None:
    calm = replace(CALIBRATED_RAIN, wind_m_s=(0.0, 0.0), speckle=0.0, day_spread=0.0)
    similar = similarity(calm, [1, 15, 60, 180, 720])
    assert similar == sorted(similar, reverse=True)
    assert 0.999 < similar[0] < 1 - 1e-6
    assert 0.95 < similar[1] < 0.999
    assert 0.6 < similar[2] < 0.95
    assert similar[4] < 0.25


def test_the_wind_carries_the_rain_along() -> None:
    # 2000 m in 900 s is one pixel a frame: 5 east and 2 south, nothing grows or decays.
    carried = replace(
        CALIBRATED_RAIN,
        wind_m_s=(5 * 2000 / 900, -2 * 2000 / 900),
        lifetime_hours=np.inf,
        day_spread=0.0,
        speckle=0.0,
    )
    now, later = (
        rain_field(TEST_2KM, START + frames * QUARTER, seed=0, climate=carried) for frames in (0, 4)
    )
    moved, stayed = later[8:, 20:], now[:-8, :-20]
    both = ~(np.isnan(moved) | np.isnan(stayed))
    assert (stayed[both] > 1).sum() > 1000
    assert np.abs(moved[both] - stayed[both]).max() <= 0.01 + 1e-3 * stayed[both].max()
    assert correlation(later, now) < 0.9


def test_the_calibrated_rain_follows_its_wind() -> None:
    now, later = (
        rain_field(TEST_2KM, START + timedelta(hours=36) + shift, seed=0)
        for shift in (timedelta(0), 2 * QUARTER)
    )
    # 11 m/s east and 4 m/s south for half an hour: 10 and 4 pixels of 2 km.
    along = correlation(later[4:, 10:], now[:-4, :-10])
    assert along > correlation(later, now) + 0.1
    assert along > correlation(later[:-4, :-10], now[4:, 10:]) + 0.1


# --- coverage and the three states


def test_coverage_stands_still_with_ragged_edges() -> None:
    covered, later = (
        ~np.isnan(rain_field(TEST_2KM, START + shift, seed=0))
        for shift in (timedelta(0), timedelta(days=2))
    )
    assert np.array_equal(covered, later)
    assert 0.7 < covered.mean() < 0.98
    blocks = covered.reshape(4, TILE, 5, TILE).all(axis=(1, 3))
    assert blocks.sum() >= 10
    ragged = covered != median_filter(covered.astype(np.uint8), 5).astype(bool)
    assert ragged.sum() > 200


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_states_are_in_the_file(layout: Layout, tmp_path: Path) -> None:
    start = START + timedelta(hours=36)
    (path,) = write_archive(tmp_path, start=start, end=start + QUARTER, layout=layout)
    raw = raw_rates(path)
    shares = {
        "nodata": np.mean(raw == NODATA),
        "undetect": np.mean(raw == UNDETECT),
        "zero": np.mean(raw == 0),
        "drizzle": np.mean((raw > 0) & (raw < 0.1)),
        "rain": np.mean(raw >= 0.1),
    }
    assert sum(shares.values()) == pytest.approx(1, abs=1e-12)
    assert min(shares.values()) > 1e-4
    assert shares["zero"] < 0.1 * shares["rain"]
    assert shares["undetect"] > 0.4


def test_quality_of_odyssey_is_there_where_echo_is(tmp_path: Path) -> None:
    (path,) = write_archive(tmp_path, start=START, end=START + QUARTER, layout="odyssey")
    raw = raw_rates(path)
    with h5py.File(path) as file:
        quality = file["dataset2/data1/data"][...]
    echo = raw >= 0
    assert (quality[~echo] == NODATA).all()
    assert np.array_equal(np.unique(quality[echo]), np.round(np.arange(10) / 10, 1))


def test_quality_of_nimbus_is_zero_outside_coverage(tmp_path: Path) -> None:
    (path,) = write_archive(tmp_path, start=START, end=START + QUARTER, layout="nimbus")
    raw = raw_rates(path)
    with h5py.File(path) as file:
        quality = file["dataset1/data1/quality1/data"][...]
    assert (quality[raw == NODATA] == 0).all()
    assert (quality[raw != NODATA] > 0).all()
    assert quality.max() == 1.0
    assert np.array_equal(quality, np.round(quality, 2))


# --- files


def test_the_period_is_half_open_and_files_lie_under_the_archive_keys(tmp_path: Path) -> None:
    start = datetime(2024, 6, 30, 23, 30, tzinfo=UTC)
    paths = write_archive(tmp_path, start=start, end=start + timedelta(minutes=50), layout="nimbus")
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "2024/06/30/OPERA/COMP/OPERA@20240630T2330@0@RATE.h5",
        "2024/06/30/OPERA/COMP/OPERA@20240630T2345@0@RATE.h5",
        "2024/07/01/OPERA/COMP/OPERA@20240701T0000@0@RATE.h5",
        "2024/07/01/OPERA/COMP/OPERA@20240701T0015@0@RATE.h5",
    ]
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == paths
    (path,) = write_archive(tmp_path, start=start, end=start + QUARTER, layout="odyssey")
    assert path.name == "OPERA@20240630T2330@0@QIND_RATE.h5"


def test_the_full_grid_works(tmp_path: Path) -> None:
    (path,) = write_archive(
        tmp_path, start=START, end=START + QUARTER, grid=OPERA_2KM, layout="nimbus"
    )
    composite = read_composite(path)
    assert composite.grid == OPERA_2KM
    assert len(composite.radars) > 100
    assert np.mean(composite.values >= DRIZZLE) > 0.02


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"start": START.replace(tzinfo=None)}, "start must be a whole minute in UTC"),
        ({"end": START + timedelta(hours=1, seconds=1)}, "end must be a whole minute in UTC"),
        ({"end": START}, "the period is empty"),
        ({"step": timedelta(seconds=90)}, "no whole number of minutes"),
        ({"step": -QUARTER}, "no whole number of minutes"),
        ({"seed": -1}, "the seed is negative"),
        ({"layout": "cirrus"}, "the layout is unknown"),
    ],
)
def test_unusable_arguments_write_nothing(
    changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    arguments: dict[str, Any] = {"start": START, "end": START + QUARTER, **changed}
    with pytest.raises(InputError, match=message):
        write_archive(tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


def test_a_time_off_utc_is_refused() -> None:
    with pytest.raises(InputError, match="whole minute in UTC"):
        rain_field(TEST_2KM, datetime(2024, 7, 1), seed=0)
    with pytest.raises(InputError, match="the seed is negative"):
        rain_field(TEST_2KM, START, seed=-1)
