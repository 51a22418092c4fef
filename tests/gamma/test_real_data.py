"""γ of real tiles against GUDHI and scikit-image: one hour by default, all files when slow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from minkgen.gamma.floors import LifetimeHistogram, percentile_floor
from minkgen.gamma.functionals import FUNCTIONALS
from minkgen.gamma.matrix import gamma_matrix
from minkgen.gamma.oracle import ORACLES, Settings
from minkgen.gamma.pairs import persistence_pairs
from minkgen.gamma.thresholds import ValueHistogram, quantile_thresholds
from minkgen.opera.odim import open_composite
from minkgen.recipe import DEFAULT_LEVELS

pytestmark = pytest.mark.shared_data

Float32 = npt.NDArray[np.float32]
Check = Callable[..., None]

SIZE = 128
DRIZZLE = np.float32(0.1)
EVERY_TWIN = 10

ARCHIVE = "opera/openradar-archive"
ODYSSEY = ARCHIVE + "/2018/08/24/OPERA/COMP/OPERA@20180824T{}@0@QIND_RATE.h5"
NIMBUS = ARCHIVE + "/2024/11/26/OPERA/COMP/OPERA@20241126T{}@0@RATE.h5"
HOUR = [ODYSSEY.format(time) for time in ("1800", "1815", "1830", "1845")]
REST = [
    *(
        ODYSSEY.format(f"{hour}{minute}")
        for hour in (19, 20, 21)
        for minute in ("00", "15", "30", "45")
    ),
    *(NIMBUS.format(time) for time in ("0115", "0130", "0145", "0200")),
]


def _eligible_tiles(path: Path) -> Float32:
    """Cut covered tiles with rain from the north-west pixel, drizzle zeroed, (N, 128, 128)."""
    with open_composite(path) as composite:
        rain_rate = composite["rain_rate"].values
    rows, columns = (length // SIZE for length in rain_rate.shape)
    cut = rain_rate[: rows * SIZE, : columns * SIZE].reshape(rows, SIZE, columns, SIZE)
    tiles = cut.swapaxes(1, 2).reshape(-1, SIZE, SIZE)
    tiles = tiles[np.isfinite(tiles).all(axis=(1, 2))]
    tiles = np.where(tiles < DRIZZLE, np.float32(0.0), tiles)
    return np.asarray(tiles[(tiles > 0).any(axis=(1, 2))])


@pytest.fixture(scope="module")
def tiles_of_the_hour(shared_data: Path) -> list[Float32]:
    return [_eligible_tiles(shared_data / name) for name in HOUR]


@pytest.fixture(scope="module")
def thresholds(tiles_of_the_hour: list[Float32]) -> Float32:
    parts = [ValueHistogram.from_values(tiles[tiles > 0]) for tiles in tiles_of_the_hour]
    grid = quantile_thresholds(parts[0].merge(*parts[1:]), DEFAULT_LEVELS)
    assert grid.values.shape == (21,)
    return grid.values


@pytest.fixture(scope="module")
def floors(tiles_of_the_hour: list[Float32]) -> tuple[float, float]:
    pairs = persistence_pairs(np.concatenate(tiles_of_the_hour))
    of_components, of_holes = (
        percentile_floor(LifetimeHistogram.from_pairs(pairs.finite(dimension))).epsilon
        for dimension in (0, 1)
    )
    return of_components, of_holes


@pytest.fixture(scope="module")
def check_tiles(
    thresholds: Float32,
    floors: tuple[float, float],
    assert_equals_oracle: Check,
    assert_equals_twins: Check,
    assert_pairs_equal_oracle: Check,
    assert_weights_sum_to_gamma: Check,
) -> Check:
    """Compare all tiles with the everyday twins, and a few with all that are fast enough."""
    asked = [
        Settings(2.0, floors),
        Settings(2.0, essential="background"),
        Settings(2.0, floors, "background"),
    ]

    def check(tiles: Float32) -> None:
        for tile in tiles:
            assert_equals_oracle(tile, thresholds, pixel_km=2.0)
            assert_pairs_equal_oracle(tile)
        with_drizzle = np.concatenate([[np.float32(0.01)], thresholds])
        for settings in asked:
            gammas = gamma_matrix(tiles, with_drizzle, **settings._asdict())
            for tile, gamma in zip(tiles, gammas, strict=True):
                for name in ("components", "holes"):
                    expected = ORACLES[name](tile, with_drizzle, settings)
                    np.testing.assert_array_equal(gamma[FUNCTIONALS.index(name)], expected, name)
        for tile in tiles[::EVERY_TWIN]:
            assert_weights_sum_to_gamma(tile, thresholds, Settings(2.0, floors))
            for settings in [Settings(2.0), *asked]:
                assert_equals_twins(tile, thresholds, settings)

    return check


@pytest.mark.parametrize("frame", range(len(HOUR)))
def test_every_tile_of_one_hour_equals_the_oracle(
    frame: int, tiles_of_the_hour: list[Float32], check_tiles: Check
) -> None:
    tiles = tiles_of_the_hour[frame]
    assert len(tiles) > 50
    check_tiles(tiles)


@pytest.mark.slow
@pytest.mark.parametrize("name", REST)
def test_every_tile_of_the_other_files_equals_the_oracle(
    name: str, shared_data: Path, check_tiles: Check
) -> None:
    tiles = _eligible_tiles(shared_data / name)
    assert len(tiles) > 50
    check_tiles(tiles)


def test_real_floors_and_thresholds(thresholds: Float32, floors: tuple[float, float]) -> None:
    """Recorded from this hour; a change means that a definition has changed."""
    np.testing.assert_array_equal(thresholds[[0, 10, 20]], np.array([0.1, 0.39, 9.89], np.float32))
    assert floors == ((438 + 0.5) * 0.01, (40 + 0.5) * 0.01)


def test_a_window_of_a_real_composite_with_missing_pixels(
    shared_data: Path, thresholds: Float32, assert_equals_oracle: Check
) -> None:
    """γ of labelled data takes the pixel size from the file's coordinates; NaN is dry."""
    with open_composite(shared_data / HOUR[0]) as composite:
        rain_rate = composite["rain_rate"].load()
    missing = rain_rate.isnull().coarsen(y=SIZE, x=SIZE, boundary="trim").mean()
    row, column = np.argwhere(((missing > 0.2) & (missing < 0.8)).values)[0]
    tile = rain_rate[row * SIZE :, column * SIZE :][:SIZE, :SIZE]
    assert (tile.values > 0).any()
    gamma = gamma_matrix(tile, thresholds)
    np.testing.assert_array_equal(gamma, gamma_matrix(tile.values, thresholds, pixel_km=2.0))
    assert_equals_oracle(tile.values, thresholds, pixel_km=2.0)
