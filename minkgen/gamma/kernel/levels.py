"""Counts over thresholds: the level of a value is the number of thresholds that it reaches."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minkgen.gamma.kernel.compiled import Float32, Int32, Int64, Key, UInt8, UInt32, compiled
from minkgen.gamma.kernel.encoding import HIGHEST
from minkgen.gamma.kernel.merging import outlives
from minkgen.gamma.kernel.scratch import Scratch
from minkgen.gamma.neighbourhoods import BLOCK_SHAPES

__all__ = [
    "Levels",
    "count_outside",
    "count_pairs",
    "count_pixels",
    "frame_step",
    "level_of",
    "prepare_levels",
    "sides_of",
]

SHAPES = len(BLOCK_SHAPES)

# Positive keys that agree but for this many bits share an entry: there are 16 of them from one
# power of two to the next, so that few hold a threshold.
ENTRY_SHIFT = np.uint32(19)
ENTRIES = 1 << (31 - 19)


class Levels(NamedTuple):
    """The thresholds as the kernel sees them, and what it counts at their levels.

    Attributes
    ----------
    thresholds : ndarray of int32, shape (Q + 1,)
        Keys, with an end mark.
    entries : ndarray of uint32
        The level at which the keys that share an entry begin.
    classes : ndarray of int32, shape (Q + 1, classes)
        Pixels of each class of neighbourhoods.
    outside : ndarray of int64, shape (Q + 1, 5)
        Blocks of each shape that reach out of the tile.
    pairs : ndarray of int64, shape (2, Q + 1)
        Component and hole pairs.
    shapes : ndarray of int64, shape (5,)
        Blocks of each shape at one threshold.
    """

    thresholds: Int32
    entries: UInt32
    classes: Int32
    outside: Int64
    pairs: Int64
    shapes: Int64


@compiled
def prepare_levels(thresholds: Float32, classes: int) -> Levels:
    """Index the thresholds, and allocate what is counted at their levels."""
    count = thresholds.shape[0]
    keys = np.full(count + 1, HIGHEST, np.int32)
    # Thresholds are positive: their bits are their keys.
    keys[:count] = thresholds.view(np.int32)
    entries = np.empty(ENTRIES, np.uint32)
    level = 0
    for entry in range(ENTRIES):
        while level < count and keys[level] <= entry << ENTRY_SHIFT:
            level += 1
        entries[entry] = level
    return Levels(
        keys,
        entries,
        np.empty((count + 1, classes), np.int32),
        np.empty((count + 1, SHAPES), np.int64),
        np.empty((2, count + 1), np.int64),
        np.empty(SHAPES, np.int64),
    )


@compiled
def level_of(key: Key, levels: Levels) -> np.uint32:
    """Return the number of thresholds <= key."""
    thresholds = levels.thresholds
    entry = np.uint32(key if key > 0 else 0) >> ENTRY_SHIFT
    # The first step has no branch: whether it is taken is hard to predict.
    level = levels.entries[entry]
    level = np.uint32(level + (thresholds[level] <= key))
    while thresholds[level] <= key:
        level = np.uint32(level + 1)
    return level


@compiled
def count_pixels(runs: int, classes: UInt8, scratch: Scratch, levels: Levels) -> None:
    """Count the active pixels of each class at each level and above."""
    counts = levels.classes
    counts[:] = 0
    for run in range(runs):
        for index in range(scratch.first[run], scratch.stop[run]):
            pixel = np.uint32(index)
            level = level_of(scratch.keys[pixel], levels)
            counts[level, classes[scratch.codes[pixel]]] += np.int32(1)
    for lower in range(counts.shape[0] - 2, 0, -1):
        for class_ in range(counts.shape[1]):
            counts[lower, class_] += counts[lower + 1, class_]


@compiled
def frame_step(row: int, height: int, width: int) -> int:
    """Return the step over a row's columns that leads through those at the frame."""
    return max(width - 1, 1) if 0 < row < height - 1 else 1


@compiled
def sides_of(row: int, column: int, height: int, width: int) -> int:
    """Return the sides of the tile that a pixel lies at, as in `Neighbourhoods`."""
    sides = 1 if row == 0 else 0
    sides += 2 if row == height - 1 else 0
    sides += 4 if column == 0 else 0
    return sides + (8 if column == width - 1 else 0)


@compiled
def count_outside(
    height: int, width: int, changes: Int64, scratch: Scratch, levels: Levels
) -> None:
    """Count the blocks of each shape that reach out of the tile, at each level and above."""
    outside = levels.outside
    outside[:] = 0
    for row in range(height):
        for column in range(0, width, frame_step(row, height, width)):
            pixel = np.uint32((row + 1) * (width + 2) + 1 + column)
            if scratch.keys[pixel] > 0:
                level = level_of(scratch.keys[pixel], levels)
                sides = sides_of(row, column, height, width)
                for shape in range(SHAPES):
                    outside[level, shape] += changes[scratch.codes[pixel], sides, shape]
    for lower in range(outside.shape[0] - 2, 0, -1):
        for shape in range(SHAPES):
            outside[lower, shape] += outside[lower + 1, shape]


@compiled
def count_pairs(
    pairs: UInt32, count: int, epsilon: float, keys: Int32, levels: Levels, alive: Int64
) -> None:
    """Count the pairs that outlive epsilon and are alive at each threshold, in alive (Q + 1,)."""
    alive[:] = 0
    for i in range(count):
        birth, death = pairs[0, i], pairs[1, i]
        if outlives(birth, death, epsilon, keys):
            alive[level_of(keys[death], levels)] += 1
            alive[level_of(keys[birth], levels)] -= 1
    for threshold in range(1, alive.shape[0]):
        alive[threshold] += alive[threshold - 1]
