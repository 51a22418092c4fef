"""Values as integer keys, and neighbourhoods as codes.

A key is the value's bit pattern as a signed integer, with the magnitude of negative ones flipped:
keys are ordered as the values are, denormals among them, and those of positive values are their
bits.
"""

from __future__ import annotations

import numpy as np

from minkgen.gamma.kernel.compiled import Float32, Int32, Key, UInt8, UInt64, compiled
from minkgen.gamma.kernel.scratch import OUTSIDE, WORD, ZERO

__all__ = ["HIGHEST", "encode", "load", "restore_dry", "value_of"]

HIGHEST = np.int32(2**31 - 1)
MAGNITUDE_BITS = np.int32(0x7FFFFFFF)
EXPONENT_BITS = np.int32(0x7F800000)
SIGN_SHIFT = np.int32(31)


@compiled
def value_of(key: Key) -> float:
    """Return the value of a key, in float64."""
    bits = np.int32(key ^ ((key >> SIGN_SHIFT) & MAGNITUDE_BITS))
    return float(np.float64(bits.view(np.float32)))


@compiled
def load(field: Float32, keys: Int32, dry: UInt64) -> Key:
    """Write the field as keys, with dry pixels as if outside, and mark these in rows of bits.

    Missing values are dry. Returns the lowest key of the others.
    """
    height, width = field.shape
    lowest = HIGHEST
    for row in range(height):
        source = field[row].view(np.int32)
        start = (row + 1) * (width + 2) + 1
        target = keys[start : start + width]
        lowest_of_row = HIGHEST
        for column in range(width):
            bits = source[column]
            if bits & EXPONENT_BITS == EXPONENT_BITS:
                bits = np.int32(0)
            is_dry = bits & MAGNITUDE_BITS == 0
            key = bits ^ ((bits >> SIGN_SHIFT) & MAGNITUDE_BITS)
            target[column] = OUTSIDE if is_dry else key
            lowest_of_row = min(lowest_of_row, HIGHEST if is_dry else key)
        lowest = min(lowest, lowest_of_row)
        for word in range(dry.shape[1]):
            columns = target[word * WORD : (word + 1) * WORD]
            bits_of_word = ZERO
            for column in range(columns.shape[0]):
                bits_of_word |= np.uint64(columns[column] == OUTSIDE) << np.uint64(column)
            dry[row, word] = bits_of_word
    return lowest


@compiled
def restore_dry(height: int, width: int, keys: Int32) -> None:
    """Give dry pixels that were loaded as outside the key of their value."""
    for row in range(1, height + 1):
        for pixel in range(row * (width + 2) + 1, row * (width + 2) + 1 + width):
            if keys[pixel] == OUTSIDE:
                keys[pixel] = 0


@compiled
def encode(height: int, width: int, keys: Int32, codes: UInt8) -> None:
    """Write the code of the higher neighbours of every pixel; of equals, the later is higher."""
    stride = width + 2
    for row in range(1, height + 1):
        here = row * stride + 1
        above, below = here - stride, here + stride
        centre = keys[here : here + width]
        east = keys[here + 1 : here + 1 + width]
        north_east = keys[above + 1 : above + 1 + width]
        north = keys[above : above + width]
        north_west = keys[above - 1 : above - 1 + width]
        west = keys[here - 1 : here - 1 + width]
        south_west = keys[below - 1 : below - 1 + width]
        south = keys[below : below + width]
        south_east = keys[below + 1 : below + 1 + width]
        out = codes[here : here + width]
        for column in range(width):
            key = centre[column]
            out[column] = (
                np.uint8(east[column] >= key)
                | (np.uint8(north_east[column] > key) << 1)
                | (np.uint8(north[column] > key) << 2)
                | (np.uint8(north_west[column] > key) << 3)
                | (np.uint8(west[column] > key) << 4)
                | (np.uint8(south_west[column] >= key) << 5)
                | (np.uint8(south[column] >= key) << 6)
                | (np.uint8(south_east[column] >= key) << 7)
            )
