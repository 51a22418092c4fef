"""Working arrays of one tile shape, reused from tile to tile: no tile allocates anything.

A tile's pixels are held in flat arrays of (height + 2) x (width + 2): neighbours need no bounds
check. Their indices are unsigned, which spares the test for negative ones in every access (a third
of the time, measured).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minkgen.gamma.kernel.compiled import Int32, Int64, Pixel, UInt8, UInt32, UInt64, compiled
from minkgen.gamma.neighbourhoods import CODES, MOST_GROUPS, Neighbourhoods

__all__ = [
    "BLOCKED_DOWNHILL",
    "DIGITS",
    "ONE",
    "OUTSIDE",
    "PASSES",
    "WORD",
    "ZERO",
    "Scratch",
    "allocate",
    "in_tile",
]

# The key of whatever is outside: below that of every value.
OUTSIDE = np.int32(-(2**31))

# Rows of bits are held in words of 64 columns.
WORD = 64
ZERO, ONE = np.uint64(0), np.uint64(1)

# Four passes of 8 bits sort 32-bit keys.
PASSES, DIGITS = 4, 256

# The bits of a code for the 4-neighbours: with all of them higher, there is no way down.
BLOCKED_DOWNHILL = 0b01010101


class Scratch(NamedTuple):
    """Working arrays; nothing in them survives a tile.

    Attributes
    ----------
    keys, codes : ndarray of int32 and uint8, shape (padded pixels,)
        Value (see `encoding`) and neighbourhood of every pixel.
    uphill, downhill : ndarray of uint32, shape (padded pixels,)
        Pointers to a higher 8-neighbour and to a lower 4-neighbour, of extrema to themselves; 0 is
        the outside.
    dry, background : ndarray of uint64, shape (height, words)
        Rows of bits: pixels of value 0, and those of them that are joined to the outside.
    frame : ndarray of uint64, shape (words,)
        The columns beside the frame, as bits.
    first, stop : ndarray of uint32, shape (runs,)
        The runs of active pixels, those that are no background; `stop` is exclusive.
    critical : ndarray of uint32, shape (pixels + 1,)
        Maxima and saddles.
    words, spare_words, digit_counts : ndarray of uint64, uint64 and int64
        For sorting.
    component_pairs, hole_pairs : ndarray of uint32, shape (2, pixels)
        Where pairs are born and where they die.
    ascents, descents : ndarray of int32, shape (256, 4)
        As in `Neighbourhoods`, in steps of the flat index.
    """

    keys: Int32
    codes: UInt8
    uphill: UInt32
    downhill: UInt32
    dry: UInt64
    background: UInt64
    frame: UInt64
    first: UInt32
    stop: UInt32
    critical: UInt32
    words: UInt64
    spare_words: UInt64
    digit_counts: Int64
    component_pairs: UInt32
    hole_pairs: UInt32
    ascents: Int32
    descents: Int32


@compiled
def allocate(height: int, width: int, tables: Neighbourhoods) -> Scratch:
    """Allocate the scratch for tiles of one shape."""
    size = height * width
    stride = width + 2
    padded_size = (height + 2) * stride
    words = (width + WORD - 1) // WORD
    runs = height * words * (WORD // 2)
    frame = np.zeros(words, np.uint64)
    frame[0] = ONE
    frame[words - 1] |= ONE << np.uint64((width - 1) % WORD)
    steps = (1, 1 - stride, -stride, -1 - stride, -1, stride - 1, stride, stride + 1)
    # A maximum points uphill, and a minimum downhill, to itself.
    ascents = np.zeros((CODES, MOST_GROUPS), np.int32)
    descents = np.zeros((CODES, MOST_GROUPS), np.int32)
    for code in range(CODES):
        for group in range(MOST_GROUPS):
            if code != 0:
                ascents[code, group] = steps[tables.ascents[code, group]]
            if code & BLOCKED_DOWNHILL != BLOCKED_DOWNHILL:
                descents[code, group] = steps[tables.descents[code, group]]
    return Scratch(
        np.full(padded_size, OUTSIDE, np.int32),
        np.zeros(padded_size, np.uint8),
        np.zeros(padded_size, np.uint32),
        np.zeros(padded_size, np.uint32),
        np.empty((height, words), np.uint64),
        np.empty((height, words), np.uint64),
        frame,
        np.empty(runs, np.uint32),
        np.empty(runs, np.uint32),
        np.empty(size + 1, np.uint32),
        np.empty(size, np.uint64),
        np.empty(size, np.uint64),
        np.empty((PASSES, DIGITS), np.int64),
        np.empty((2, size), np.uint32),
        np.empty((2, size), np.uint32),
        ascents,
        descents,
    )


@compiled
def in_tile(pixel: Pixel, width: int) -> int:
    """Turn an index in the padded tile into row times width plus column of the tile."""
    row, column = np.int64(pixel) // (width + 2) - 1, np.int64(pixel) % (width + 2) - 1
    return row * width + column  # type: ignore[return-value]
