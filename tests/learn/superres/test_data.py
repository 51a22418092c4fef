"""Batches of scenes: each tile with its own γ and terrain, in its share, the same when resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from minkgen.errors import EmptySplitError
from minkgen.gamma.functionals import FUNCTIONALS, rows_of
from minkgen.gamma.matrix import gamma_matrix
from minkgen.grid import TEST_2KM
from minkgen.learn.superres.data import SceneBatch, SceneTiles, scenes_in_order
from minkgen.learn.superres.scenes import LowResolution, Terrain
from minkgen.recipe import Dem, SuperResolution
from minkgen.store.layout import StorePaths
from minkgen.store.snapshot import Snapshot
from minkgen.store.static import create_static
from tests.opera.dem_files import write_netcdf

NAMES = ("area", "perimeter", "components")
# Of 100 training tiles every ninth is dry.
WET, DRY = 88, 12


class Place(NamedTuple):
    """A snapshot, and the store that it is in."""

    snapshot: Snapshot
    store: Path


@pytest.fixture(scope="module")
def place(make_snapshot: Callable[..., Snapshot]) -> Place:
    """Return a snapshot in a store with a terrain; treat as read-only."""
    pytest.importorskip("rasterio", reason="needs the extra geo")
    snapshot = make_snapshot(missing_pixels=("validation",))
    store = snapshot.path.parent.parent
    # Hills, so that the terrain of no two tiles is alike, nor that of a turned one.
    longitude, latitude = np.arange(-5.0, 30.0, 0.5), np.arange(62.0, 42.0, -0.5)
    heights = np.random.default_rng(0).uniform(0, 1000, (len(latitude), len(longitude)))
    dem = write_netcdf(store / "dem.nc", heights.astype(np.float32), longitude, latitude)
    create_static(StorePaths(store), TEST_2KM, Dem(path=dem))
    return Place(snapshot, store)


def settings(**choices: Any) -> SuperResolution:
    return SuperResolution(**{"batch_size": 16, "flips": 0.0, "seed": 3} | choices)


def training(place: Place, *, rank: int = 0, ranks: int = 1, **choices: Any) -> SceneTiles:
    return SceneTiles(*place, settings(**choices), NAMES, rank=rank, ranks=ranks)


def content(batches: Iterable[SceneBatch]) -> list[bytes]:
    return [
        b"".join(tensor.numpy().tobytes() for tensor in (*batch.scene, batch.target, batch.gamma))
        for batch in batches
    ]


def whole(batches: Iterable[SceneBatch]) -> SceneBatch:
    scenes, targets, gammas = zip(*batches, strict=True)
    lows, terrains = zip(*scenes, strict=True)
    scene = type(scenes[0])(torch.cat(lows), torch.cat(terrains))
    return SceneBatch(scene, torch.cat(targets), torch.cat(gammas))


def terrain_of(place: Place, split: str) -> Any:
    """Return the terrain below every row of a split."""
    snapshot = place.snapshot
    x0, y0 = (snapshot.array(split, name)[:] for name in ("x0", "y0"))
    return Terrain(place.store, snapshot.tile_size, snapshot.pixel_km).at(x0, y0).numpy()


@pytest.mark.parametrize("wet_only", [False, True])
def test_in_order_come_all_rows_with_what_is_theirs(place: Place, wet_only: bool) -> None:
    snapshot = place.snapshot
    given = list(scenes_in_order(*place, settings(), "validation", NAMES, 16, wet_only=wet_only))
    rows = np.concatenate([rows for rows, _ in given])
    wet = snapshot.array("validation", "wet")[:]
    assert rows.tolist() == (np.flatnonzero(wet) if wet_only else np.arange(len(wet))).tolist()
    assert [len(batch.target) for _, batch in given] == ([16, 16, 3] if wet_only else [16, 16, 8])
    batch = whole(batch for _, batch in given)
    stored = snapshot.array("validation", "rain_rate")[:][rows]
    assert np.isnan(stored).any()
    np.testing.assert_array_equal(batch.target, np.nan_to_num(stored))
    gamma = snapshot.array("validation", "gamma")[:][rows][:, rows_of(NAMES)]
    np.testing.assert_array_equal(batch.gamma, gamma)
    np.testing.assert_array_equal(batch.scene.terrain, terrain_of(place, "validation")[rows])
    low_resolution = LowResolution(snapshot.tile_size, snapshot.pixel_km, "bicubic")
    np.testing.assert_allclose(batch.scene.low, low_resolution(batch.target), rtol=1e-6)


def test_the_upsampling_is_that_of_the_settings(place: Place) -> None:
    (_, batch), *_ = scenes_in_order(*place, settings(upsampling="nearest"), "test", NAMES, 8)
    assert len(np.unique(batch.scene.low[1])) == 4  # a tile of 64 km has 2 x 2 cells


def test_an_epoch_has_every_wet_tile_once_with_what_is_its_own(place: Place) -> None:
    snapshot, wet = place.snapshot, place.snapshot.array("train", "wet")[:]
    row_of = {
        tile.tobytes(): row
        for row, tile in enumerate(snapshot.array("train", "rain_rate")[:])
        if wet[row]
    }
    tiles = training(place, wet_share=0.9)
    batches = list(tiles.epoch(1))
    batch = whole(batches)
    assert len(batches) == tiles.batches == 7
    assert len(batch.target) == tiles.samples == WET + round(WET / 9)
    rainy = batch.target.numpy().any(axis=(1, 2))
    rows = [row_of[tile.tobytes()] for tile in batch.target.numpy()[rainy]]
    assert sorted(rows) == np.flatnonzero(wet).tolist()
    assert rows != sorted(rows)
    gamma = snapshot.array("train", "gamma")[:][rows][:, rows_of(NAMES)]
    np.testing.assert_array_equal(batch.gamma[rainy], gamma)
    np.testing.assert_array_equal(batch.scene.terrain[rainy], terrain_of(place, "train")[rows])
    assert not batch.gamma[~rainy].any()
    assert not batch.scene.low[~rainy].any()
    dry_terrain = {plane.tobytes() for plane in terrain_of(place, "train")[~wet]}
    found = [plane.tobytes() for plane in batch.scene.terrain.numpy()[~rainy]]
    assert len(set(found)) == len(found)
    assert set(found) <= dry_terrain


@pytest.mark.parametrize(("wet_share", "dry"), [(1.0, 0), (0.95, 5), (0.9, 10), (0.5, DRY)])
def test_every_batch_has_its_share_of_dry_tiles(place: Place, wet_share: float, dry: int) -> None:
    tiles = training(place, wet_share=wet_share)
    batches = list(tiles.epoch(2))
    dry_of = [int((batch.target == 0).all(dim=2).all(dim=1).sum()) for batch in batches]
    sizes = [len(batch.target) for batch in batches]
    assert sum(dry_of) == dry
    assert sum(sizes) == tiles.samples == WET + dry
    assert max(sizes) <= 16
    for count, size in zip(dry_of, sizes, strict=True):
        assert abs(count - size * dry / tiles.samples) <= 1.0


def turns(place: Place, batch: SceneBatch) -> list[tuple[int, tuple[int, ...]]]:
    """Return the row of every wet tile of a batch, and the axes along which it was turned."""
    turned_from = {
        np.flip(tile, axes).tobytes(): (row, axes)
        for row, tile in enumerate(place.snapshot.array("train", "rain_rate")[:])
        for axes in ((), (0,), (1,), (0, 1))
        if tile.any()
    }
    return [turned_from[tile.tobytes()] for tile in batch.target.numpy() if tile.any()]


def test_flips_turn_rain_and_terrain_alike_and_leave_gamma(place: Place) -> None:
    snapshot, terrain = place.snapshot, terrain_of(place, "train")
    batch = whole(training(place, wet_share=1.0, flips=0.5).epoch(1))
    seen = turns(place, batch)
    assert sorted(row for row, _ in seen) == np.flatnonzero(snapshot.array("train", "wet")).tolist()
    for (row, axes), plane in zip(seen, batch.scene.terrain.numpy(), strict=True):
        np.testing.assert_array_equal(plane, np.flip(terrain[row], axes))
    low_resolution = LowResolution(snapshot.tile_size, snapshot.pixel_km, "bicubic")
    np.testing.assert_allclose(batch.scene.low, low_resolution(batch.target), rtol=1e-6)
    anew = gamma_matrix(
        batch.target.numpy(), snapshot.thresholds, pixel_km=2.0, min_persistence=(0.5, 0.5)
    )
    np.testing.assert_allclose(batch.gamma, anew[:, rows_of(NAMES)], rtol=2e-6)
    for axis in (0, 1):  # both ways are taken, each by about half of 88 tiles
        assert 25 < sum(axis in axes for _, axes in seen) < 63


def test_flips_are_drawn_anew_for_every_batch_epoch_and_seed(place: Place) -> None:
    drawn = [
        tuple(axes for _, axes in turns(place, batch))[:12]
        for seed, number in ((5, 1), (5, 2), (6, 1))
        for batch in training(place, wet_share=1.0, flips=0.5, seed=seed).epoch(number)
    ]
    assert len(set(drawn)) == len(drawn) == 18


@pytest.mark.parametrize(("flips", "kinds"), [(0.0, {()}), (1.0, {(0, 1)})])
def test_the_chance_of_flips_is_that_of_the_settings(
    place: Place, flips: float, kinds: set[tuple[int, ...]]
) -> None:
    stored = place.snapshot.array("train", "rain_rate")[:]
    expected = {np.flip(tile, axes).tobytes() for tile in stored for axes in kinds}
    batch = whole(training(place, flips=flips).epoch(1))
    assert {tile.tobytes() for tile in batch.target.numpy()} <= expected


@pytest.mark.parametrize("ranks", [1, 2])
def test_resumed_equals_never_stopped_bit_for_bit(place: Place, ranks: int) -> None:
    choices = {"rank": ranks - 1, "ranks": ranks, "flips": 0.5, "wet_share": 0.9}
    every = content(training(place, **choices).epoch(3))
    assert len(every) == len(set(every)) == 7
    for done in (0, 1, 4, len(every) - 1, len(every)):
        np.random.default_rng().random()
        torch.rand(())
        assert content(training(place, **choices).epoch(3, done=done)) == every[done:]
    used = training(place, **choices)
    list(used.epoch(2))
    assert content(used.epoch(3)) == every  # an epoch has no state


def test_an_epoch_follows_from_seed_and_number(place: Place) -> None:
    def epoch(seed: int, number: int) -> tuple[bytes, ...]:
        return tuple(content(training(place, flips=0.5, seed=seed).epoch(number)))

    assert len({epoch(*key) for key in ((5, 1), (5, 2), (6, 1))}) == 3


def test_ranks_share_an_epoch(place: Place) -> None:
    shares = [training(place, rank=rank, ranks=2) for rank in range(2)]
    assert [share.batches for share in shares] == [7, 7]
    assert [share.samples for share in shares] == [98, 98]
    parts = [whole(share.epoch(1)) for share in shares]
    assert max(len(batch.target) for share in shares for batch in share.epoch(1)) <= 8
    both = [tile.tobytes() for part in parts for tile in part.target.numpy()]
    alone = [tile.tobytes() for tile in whole(training(place).epoch(1)).target.numpy()]
    assert sorted(both) == sorted(alone)


def test_max_tiles_takes_the_first_rows(place: Place) -> None:
    tiles = training(place, max_tiles=20, wet_share=0.5)
    stored = place.snapshot.array("train", "rain_rate")[:20]
    found = whole(tiles.epoch(1)).target.numpy()
    assert sorted(tile.tobytes() for tile in found) == sorted(tile.tobytes() for tile in stored)


def test_first_rows_that_are_all_dry_are_refused(place: Place) -> None:
    assert not place.snapshot.array("train", "wet")[0]
    with pytest.raises(EmptySplitError, match=r"none of the tiles(.|\n)*raise max_tiles"):
        training(place, max_tiles=1)


def test_functionals_are_read_by_name(place: Place) -> None:
    names = ("euler_8", "area")
    _, batch = next(iter(scenes_in_order(*place, settings(), "test", names, 40)))
    stored = place.snapshot.array("test", "gamma")[:]
    for position, name in enumerate(names):
        np.testing.assert_array_equal(batch.gamma[:, position], stored[:, FUNCTIONALS.index(name)])


def test_a_dry_split_is_refused(make_snapshot: Callable[..., Snapshot]) -> None:
    dry = make_snapshot({"train": 20, "validation": 10, "test": 10}, all_dry=("train", "test"))
    given = (dry, dry.path.parent.parent)
    with pytest.raises(EmptySplitError, match="train split has no wet tile"):
        SceneTiles(*given, settings(), NAMES)
    with pytest.raises(EmptySplitError, match="test split has no wet tile"):
        next(scenes_in_order(*given, settings(), "test", NAMES, 8))
