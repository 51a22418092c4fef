"""The order of an epoch: which samples are drawn from one buffer, and in which order.

A chunk holds 16 tiles that are neighbours in one frame, and one tile costs as much to read as its
chunk. So chunks are shuffled, buffers are filled with them, and the samples of each buffer are
shuffled. The chunks of a frame are spread evenly over the epoch: in a merely random order the same
number of chunks would hold fewer frames. All of this follows from (seed, epoch) and from where the
samples lie. Nothing has to be read for it, so that any batch of an epoch can be had directly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "BUFFER_CHUNKS",
    "BUFFER_FRAMES",
    "EpochOrder",
    "epoch_order",
    "even_bounds",
    "stratified_order",
]

# A buffer holds at least so many chunks of so many frames: 1024 tiles of 128 x 128 pixels, if all
# are wet, take 64 MiB.
BUFFER_CHUNKS = 64
BUFFER_FRAMES = 64

IndexArray = npt.NDArray[np.intp]


@dataclass(frozen=True)
class EpochOrder:
    """Samples, each of them once.

    Attributes
    ----------
    samples : array of int, shape (N,)
        Numbers of the samples, in the order in which they are given.
    buffers : array of int, shape (buffers + 1,)
        Buffer b gives the positions `buffers[b]` to `buffers[b + 1]` of `samples`: all samples of
        its chunks; in a stratified order all wet ones, beside dry ones from anywhere.
    """

    samples: IndexArray
    buffers: IndexArray


def epoch_order(
    chunks: npt.NDArray[np.integer],
    frames: npt.NDArray[np.integer],
    *,
    seed: int,
    epoch: int,
) -> EpochOrder:
    """Return the order of an epoch.

    Parameters
    ----------
    chunks : array of int, shape (N,)
        The chunk of every sample, never decreasing.
    frames : array of int, shape (N,)
        The frame (the time) of every sample.
    seed, epoch : int
        Not negative.

    Returns
    -------
    EpochOrder
        Every buffer holds whole chunks: 64 or more of them, of 64 or more different frames. Where
        there are fewer chunks or frames, it holds as many as there are.

    Examples
    --------
    >>> order = epoch_order(np.arange(300) // 16, np.arange(300) // 100, seed=0, epoch=1)
    >>> order.buffers.tolist(), np.sort(order.samples).tolist() == list(range(300))
    ([0, 300], True)
    """
    random = np.random.default_rng([seed, epoch])
    starts = np.flatnonzero(np.diff(chunks, prepend=chunks[0] - 1))
    visits = _spread(frames[starts], random)
    buffer_of_chunk = np.empty(len(starts), np.intp)
    buffer_of_chunk[visits] = _fill_buffers(visits, starts, frames)
    buffer_of_sample = np.repeat(buffer_of_chunk, np.diff(starts, append=len(chunks)))
    samples = np.lexsort((random.random(len(chunks)), buffer_of_sample))
    return EpochOrder(samples, np.cumsum([0, *np.bincount(buffer_of_sample)]))


def stratified_order(
    chunks: npt.NDArray[np.integer],
    frames: npt.NDArray[np.integer],
    wet: npt.NDArray[np.bool_],
    *,
    dry: int,
    seed: int,
    epoch: int,
) -> EpochOrder:
    """Return an order with every wet sample once, and some of the dry ones at even distances.

    Parameters
    ----------
    chunks, frames : array of int, shape (N,)
        As for `epoch_order`.
    wet : array of bool, shape (N,)
    dry : int
        How many of the dry samples come; other ones in every epoch, where there are more.
    seed, epoch : int
        Not negative.

    Returns
    -------
    EpochOrder
        The wet samples in the order of `epoch_order`. Any stretch of the order has its share of
        dry ones, up to one more or less.

    Examples
    --------
    >>> wet = np.arange(40) % 4 != 0
    >>> zeros = np.zeros(40, int)
    >>> order = stratified_order(zeros, zeros, wet, dry=6, seed=0, epoch=1)
    >>> len(order.samples), np.flatnonzero(~wet[order.samples]).tolist()
    (36, [3, 9, 15, 21, 27, 33])
    """
    rainy, rest = np.flatnonzero(wet), np.flatnonzero(~wet)
    order = epoch_order(chunks[wet], frames[wet], seed=seed, epoch=epoch)
    total = len(rainy) + dry
    is_dry = np.zeros(total, np.bool_)
    is_dry[(2 * np.arange(dry) + 1) * total // (2 * max(dry, 1))] = True
    samples = np.empty(total, np.intp)
    samples[~is_dry] = rainy[order.samples]
    samples[is_dry] = np.random.default_rng([seed, epoch, 1]).permutation(rest)[:dry]
    inner = np.flatnonzero(~is_dry)[order.buffers[1:-1]]
    return EpochOrder(samples, np.array([0, *inner, total]))


def _spread(frame_of_chunk: npt.NDArray[np.integer], random: np.random.Generator) -> IndexArray:
    """Return all chunks in random order, those of each frame at equal distances."""
    _, frame, counts = np.unique(frame_of_chunk, return_inverse=True, return_counts=True)
    by_frame = np.lexsort((random.random(len(frame)), frame))
    rank = np.empty(len(frame))
    rank[by_frame] = np.arange(len(frame)) - np.repeat(np.cumsum(counts) - counts, counts)
    position = (rank + random.random(len(counts))[frame]) / counts[frame]
    return np.argsort(position, kind="stable")


def _fill_buffers(
    visits: IndexArray, starts: IndexArray, frames: npt.NDArray[np.integer]
) -> IndexArray:
    """Return the buffer of each visited chunk; what fills no buffer at the end joins the last."""
    least_frames = min(BUFFER_FRAMES, len(np.unique(frames)))
    frame_of_sample, bounds = frames.tolist(), [*starts.tolist(), len(frames)]
    buffers, buffer, chunks_held = [], 0, 0
    frames_held: set[int] = set()
    for chunk in visits.tolist():
        buffers.append(buffer)
        chunks_held += 1
        frames_held.update(frame_of_sample[bounds[chunk] : bounds[chunk + 1]])
        if chunks_held >= BUFFER_CHUNKS and len(frames_held) >= least_frames:
            buffer, chunks_held, frames_held = buffer + 1, 0, set()
    return np.minimum(buffers, max(buffer - 1, 0))


def even_bounds(count: int, parts: int) -> IndexArray:
    """Return where `parts` consecutive parts of `count` things begin and end.

    Examples
    --------
    >>> even_bounds(10, 3).tolist()
    [0, 3, 6, 10]
    """
    return np.arange(parts + 1) * count // parts
