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
def restore_dry(keys: Int32, background: UInt64) -> None:
    """Take all dry pixels back from the outside: they have the key of their value."""
    height, stride = background.shape[0], keys.shape[0] // (background.shape[0] + 2)
    for row in range(1, height + 1):
        for pixel in range(row * stride + 1, (row + 1) * stride - 1):
            if keys[pixel] == OUTSIDE:
                keys[pixel] = 0
    background[:] = ZERO


@compiled
def _encode_columns(first: int, count: int, stride: int, keys: Int32, codes: UInt8) -> None:
    stop, above, below = first + count, first - stride, first + stride
    centre = keys[first:stop]
    east = keys[first + 1 : stop + 1]
    north_east = keys[above + 1 : above + 1 + count]
    north = keys[above : above + count]
    north_west = keys[above - 1 : above - 1 + count]
    west = keys[first - 1 : stop - 1]
    south_west = keys[below - 1 : below - 1 + count]
    south = keys[below : below + count]
    south_east = keys[below + 1 : below + 1 + count]
    out = codes[first:stop]
    for i in range(count):
        key = centre[i]
        out[i] = (
            np.uint8(east[i] >= key)
            | (np.uint8(north_east[i] > key) << 1)
            | (np.uint8(north[i] > key) << 2)
            | (np.uint8(north_west[i] > key) << 3)
            | (np.uint8(west[i] > key) << 4)
            | (np.uint8(south_west[i] >= key) << 5)
            | (np.uint8(south[i] >= key) << 6)
            | (np.uint8(south_east[i] >= key) << 7)
        )


@compiled
def encode(width: int, keys: Int32, background: UInt64, codes: UInt8) -> None:
    """Write the code of the higher neighbours of every pixel; of equals, the later is higher.

    Words of columns that hold nothing but background are left out.
    """
    stride = width + 2
    height, words = background.shape
    for row in range(height):
        for word in range(words):
            if ~background[row, word] == ZERO:
                continue
            first = (row + 1) * stride + 1 + word * WORD
            if (word + 1) * WORD <= width:
                # The constant lets the compiler unroll the loop.
                _encode_columns(first, WORD, stride, keys, codes)
            else:
                _encode_columns(first, width - word * WORD, stride, keys, codes)
