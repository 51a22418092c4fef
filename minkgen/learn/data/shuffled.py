"""Epochs of shuffled batches, shared between ranks and worker processes.

The order of an epoch (`order`) is cut evenly into ranks x batches pieces. A rank takes consecutive
ones, so that it reads few chunks that others read as well; of these, so does each of its workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from minkgen.errors import EmptySplitError, InputError
from minkgen.learn.data.order import IndexArray, even_bounds, stratified_order
from minkgen.learn.data.tiles import Batch, TileReader

__all__ = ["EpochBatches", "ShuffledTiles"]


class ShuffledTiles:
    """The samples of a reader in shuffled batches, epoch after epoch.

    Over all ranks and workers, every wet sample comes exactly once an epoch: none is dropped, none
    is repeated. Dry ones, where the reader has them, are mixed in evenly up to a share, each once
    at most; they are drawn anew in every epoch. All ranks have the same number of batches, and no
    two batches differ by more than one sample: the remainder is spread instead of making a short
    batch. What a batch holds depends on (seed, epoch, rank, batch size, number of ranks) only. The
    number of workers decides in which order the batches come.

    Parameters
    ----------
    reader : TileReader
    batch_size : int
        Samples of a batch at most.
    seed : int
        Not negative.
    wet_share : float, optional
        Share of wet samples in an epoch, in (0, 1]; larger where there are too few dry ones.
    rank, ranks : int, optional
        Which process this is, from 0, and how many there are.

    Attributes
    ----------
    reader : TileReader
    samples : int
        Samples of an epoch, over all ranks.
    batches : int
        Batches of an epoch on each rank.

    Raises
    ------
    EmptySplitError
        If none of the reader's samples is wet.
    InputError
        If there are too few samples to give every rank as many batches.

    Examples
    --------
    A training that was stopped in epoch 3 after 120 batches goes on with the 121st::

        tiles = ShuffledTiles(TileReader(snapshot, "train", names), batch_size=64, seed=0)
        for batch in DataLoader(tiles.epoch(3, done=120), batch_size=None, num_workers=4):
            ...
    """

    def __init__(
        self,
        reader: TileReader,
        *,
        batch_size: int,
        seed: int,
        wet_share: float = 1.0,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        if batch_size < 1 or not 0 <= rank < ranks:
            raise InputError(
                "this is no way to share samples",
                got=f"batch_size {batch_size}, rank {rank} of {ranks}",
                expected="a batch size of at least 1, and a rank from 0 to ranks - 1",
            )
        self.reader = reader
        wet = int(np.count_nonzero(reader.wet))
        if wet == 0:
            raise EmptySplitError(
                "none of the tiles to be drawn is wet",
                got=f"{reader.samples} tiles, all dry",
                hint="take more of them: raise max_tiles",
            )
        self._dry = min(reader.samples - wet, round(wet * (1.0 - wet_share) / wet_share))
        self.samples = wet + self._dry
        self.batches = -(-self.samples // (batch_size * ranks))
        if self.samples < self.batches * ranks:
            raise InputError(
                "there are too few samples for so many ranks",
                got=f"{self.samples} samples for {ranks} ranks with batches of {batch_size}",
                hint="take fewer ranks, or larger batches if they are of one sample",
            )
        self._seed, self._rank, self._ranks = seed, rank, ranks

    def epoch(self, number: int, *, done: int = 0) -> EpochBatches:
        """Return an epoch, or what is left of it.

        Parameters
        ----------
        number : int
            Not negative.
        done : int, optional
            Batches that this rank was given already. The rest is bit for bit what would have come;
            in worker processes: the same number of them.

        Returns
        -------
        EpochBatches
        """
        return EpochBatches(self, number, done)

    def _cut(self, number: int, first: int, last: int) -> Iterator[tuple[IndexArray, Batch]]:
        """Yield consecutive batches of an epoch of this rank, with the numbers of their samples."""
        reader = self.reader
        order = stratified_order(
            reader.chunks, reader.frames, reader.wet, dry=self._dry, seed=self._seed, epoch=number
        )
        begin = self._rank * self.batches
        bounds = even_bounds(self.samples, self._ranks * self.batches)
        cuts = bounds[begin + first : begin + last + 1]
        reads = np.unique(np.clip(order.buffers, cuts[0], cuts[-1]))
        samples = order.samples[cuts[0] : cuts[-1]]
        numbers = (order.samples[start:stop] for start, stop in pairwise(cuts.tolist()))
        batches = reader.batches(samples, reads=reads - cuts[0], cuts=cuts - cuts[0])
        return zip(numbers, batches, strict=True)


class EpochBatches(IterableDataset[Batch]):
    """The batches of one epoch for one rank.

    Iterate over it, or give it to `torch.utils.data.DataLoader` with `batch_size=None` and any
    number of workers. It has no state: every iteration gives the same batches.
    """

    def __init__(self, tiles: ShuffledTiles, number: int, done: int) -> None:
        if not 0 <= done <= tiles.batches:
            raise InputError(
                "an epoch has no so many batches",
                got=f"{done} done",
                expected=f"0 to {tiles.batches}",
            )
        self._tiles, self._number, self._done = tiles, number, done

    def __len__(self) -> int:
        return self._tiles.batches - self._done

    def numbered(self) -> Iterator[tuple[IndexArray, Batch]]:
        """Yield the batches with the numbers that their samples have in the reader."""
        return self._tiles._cut(self._number, self._done, self._tiles.batches)

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        if worker is None:
            yield from (batch for _, batch in self.numbered())
            return
        first, last = self._share(worker.id, worker.num_workers)
        for _, batch in self._tiles._cut(self._number, first, last):
            # A worker sends whole storages; the buffer of which this is a part is far larger.
            yield Batch(*(torch.from_numpy(tensor.numpy().copy()) for tensor in batch))

    def _share(self, worker: int, workers: int) -> tuple[int, int]:
        """Return which of the rank's batches a worker gives.

        A loader takes one batch of each worker in turn. Of all batches it gives, number i therefore
        is number i // workers of share i % workers, if the first shares are the larger ones. After
        `done` batches it begins anew with worker 0, who then goes on with share `done` % workers.
        """
        share = (self._done + worker) % workers
        size, larger = divmod(self._tiles.batches, workers)
        begin = share * size + min(share, larger)
        given = (self._done + worker) // workers
        return begin + given, begin + size + (share < larger)
