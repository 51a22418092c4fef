"""Reading tiles by number and in order, from the store and from memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch

from minkgen.errors import EmptySplitError, StoreError
from minkgen.gamma.functionals import FUNCTIONALS
from minkgen.learn.data import Batch, TileReader, tiles
from minkgen.store.snapshot import Snapshot

EMULATED = ("area", "perimeter", "components")
Arrays = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


def reader(snapshot: Snapshot, split: str = "train", **options: Any) -> TileReader:
    return TileReader(snapshot, split, EMULATED, **options)


def joined(batches: Iterable[Batch]) -> Arrays:
    rain_rate, gamma = zip(*batches, strict=True)
    return torch.cat(rain_rate).numpy(), torch.cat(gamma).numpy()


def require_equal(found: Arrays, expected: Arrays) -> None:
    for left, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(left, right)


def test_in_order_gives_the_wet_rows_of_the_store_with_their_own_targets(
    snapshot: Snapshot,
) -> None:
    wet = snapshot.array("validation", "wet")[:]
    assert 0 < np.count_nonzero(wet) < len(wet)
    batches = list(reader(snapshot, "validation").in_order(16))
    assert [len(batch.gamma) for batch in batches] == [16, 16, 3]
    expected = (
        snapshot.array("validation", "rain_rate")[:][wet],
        snapshot.array("validation", "gamma")[:][wet][:, :3],
    )
    require_equal(joined(batches), expected)


def test_batches_go_on_over_the_ends_of_reads(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = list(reader(snapshot, mixup=True).in_order(7))
    monkeypatch.setattr(tiles, "_STRETCH", 24)
    in_pieces = list(reader(snapshot, mixup=True).in_order(7))
    assert [len(batch.gamma) for batch in in_pieces] == [len(batch.gamma) for batch in whole]
    require_equal(joined(in_pieces), joined(whole))


def test_samples_are_read_by_number_in_any_order(snapshot: Snapshot) -> None:
    mixed = reader(snapshot, mixup=True)
    whole = joined(mixed.in_order(1000))
    numbers = np.random.default_rng(0).permutation(mixed.samples)[:50]
    require_equal(joined([mixed.read(numbers)]), (whole[0][numbers], whole[1][numbers]))


@pytest.mark.parametrize("in_memory", [False, True])
def test_missing_pixels_count_as_dry(
    make_snapshot: Callable[..., Snapshot], in_memory: bool
) -> None:
    gaps = make_snapshot(missing_pixels=("validation",))
    stored = gaps.array("validation", "rain_rate")[:][gaps.array("validation", "wet")[:]]
    assert np.isnan(stored).any()
    rain_rate, _ = joined(reader(gaps, "validation", in_memory=in_memory).in_order(16))
    np.testing.assert_array_equal(rain_rate, np.where(np.isnan(stored), 0.0, stored))


def test_functionals_are_read_by_name(snapshot: Snapshot) -> None:
    names = ("euler_8", "area")
    _, gamma = joined(TileReader(snapshot, "test", names).in_order(7))
    stored = snapshot.array("test", "gamma")[:][snapshot.array("test", "wet")[:]]
    for position, name in enumerate(names):
        np.testing.assert_array_equal(gamma[:, position], stored[:, FUNCTIONALS.index(name)])


def test_max_tiles_keeps_the_first_wet_rows_and_their_mixed_ones(snapshot: Snapshot) -> None:
    few = reader(snapshot, max_tiles=20, mixup=True)
    assert few.rows.tolist() == np.flatnonzero(snapshot.array("train", "wet")[:])[:20].tolist()
    rain_rate, _ = joined(few.in_order(16))
    mixed = snapshot.array("train", "mixup_rain_rate")[:]
    np.testing.assert_array_equal(rain_rate[20:], mixed[few.rows])


@pytest.mark.parametrize("in_memory", [False, True])
def test_dry_rows_are_read_where_they_are_wanted(snapshot: Snapshot, in_memory: bool) -> None:
    every = reader(snapshot, "validation", dry=True, in_memory=in_memory)
    wet = snapshot.array("validation", "wet")[:]
    assert every.rows.tolist() == list(range(snapshot.rows("validation")))
    np.testing.assert_array_equal(every.wet, wet)
    rain_rate, gamma = joined(every.in_order(16))
    np.testing.assert_array_equal(rain_rate, snapshot.array("validation", "rain_rate")[:])
    assert not rain_rate[~wet].any()
    assert not gamma[~wet].any()
    assert reader(snapshot, dry=True, max_tiles=20).rows.tolist() == list(range(20))
    assert reader(snapshot, mixup=True).wet.all()


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_sample_of_targets_is_spread_over_the_split(snapshot: Snapshot, in_memory: bool) -> None:
    train = reader(snapshot, in_memory=in_memory)
    every = train.gamma_sample(10_000)
    np.testing.assert_array_equal(every, joined(train.in_order(16))[1])
    few = train.gamma_sample(50)
    assert 0 < len(few) <= 60
    assert few.tobytes() != every[: len(few)].tobytes()


@pytest.mark.parametrize("mixup", [False, True])
def test_memory_gives_what_the_store_gives(
    make_snapshot: Callable[..., Snapshot], monkeypatch: pytest.MonkeyPatch, mixup: bool
) -> None:
    snapshot = make_snapshot({"train": 200})
    monkeypatch.setattr(tiles, "_STRETCH", 64)
    stored = reader(snapshot, mixup=mixup, max_tiles=150)
    kept = reader(snapshot, mixup=mixup, max_tiles=150, in_memory=True)
    numbers = np.random.default_rng(1).permutation(stored.samples)
    require_equal(joined([kept.read(numbers)]), joined([stored.read(numbers)]))


def test_the_split_lies_on_the_device_that_is_named(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    # "meta" is a device of its own that every machine has; its tensors have shapes and no values.
    kept = reader(snapshot, "test", in_memory=True, device="meta")
    for name in ("rain_rate", "gamma"):
        monkeypatch.setattr(kept, f"_{name}", None)  # nothing is read from the store any more
    batches = list(kept.in_order(16))
    assert {tensor.device.type for batch in batches for tensor in batch} == {"meta"}
    assert [len(batch.gamma) for batch in batches] == [16, 16, 3]
    passed_on = reader(snapshot, "test", device="meta").read(np.arange(3))
    assert {tensor.device.type for tensor in passed_on} == {"meta"}


def test_a_kept_split_needs_no_store(
    make_snapshot: Callable[..., Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = make_snapshot({"validation": 20})
    kept = reader(snapshot, "validation", in_memory=True, device="cpu")
    before = joined(kept.in_order(8))
    snapshot.path.rename(snapshot.path.with_name("moved.zarr"))
    batches = [Batch(*(tensor.add_(1.0) for tensor in batch)) for batch in kept.in_order(8)]
    assert len(batches) == 3
    require_equal(joined(kept.in_order(8)), before)  # batches are the caller's own


@pytest.mark.parametrize("name", ["rain_rate", "gamma"])
@pytest.mark.parametrize("in_memory", [False, True])
def test_a_shard_that_is_gone_is_no_dry_weather(
    make_snapshot: Callable[..., Snapshot], name: str, in_memory: bool
) -> None:
    snapshot = make_snapshot({"validation": 20})
    (snapshot.path / "validation" / name / "c/0/0/0").unlink()
    with pytest.raises(StoreError, match=r"never written|cannot be read"):
        list(reader(snapshot, "validation", in_memory=in_memory).in_order(8))


def test_a_dry_split_is_refused(make_snapshot: Callable[..., Snapshot]) -> None:
    dry = make_snapshot(all_dry=("validation",))
    with pytest.raises(EmptySplitError, match="validation split has no wet tile"):
        reader(dry, "validation")


def test_mixed_tiles_exist_in_the_training_split_only(snapshot: Snapshot) -> None:
    with pytest.raises(StoreError, match="no such array"):
        reader(snapshot, "test", mixup=True)
