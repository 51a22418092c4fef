"""Epochs: every sample once, whoever shares them, and resumed as if never stopped."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from minkgen.errors import InputError
from minkgen.learn.data import Batch, EpochBatches, ShuffledTiles, TileReader
from minkgen.store.snapshot import Snapshot

NAMES = ("area", "perimeter", "components")
# Large and small frames, as rain and drizzle leave them: chunks of the large ones are the rule.
FRAME_SIZES = [120] * 18 + [15] * 75


@pytest.fixture(scope="module")
def many_frames(make_snapshot: Callable[..., Snapshot]) -> Snapshot:
    """Return a snapshot of 93 frames in 206 chunks; treat as read-only."""
    return make_snapshot({"train": sum(FRAME_SIZES)}, frame_sizes=FRAME_SIZES)


def tiles(snapshot: Snapshot, batch_size: int = 64, **options: Any) -> ShuffledTiles:
    shared = {name: options.pop(name) for name in ("rank", "ranks") if name in options}
    seed = options.pop("seed", 1)
    reader = TileReader(snapshot, "train", NAMES, **options)
    return ShuffledTiles(reader, batch_size=batch_size, seed=seed, **shared)


def content(batches: Iterable[Batch]) -> list[tuple[bytes, bytes]]:
    return [(batch.rain_rate.numpy().tobytes(), batch.gamma.numpy().tobytes()) for batch in batches]


def keys(batches: Iterable[Batch]) -> list[bytes]:
    return [tile.tobytes() for batch in batches for tile in batch.rain_rate.numpy()]


def sizes(batches: Iterable[Batch]) -> list[int]:
    return [len(batch.gamma) for batch in batches]


def loader(epoch: EpochBatches, workers: int) -> DataLoader[Batch]:
    return DataLoader(epoch, batch_size=None, num_workers=workers)


@pytest.mark.parametrize("mixup", [False, True])
def test_an_epoch_gives_every_wet_sample_once_beside_its_target(
    snapshot: Snapshot, mixup: bool
) -> None:
    wet = snapshot.array("train", "wet")[:]
    expected = {
        tile.tobytes(): gamma
        for kind in (("", "mixup_") if mixup else ("",))
        for tile, gamma in zip(
            snapshot.array("train", f"{kind}rain_rate")[:][wet],
            snapshot.array("train", f"{kind}gamma")[:][wet][:, :3],
            strict=True,
        )
    }
    batches = list(tiles(snapshot, 16, mixup=mixup).epoch(1))
    assert sorted(keys(batches)) == sorted(expected)
    found = torch.cat([batch.gamma for batch in batches]).numpy()
    for key, gamma in zip(keys(batches), found, strict=True):
        np.testing.assert_array_equal(gamma, expected[key])


@pytest.mark.parametrize("mixup", [False, True])
def test_what_is_read_at_once_is_of_64_frames_or_more(
    many_frames: Snapshot, monkeypatch: pytest.MonkeyPatch, mixup: bool
) -> None:
    stored = many_frames.array("train", "rain_rate")[:]
    times = many_frames.array("train", "time")[:]
    assert len(np.unique(times)) == len(FRAME_SIZES)
    assert len(np.unique(times[:32])) == 1  # neighbouring chunks are of one frame
    frame_of = {tile.tobytes(): int(time) for tile, time in zip(stored, times, strict=True)}
    if mixup:
        mixed = many_frames.array("train", "mixup_rain_rate")[:]
        frame_of |= {tile.tobytes(): int(time) for tile, time in zip(mixed, times, strict=True)}
    reads: list[Batch] = []
    read = TileReader.read

    def watched(self: TileReader, samples: Any) -> Batch:
        reads.append(read(self, samples))
        return reads[-1]

    monkeypatch.setattr(TileReader, "read", watched)
    shuffled = tiles(many_frames, mixup=mixup)
    batches = list(shuffled.epoch(1))
    assert len(reads) >= 2
    for buffer in reads:
        assert len({frame_of[key] for key in keys([buffer])}) >= 64
    assert sum(sizes(reads)) == sum(sizes(batches)) == shuffled.reader.samples
    # A batch is of many frames, too, and not of the few that its own chunks would have.
    assert min(len({frame_of[key] for key in keys([batch])}) for batch in batches) > 20


@pytest.mark.parametrize(("ranks", "batch_size"), [(1, 64), (2, 64), (3, 50), (7, 900)])
def test_ranks_share_an_epoch_evenly(many_frames: Snapshot, ranks: int, batch_size: int) -> None:
    shares = [
        list(tiles(many_frames, batch_size, rank=rank, ranks=ranks).epoch(1))
        for rank in range(ranks)
    ]
    reader = TileReader(many_frames, "train", NAMES)
    every = [key for share in shares for key in keys(share)]
    assert sorted(every) == sorted(keys(reader.in_order(1000)))
    batches = tiles(many_frames, batch_size, rank=0, ranks=ranks).batches
    assert [len(share) for share in shares] == [batches] * ranks
    assert batches == -(-reader.samples // (ranks * batch_size))
    of_batch = [size for share in shares for size in sizes(share)]
    assert max(of_batch) <= batch_size
    assert max(of_batch) - min(of_batch) <= 1


def test_workers_give_the_batches_of_their_rank(many_frames: Snapshot) -> None:
    epoch = tiles(many_frames, rank=1, ranks=2).epoch(4)
    loaded = loader(epoch, workers=2)
    assert len(loaded) == len(epoch) == 23
    assert sorted(content(loaded)) == sorted(content(epoch))


@pytest.mark.parametrize("done", [1, 8])
def test_resumed_with_workers_goes_on_with_the_very_next_batch(
    many_frames: Snapshot, done: int
) -> None:
    shuffled = tiles(many_frames, 200)
    whole = content(loader(shuffled.epoch(2), workers=2))
    assert len(whole) == 15
    # Another process has other objects.
    assert content(loader(tiles(many_frames, 200).epoch(2, done=done), workers=2)) == whole[done:]


@pytest.mark.parametrize("batches", [1, 2, 7, 12])
@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_any_number_of_workers_goes_on_where_it_was(
    snapshot: Snapshot, batches: int, workers: int
) -> None:
    def delivered(done: int) -> list[int]:
        """Take one batch of each worker in turn, and leave out those who have none any more."""
        epoch = EpochBatches(shuffled, 1, done)
        waiting = [list(range(*epoch._share(worker, workers))) for worker in range(workers)]
        given = []
        while any(waiting):
            given += [share.pop(0) for share in waiting if share]
        return given

    shuffled = tiles(snapshot, 1000)
    shuffled.batches = batches
    whole = delivered(0)
    assert sorted(whole) == list(range(batches))
    for done in range(batches + 1):
        assert delivered(done) == whole[done:]


def test_resumed_equals_never_stopped_bit_for_bit(
    many_frames: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    shuffled = tiles(many_frames)
    whole = content(shuffled.epoch(3))
    for done in (0, 1, 20, len(whole) - 1, len(whole)):
        assert content(tiles(many_frames).epoch(3, done=done)) == whole[done:]
    assert content(shuffled.epoch(3)) == whole  # an epoch has no state
    counts: list[int] = []
    read = TileReader.read

    def counted(self: TileReader, samples: Any) -> Batch:
        counts.append(len(samples))
        return read(self, samples)

    monkeypatch.setattr(TileReader, "read", counted)
    list(shuffled.epoch(3, done=len(whole) - 1))
    assert sum(counts) <= 64  # what is done is not read again


def test_the_order_depends_on_seed_and_epoch_and_on_nothing_else(snapshot: Snapshot) -> None:
    def order(seed: int, epoch: int) -> list[bytes]:
        np.random.default_rng().random()
        torch.rand(())
        return keys(tiles(snapshot, 16, seed=seed).epoch(epoch))

    used = tiles(snapshot, 16, seed=5)
    list(used.epoch(1))
    assert keys(used.epoch(2)) == order(5, 2)
    assert len({tuple(order(*key)) for key in ((5, 1), (5, 2), (6, 1))}) == 3


def test_an_epoch_from_memory_is_that_of_the_store(many_frames: Snapshot) -> None:
    kept = tiles(many_frames, mixup=True, in_memory=True, device="cpu")
    assert content(kept.epoch(1, done=5)) == content(
        tiles(many_frames, mixup=True).epoch(1, done=5)
    )


def test_a_process_that_is_started_anew_can_read_it(many_frames: Snapshot) -> None:
    epoch = tiles(many_frames).epoch(1, done=40)
    copied = pickle.loads(pickle.dumps(epoch))  # noqa: S301 - as a loader does to start workers
    assert content(copied) == content(epoch)


def test_what_cannot_be_shared_is_refused(snapshot: Snapshot) -> None:
    with pytest.raises(InputError, match="too few samples"):
        tiles(snapshot, max_tiles=3, ranks=4, rank=0)
    assert sizes(tiles(snapshot, max_tiles=3, ranks=3, rank=2).epoch(0)) == [1]
    with pytest.raises(InputError, match="rank 2 of 2"):
        tiles(snapshot, rank=2, ranks=2)
    with pytest.raises(InputError, match="0 to 2"):
        tiles(snapshot).epoch(1, done=3)
