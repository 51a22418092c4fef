"""Batches from a snapshot: whole chunks are read, and shuffled in a buffer of many chunks.

A chunk holds 16 tiles that are neighbours in one frame, and reading a single tile costs as much as
reading its chunk. An epoch therefore permutes the chunks, fills a buffer, shuffles the tiles in it
and cuts it into batches. The order depends on (seed, epoch) and on nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import zarr

from minkgen.errors import EmptySplitError
from minkgen.gamma.functionals import FUNCTIONALS
from minkgen.store.layout import SAMPLES_PER_CHUNK
from minkgen.store.snapshot import Snapshot

__all__ = ["BUFFER_CHUNKS", "Batch", "BatchReader", "wet_rows"]

# 1024 tiles of 64 frames or more, 64 MiB of 128 x 128 pixels.
BUFFER_CHUNKS = 64

FloatArray = npt.NDArray[np.float32]
IndexArray = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Batch:
    """Tiles and their targets.

    Parameters
    ----------
    rain_rate : array (B, H, W)
        In mm/h, north first.
    gamma : array (B, F, Q)
        In physical units.
    """

    rain_rate: FloatArray
    gamma: FloatArray

    def __len__(self) -> int:
        return len(self.rain_rate)

    def take(self, positions: IndexArray | slice) -> Self:
        """Return some of the samples."""
        return type(self)(self.rain_rate[positions], self.gamma[positions])

    @classmethod
    def joined(cls, parts: Sequence[Batch]) -> Self:
        """Return the samples of all parts as one batch."""
        return cls(
            np.concatenate([part.rain_rate for part in parts]),
            np.concatenate([part.gamma for part in parts]),
        )


@dataclass(frozen=True)
class _Chunk:
    """The wanted samples of one chunk, real or mixed."""

    rain_rate: zarr.Array[Any]
    gamma: zarr.Array[Any]
    start: int
    wanted: IndexArray

    def read(self, channels: IndexArray) -> Batch:
        rain_rate = self._read(self.rain_rate)
        rain_rate[np.isnan(rain_rate)] = 0.0  # missing pixels count as dry, as they do in γ
        return Batch(rain_rate, self.read_gamma(channels))

    def read_gamma(self, channels: IndexArray) -> FloatArray:
        return self._read(self.gamma)[:, channels]

    def _read(self, array: zarr.Array[Any]) -> FloatArray:
        stop = self.start + SAMPLES_PER_CHUNK
        return np.asarray(array[self.start : stop], np.float32)[self.wanted]


def _chunks(rain_rate: zarr.Array[Any], gamma: zarr.Array[Any], rows: IndexArray) -> list[_Chunk]:
    starts = rows - rows % SAMPLES_PER_CHUNK
    return [
        _Chunk(rain_rate, gamma, int(start), rows[starts == start] - start)
        for start in np.unique(starts)
    ]


def wet_rows(snapshot: Snapshot, split: str) -> IndexArray:
    """Return the row numbers of the wet samples of a split, in order.

    Raises
    ------
    EmptySplitError
        If there is none.
    StoreError
        If the snapshot has no such split.
    """
    wet = np.asarray(snapshot.array(split, "wet")[:], bool)
    if not wet.any():
        raise EmptySplitError(
            f"the {split} split has no wet tile",
            where=snapshot.path,
            got=f"{len(wet)} tiles, all dry",
            hint="widen its window in the recipe's splits, then run `minkgen compute`",
        )
    return np.flatnonzero(wet)


class BatchReader:
    """The wet samples of a split, in batches.

    Dry tiles (γ = 0 everywhere) are left out of emulators and their scores.

    Parameters
    ----------
    snapshot : Snapshot
    split : {"train", "validation", "test"}
    functionals : sequence of str
        The rows of γ to read, in this order.
    batch_size : int
        Samples of a batch; the last one of an epoch may be smaller.
    mixup : bool, optional
        Read the mixed tiles of the same rows, too (training split only).
    max_tiles : int, optional
        Keep only the first so many wet rows.

    Attributes
    ----------
    rows : array of int
        Row numbers in the split of the wet samples, in order.

    Raises
    ------
    EmptySplitError
        If the split has no wet sample.
    StoreError
        If the snapshot has no such split, or no mixed tiles.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        split: str,
        functionals: Sequence[str],
        *,
        batch_size: int,
        mixup: bool = False,
        max_tiles: int | None = None,
    ) -> None:
        self.rows = wet_rows(snapshot, split)[:max_tiles]
        self._channels: IndexArray = np.array([FUNCTIONALS.index(name) for name in functionals])
        self._batch_size = batch_size
        kinds = ("", "mixup_") if mixup else ("",)
        self._chunks = [
            chunk
            for kind in kinds
            for chunk in _chunks(
                snapshot.array(split, f"{kind}rain_rate"),
                snapshot.array(split, f"{kind}gamma"),
                self.rows,
            )
        ]
        self.samples = len(kinds) * len(self.rows)

    @property
    def batches(self) -> int:
        """Number of batches of an epoch."""
        return -(-self.samples // self._batch_size)

    def shuffled(self, seed: int, epoch: int) -> Iterator[Batch]:
        """Yield every sample once, in the order of (seed, epoch)."""
        random = np.random.default_rng([seed, epoch])
        chunks = [self._chunks[number] for number in random.permutation(len(self._chunks))]
        return self._batches(chunks, random)

    def in_order(self) -> Iterator[Batch]:
        """Yield every sample once, in the order of the store."""
        return self._batches(self._chunks, None)

    def _batches(
        self, chunks: Sequence[_Chunk], random: np.random.Generator | None
    ) -> Iterator[Batch]:
        rest: list[Batch] = []
        for first in range(0, len(chunks), BUFFER_CHUNKS):
            read = [chunk.read(self._channels) for chunk in chunks[first : first + BUFFER_CHUNKS]]
            buffer = Batch.joined([*rest, *read])
            order = np.arange(len(buffer))
            if random is not None:
                random.shuffle(order)
            whole = len(buffer) - len(buffer) % self._batch_size
            for start in range(0, whole, self._batch_size):
                yield buffer.take(order[start : start + self._batch_size])
            rest = [buffer.take(order[whole:])]
        yield from (last for last in rest if len(last))

    def gamma_sample(self, limit: int) -> FloatArray:
        """Return targets of evenly spaced chunks, about `limit` samples at most.

        Parameters
        ----------
        limit : int
            Samples wanted.

        Returns
        -------
        array (samples, F, Q)
        """
        step = -(-self.samples // limit)
        return np.concatenate([chunk.read_gamma(self._channels) for chunk in self._chunks[::step]])
