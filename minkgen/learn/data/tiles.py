"""The samples of a split as tensors: from the store, or from memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from minkgen.errors import EmptySplitError
from minkgen.gamma.functionals import FUNCTIONALS
from minkgen.learn.data.order import BUFFER_CHUNKS, IndexArray
from minkgen.store.layout import SAMPLES_PER_CHUNK
from minkgen.store.shards import ShardedRows
from minkgen.store.snapshot import Snapshot

__all__ = ["Batch", "TileReader", "reader_on", "wet_rows"]

# Samples that are read at once where the order is that of the store.
_STRETCH = BUFFER_CHUNKS * SAMPLES_PER_CHUNK
# Of a GPU's free memory that a split may take; the network's activations need the rest.
_MEMORY_SHARE = 0.4

FloatArray = npt.NDArray[np.float32]


class Batch(NamedTuple):
    """Tiles and their targets.

    Attributes
    ----------
    rain_rate : Tensor (B, H, W)
        In mm/h, north first; missing pixels are 0.
    gamma : Tensor (B, F, Q)
        In physical units.
    """

    rain_rate: Tensor
    gamma: Tensor

    def span(self, start: int, stop: int) -> Batch:
        """Return consecutive samples, without a copy."""
        return Batch(self.rain_rate[start:stop], self.gamma[start:stop])


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
            where=snapshot.location,
            got=f"{len(wet)} tiles, all dry",
            hint="widen its window in the recipe's splits, then run `minkgen compute`",
        )
    return np.flatnonzero(wet)


class TileReader:
    """Samples of a split, numbered in the order of the store, the mixed ones last.

    Dry tiles (γ = 0 everywhere) are left out of emulators and their scores, and taken by
    super-resolution. A reader of a store can be used by worker processes: it keeps no file open.

    Parameters
    ----------
    snapshot : Snapshot
    split : {"train", "validation", "test"}
    functionals : sequence of str
        The rows of γ to read, in this order.
    mixup : bool, optional
        Read the mixed tiles of the same rows, too (training split only).
    max_tiles : int, optional
        Keep only the first so many rows.
    dry : bool, optional
        Read the dry rows, too.
    in_memory : bool, optional
        Read everything now and keep it: 64 KiB a sample of 128 x 128 pixels. Batches are the same.
    device : str or torch.device, optional
        Where batches lie; with `in_memory`, where everything is kept.

    Attributes
    ----------
    rows : array of int
        Row numbers in the split of the samples, in order.
    samples : int
        Number of samples, the mixed ones included.
    chunks, frames : array of int, shape (samples,)
        The chunk, and the time in minutes since 1970, of every sample.
    wet : array of bool, shape (samples,)

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
        mixup: bool = False,
        max_tiles: int | None = None,
        dry: bool = False,
        in_memory: bool = False,
        device: str | torch.device = "cpu",
    ) -> None:
        rows = wet_rows(snapshot, split)
        self.rows = (np.arange(snapshot.rows(split)) if dry else rows)[:max_tiles]
        self._snapshot, self._split, self._device = snapshot, split, torch.device(device)
        self._channels: IndexArray = np.array([FUNCTIONALS.index(name) for name in functionals])
        self._kinds = ("", "mixup_") if mixup else ("",)
        self._rain_rate, self._gamma = (
            [snapshot.sharded_rows(split, f"{kind}{name}") for kind in self._kinds]
            for name in ("rain_rate", "gamma")
        )
        self.samples = len(self._kinds) * len(self.rows)
        times = np.asarray(snapshot.array(split, "time")[:])[self.rows]
        chunk, chunks = (
            self.rows // SAMPLES_PER_CHUNK,
            -(-snapshot.rows(split) // SAMPLES_PER_CHUNK),
        )
        self.frames = np.tile(times, len(self._kinds))
        self.wet = np.tile(np.isin(self.rows, rows), len(self._kinds))
        self.chunks = np.concatenate([chunk + chunks * kind for kind in range(len(self._kinds))])
        self._memory: Batch | None = None
        if in_memory:
            self._memory = self._whole()

    def read(self, samples: IndexArray) -> Batch:
        """Return samples by number, in any order; a chunk that holds several is read once.

        Raises
        ------
        StoreError
            If the store cannot be read, or a chunk is missing or damaged.
        """
        if self._memory is not None:
            index = torch.from_numpy(samples).to(self._device)
            return Batch(self._memory.rain_rate[index], self._memory.gamma[index])
        rain_rate = _empty((len(samples), *[self._snapshot.tile_size] * 2), torch.device("cpu"))
        tiles = rain_rate.numpy()
        for positions, places, values in self._stored(self._rain_rate, samples):
            np.fmax(values, 0.0, out=values)  # missing pixels count as dry, as they do in γ
            for position, place in zip(positions.tolist(), places.tolist(), strict=True):
                tiles[position] = values[place]
        return Batch(rain_rate.to(self._device), self._read_gamma(samples).to(self._device))

    def _read_gamma(self, samples: IndexArray) -> Tensor:
        gamma = torch.empty((len(samples), len(self._channels), len(self._snapshot.thresholds)))
        for positions, places, values in self._stored(self._gamma, samples):
            gamma.numpy()[positions] = values[np.ix_(places, self._channels)]
        return gamma

    def _stored(
        self, arrays: Sequence[ShardedRows], samples: IndexArray
    ) -> Iterator[tuple[IndexArray, IndexArray, npt.NDArray[np.float32]]]:
        """Yield chunks, where their samples stand in `samples`, and where in the chunk."""
        kinds, numbers = np.divmod(samples, len(self.rows))
        for kind, array in enumerate(arrays):
            chosen = np.flatnonzero(kinds == kind)
            for positions, places, values in array.chunks(self.rows[numbers[chosen]]):
                yield chosen[positions], places, values

    def in_order(self, batch_size: int, first: int = 0, last: int | None = None) -> Iterator[Batch]:
        """Yield every sample once, or those from `first` to before `last`, in order.

        The last batch may be smaller.
        """
        samples = np.arange(self.samples)[first:last]
        reads = np.append(np.arange(0, len(samples), _STRETCH), len(samples))
        cuts = np.append(np.arange(0, len(samples), batch_size), len(samples))
        return self.batches(samples, reads=reads, cuts=cuts)

    def batches(
        self, samples: IndexArray, *, reads: IndexArray, cuts: IndexArray
    ) -> Iterator[Batch]:
        """Yield samples in the given order, cut into batches.

        Parameters
        ----------
        samples : array of int, shape (n,)
        reads, cuts : array of int
            From 0 to n, increasing: where reading pauses, and where batches end.
        """
        rest: list[Batch] = []
        stops = iter(cuts[1:].tolist())
        stop = next(stops, None)
        for first, last in pairwise(reads.tolist()):
            read, begin = self.read(samples[first:last]), first
            while stop is not None and stop <= last:
                yield _joined([*rest, read.span(begin - first, stop - first)])
                rest, begin, stop = [], stop, next(stops, None)
            rest.append(read.span(begin - first, last - first))

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
        chunks = np.unique(self.chunks)[:: -(-self.samples // limit)]
        samples = np.flatnonzero(np.isin(self.chunks, chunks))
        gamma = self._read_gamma(samples) if self._memory is None else self.read(samples).gamma
        return np.asarray(gamma.cpu().numpy(), np.float32)

    def _whole(self) -> Batch:
        """Read all samples, a stretch at a time.

        Not through zarr, with or without zarrs: a tile so costs 37 µs of a core, 130 µs with zarr,
        and 90 µs with zarrs, which gives the same bytes.
        """
        numbers, size = np.arange(self.samples), self._snapshot.tile_size
        gamma = (len(self._channels), len(self._snapshot.thresholds))
        whole = Batch(
            _empty((self.samples, size, size), self._device),
            _empty((self.samples, *gamma), self._device),
        )
        for first in range(0, self.samples, _STRETCH):
            part = self.read(numbers[first : first + _STRETCH])
            for kept, read in zip(whole.span(first, first + _STRETCH), part, strict=True):
                kept.copy_(read)
        return whole


def reader_on(
    device: torch.device,
    snapshot: Snapshot,
    split: str,
    functionals: Sequence[str],
    **choices: Any,
) -> TileReader:
    """Return a reader whose tiles lie on a GPU, if one trains and they leave room for the rest.

    Parameters
    ----------
    device : torch.device
        Of the network.
    snapshot, split, functionals, **choices
        As for `TileReader`, which also says what is raised.
    """
    reader = TileReader(snapshot, split, functionals, **choices)
    if device.type == "cuda":
        values = snapshot.tile_size**2 + len(functionals) * len(snapshot.thresholds)
        free_bytes, _ = torch.cuda.mem_get_info(device)
        if 4 * values * reader.samples < _MEMORY_SHARE * free_bytes:
            return TileReader(
                snapshot, split, functionals, **choices, in_memory=True, device=device
            )
    return reader


def _empty(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Return memory that nobody has written to.

    NumPy asks for huge pages, torch does not: without them, touching 64 MiB for the first time
    takes as long as inflating tiles into them (36 instead of 6 µs a tile).
    """
    if device.type == "cpu":
        return torch.from_numpy(np.empty(shape, np.float32))
    return torch.empty(shape, device=device)


def _joined(parts: Sequence[Batch]) -> Batch:
    if len(parts) == 1:
        return parts[0]
    rain_rate, gamma = zip(*parts, strict=True)
    return Batch(torch.cat(rain_rate), torch.cat(gamma))
