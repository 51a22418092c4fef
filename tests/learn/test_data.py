from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minkgen.errors import EmptySplitError, StoreError
from minkgen.gamma.functionals import FUNCTIONALS
from minkgen.learn import data
from minkgen.learn.data import Batch, BatchReader
from minkgen.store.snapshot import Snapshot

EMULATED = ("area", "perimeter", "components")


def reader(snapshot: Snapshot, split: str = "train", **options: Any) -> BatchReader:
    return BatchReader(snapshot, split, EMULATED, batch_size=16, **options)


def samples(batches: Any) -> Batch:
    return Batch.joined(list(batches))


def keys(tiles: np.ndarray[Any, Any]) -> list[bytes]:
    return [tile.tobytes() for tile in tiles]


def test_in_order_gives_the_wet_rows_of_the_store_with_their_own_targets(
    snapshot: Snapshot,
) -> None:
    wet = snapshot.array("validation", "wet")[:]
    assert 0 < np.count_nonzero(wet) < len(wet)
    batches = list(reader(snapshot, "validation").in_order())
    assert [len(batch) for batch in batches] == [16, 16, 3]
    read = samples(batches)
    np.testing.assert_array_equal(read.rain_rate, snapshot.array("validation", "rain_rate")[:][wet])
    np.testing.assert_array_equal(read.gamma, snapshot.array("validation", "gamma")[:][wet][:, :3])


def test_missing_pixels_count_as_dry(make_snapshot: Callable[..., Snapshot]) -> None:
    gaps = make_snapshot(missing_pixels=("validation",))
    stored = gaps.array("validation", "rain_rate")[:][gaps.array("validation", "wet")[:]]
    assert np.isnan(stored).any()
    read = samples(reader(gaps, "validation").in_order())
    np.testing.assert_array_equal(read.rain_rate, np.where(np.isnan(stored), 0.0, stored))


def test_functionals_are_read_by_name(snapshot: Snapshot) -> None:
    names = ("euler_8", "area")
    read = samples(BatchReader(snapshot, "test", names, batch_size=7).in_order())
    stored = snapshot.array("test", "gamma")[:][snapshot.array("test", "wet")[:]]
    for position, name in enumerate(names):
        np.testing.assert_array_equal(read.gamma[:, position], stored[:, FUNCTIONALS.index(name)])


@pytest.mark.parametrize("mixup", [False, True])
def test_an_epoch_gives_every_wet_sample_once_beside_its_target(
    snapshot: Snapshot, mixup: bool
) -> None:
    shuffling = reader(snapshot, mixup=mixup)
    read = samples(shuffling.shuffled(seed=1, epoch=1))
    wet = snapshot.array("train", "wet")[:]
    names = ("", "mixup_") if mixup else ("",)
    expected = {
        tile.tobytes(): gamma
        for name in names
        for tile, gamma in zip(
            snapshot.array("train", f"{name}rain_rate")[:][wet],
            snapshot.array("train", f"{name}gamma")[:][wet][:, :3],
            strict=True,
        )
    }
    assert sorted(keys(read.rain_rate)) == sorted(expected)
    for key, gamma in zip(keys(read.rain_rate), read.gamma, strict=True):
        np.testing.assert_array_equal(gamma, expected[key])
    assert shuffling.samples == len(read)
    assert shuffling.batches == -(-len(read) // 16)


def test_the_order_depends_on_seed_and_epoch_and_on_nothing_else(snapshot: Snapshot) -> None:
    def order(seed: int, epoch: int) -> list[bytes]:
        np.random.default_rng().random()
        return keys(samples(reader(snapshot).shuffled(seed, epoch)).rain_rate)

    used = reader(snapshot)
    samples(used.shuffled(5, 1))
    assert keys(samples(used.shuffled(5, 2)).rain_rate) == order(5, 2)
    assert len({tuple(order(*key)) for key in ((5, 1), (5, 2), (6, 1))}) == 3


def test_tiles_of_one_chunk_do_not_stay_together(snapshot: Snapshot) -> None:
    first = next(reader(snapshot).shuffled(seed=0, epoch=1))
    stored = keys(snapshot.array("train", "rain_rate")[:])
    chunks = {stored.index(key) // 16 for key in keys(first.rain_rate)}
    assert len(chunks) >= 4


def test_a_buffer_smaller_than_the_split_loses_nothing(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "BUFFER_CHUNKS", 2)
    batches = list(reader(snapshot).shuffled(seed=0, epoch=1))
    whole = reader(snapshot).samples
    assert [len(batch) for batch in batches] == [16] * (whole // 16) + [whole % 16]
    assert len(set(keys(samples(batches).rain_rate))) == whole


def test_max_tiles_keeps_the_first_wet_rows_and_their_mixed_ones(snapshot: Snapshot) -> None:
    few = reader(snapshot, max_tiles=20, mixup=True)
    assert few.rows.tolist() == np.flatnonzero(snapshot.array("train", "wet")[:])[:20].tolist()
    read = samples(few.in_order())
    mixed = snapshot.array("train", "mixup_rain_rate")[:]
    np.testing.assert_array_equal(read.rain_rate[20:], mixed[few.rows])


def test_a_sample_of_targets_is_spread_over_the_split(snapshot: Snapshot) -> None:
    every = reader(snapshot).gamma_sample(10_000)
    np.testing.assert_array_equal(every, samples(reader(snapshot).in_order()).gamma)
    few = reader(snapshot).gamma_sample(50)
    assert 0 < len(few) <= 60
    assert few.tobytes() != every[: len(few)].tobytes()


def test_a_dry_split_is_refused(make_snapshot: Callable[..., Snapshot]) -> None:
    dry = make_snapshot(all_dry=("validation",))
    with pytest.raises(EmptySplitError, match="validation split has no wet tile"):
        reader(dry, "validation")


def test_mixed_tiles_exist_in_the_training_split_only(snapshot: Snapshot) -> None:
    with pytest.raises(StoreError, match="no such array"):
        reader(snapshot, "test", mixup=True)
