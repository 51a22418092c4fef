"""The γ kernel: all eight functionals of a batch of tiles, in one compiled pass per tile.

Conventions, everywhere here: the excursion set at u is {x >= u}, both sides float32. NaN, +inf and
-inf are missing and count as 0.0, -0.0 is 0.0; negative values are ordinary values. Rain is
8-connected and dry ground 4-connected (`euler_4` swaps the two). Counts, areas and Euler
characteristics are integers until the last step; lengths are computed in float64.

Geometry comes from the 2x2 blocks of the tile padded by one dry pixel. As u rises, a block changes
its configuration at most four times, so that one pass over the blocks and difference arrays over
the thresholds give the number of blocks in each configuration at every u. Topology comes from two
runs of one union-find with the elder rule: over the pixels from the highest to the lowest for
components, and, by duality, over those from the lowest to the highest, with the outside of the tile
as the eldest region, for holes.

Pixels are held in a flat array of (height + 2) x (width + 2): neighbours then need no bounds check.
All compiled code stands in this one file, because numba's cache on disk notices a change in the
file of a compiled function, but not in those of the functions that it calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

from minkgen.gamma.functionals import FUNCTIONALS

__all__ = ["LARGEST_TILE", "as_kernel_input", "gamma_batch", "pair_values"]

AREA = FUNCTIONALS.index("area")
PERIMETER = FUNCTIONALS.index("perimeter")
COMPONENTS = FUNCTIONALS.index("components")
HOLES = FUNCTIONALS.index("holes")
PERIMETER_CLOSED = FUNCTIONALS.index("perimeter_closed")
PERIMETER_CROFTON = FUNCTIONALS.index("perimeter_crofton")
EULER_4 = FUNCTIONALS.index("euler_4")
EULER_8 = FUNCTIONALS.index("euler_8")

# Pixels of the padded tile are indexed by int32.
LARGEST_TILE = 2**31 - 1

# A block's configuration is the sum of these bits over its pixels in the excursion set.
NORTH_WEST, NORTH_EAST, SOUTH_WEST, SOUTH_EAST = 1, 2, 4, 8
CONFIGURATIONS = 16

# Three passes of 11 bits sort 32-bit keys; the pixel rides in the lower half of the word.
DIGIT_BITS = 11
DIGITS = 1 << DIGIT_BITS
KEY_SHIFTS = (32, 32 + DIGIT_BITS, 32 + 2 * DIGIT_BITS)

Function = TypeVar("Function", bound=Callable[..., Any])
Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]


def _compiled(function: Function) -> Function:
    """Compile a function with numba on its first call, cached on disk, without the GIL."""
    return cast("Function", numba.njit(cache=True, nogil=True)(function))


class _Scratch(NamedTuple):
    """Working arrays of one tile shape, reused from tile to tile; nothing in them survives a tile.

    `values`, `levels` and `labels` are padded and flat. `ascending` starts with a stand-in for the
    outside. `levels` is 0 on the padding throughout; it is the number of thresholds <= value.
    """

    values: Float32
    levels: Int32
    labels: Int32
    parents: Int32
    ascending: Int32
    descending: Int32
    words: UInt64
    spare_words: UInt64
    digit_counts: Int64
    component_pairs: Int32
    hole_pairs: Int32


@_compiled
def _allocate(height: int, width: int) -> _Scratch:
    size = height * width
    padded_size = (height + 2) * (width + 2)
    return _Scratch(
        np.zeros(padded_size, np.float32),
        np.zeros(padded_size, np.int32),
        np.empty(padded_size, np.int32),
        np.empty(size + 1, np.int32),
        np.empty(size + 1, np.int32),
        np.empty(size, np.int32),
        np.empty(size, np.uint64),
        np.empty(size, np.uint64),
        np.empty(DIGITS, np.int64),
        np.empty((2, size), np.int32),
        np.empty((2, size), np.int32),
    )


@_compiled
def _load(field: Float32, values: Float32) -> int:
    """Write the cleaned field into the padded array and return the first pixel of its minimum."""
    height, width = field.shape
    lowest = width + 3
    for row in range(height):
        pixel = (row + 1) * (width + 2) + 1
        for column in range(width):
            value = field[row, column]
            if value == 0 or not np.isfinite(value):
                value = np.float32(0.0)
            values[pixel] = value
            if value < values[lowest]:
                lowest = pixel
            pixel += 1
    return int(lowest)


@_compiled
def _sort_words(words: UInt64, spare: UInt64, count: int, digit_counts: Int64) -> UInt64:
    """Sort words[:count] by their upper halves, stably, and return the array that holds them."""
    for shift in KEY_SHIFTS:
        digit_counts[:] = 0
        for i in range(count):
            digit_counts[(words[i] >> np.uint64(shift)) & np.uint64(DIGITS - 1)] += 1
        position = 0
        for digit in range(DIGITS):
            position += digit_counts[digit]
            digit_counts[digit] = position - digit_counts[digit]
        for i in range(count):
            digit = (words[i] >> np.uint64(shift)) & np.uint64(DIGITS - 1)
            spare[digit_counts[digit]] = words[i]
            digit_counts[digit] += 1
        words, spare = spare, words
    return words


@_compiled
def _order_pixels(height: int, width: int, lowest: int, scratch: _Scratch) -> int:
    """Fill `ascending` with all pixels and `descending` with those above the minimum.

    Equal values keep their raster order in `ascending` and have the reverse of it in `descending`.
    Returns the number of pixels above the minimum. The others, most of a rainy tile, need no sort.
    """
    minimum = scratch.values[lowest]
    # The bits of a float as an unsigned number, flipped so as to be ordered as the floats are.
    bits = scratch.values.view(np.uint32)
    ascending = scratch.ascending
    ascending[0] = 0
    ordered = 1
    above = 0
    for row in range(1, height + 1):
        for pixel in range(row * (width + 2) + 1, row * (width + 2) + 1 + width):
            if scratch.values[pixel] > minimum:
                flip = np.uint32(0xFFFFFFFF) if bits[pixel] >> np.uint32(31) else np.uint32(1 << 31)
                key = np.uint64(bits[pixel] ^ flip)
                scratch.words[above] = (key << np.uint64(32)) | np.uint64(pixel)
                above += 1
            else:
                ascending[ordered] = pixel
                ordered += 1
    words = _sort_words(scratch.words, scratch.spare_words, above, scratch.digit_counts)
    for i in range(above):
        sorted_pixel = np.int32(words[i] & np.uint64(0xFFFFFFFF))
        ascending[ordered + i] = sorted_pixel
        scratch.descending[above - 1 - i] = sorted_pixel
    return above


@_compiled
def _root(parents: Int32, node: int) -> int:
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return int(node)


@_compiled
def _merge(
    order: Int32,
    first: int,
    count: int,
    steps: tuple[int, ...],
    scratch: _Scratch,
    extrema: Int32,
    saddles: Int32,
) -> int:
    """Join the pixels order[first:count] one by one to their labelled neighbours (elder rule).

    A node is a place in `order`, so that the smaller of two roots is the elder one and its pixel
    is where the region began. Where two regions meet, the younger ends: its first pixel and the
    pixel that joins them go to `extrema` and `saddles`, unless their values are equal. Nodes below
    `first` are regions that are labelled already. Returns the number of pairs.
    """
    values, labels, parents = scratch.values, scratch.labels, scratch.parents
    pairs = 0
    for node in range(first, count):
        pixel = order[node]
        parents[node] = node
        root = node
        for step in steps:
            label = labels[pixel + step]
            if label < 0:
                continue
            other = _root(parents, label)
            if other == root:
                continue
            younger, root = max(root, other), min(root, other)
            parents[younger] = root
            if values[order[younger]] != values[pixel]:
                extrema[pairs] = order[younger]
                saddles[pairs] = pixel
                pairs += 1
        labels[pixel] = root
    return pairs


@_compiled
def _find_pairs(field: Float32, scratch: _Scratch) -> tuple[int, int]:
    """Find the finite pairs of nonzero lifetime, as pixels: row 0 births, row 1 deaths.

    Leaves `values`, `ascending` and the pairs in the scratch; returns the numbers of component
    and of hole pairs.
    """
    height, width = field.shape
    stride = width + 2
    lowest = _load(field, scratch.values)
    above = _order_pixels(height, width, lowest, scratch)

    labels, parents, descending = scratch.labels, scratch.parents, scratch.descending
    births, deaths = scratch.component_pairs
    labels[:] = -1
    neighbours_8 = (-stride - 1, -stride, -stride + 1, -1, 1, stride - 1, stride, stride + 1)
    components = _merge(descending, 0, above, neighbours_8, scratch, births, deaths)
    # The pixels of the minimum join whatever is left to the eldest component, the essential one.
    for node in range(1, above):
        if parents[node] == node:
            births[components] = descending[node]
            deaths[components] = lowest
            components += 1

    # Node 0 is the outside: the padding belongs to it, and it is older than any dry region.
    births, deaths = scratch.hole_pairs
    labels[:] = 0
    for row in range(1, height + 1):
        labels[row * stride + 1 : row * stride + 1 + width] = -1
    parents[0] = 0
    neighbours_4 = (-stride, -1, 1, stride)
    count = height * width + 1
    holes = _merge(scratch.ascending, 1, count, neighbours_4, scratch, deaths, births)
    return components, holes


@_compiled
def _count_pairs(
    pairs: Int32, count: int, epsilon: float, scratch: _Scratch, changes: Int64
) -> None:
    """Add the pairs that outlive epsilon to a difference array over the thresholds."""
    values, levels = scratch.values, scratch.levels
    for i in range(count):
        birth, death = pairs[0, i], pairs[1, i]
        if np.float64(values[birth]) - np.float64(values[death]) > epsilon:
            changes[levels[death]] += 1
            changes[levels[birth]] -= 1


@_compiled
def _count_blocks(levels: Int32, height: int, width: int, changes: Int64) -> None:
    """Add every 2x2 block to changes[inside, configuration, threshold], a difference array.

    `inside` is 1 for blocks that lie in the tile and 0 for those that reach into the padding. The
    empty configuration is not counted.
    """
    stride = width + 2
    for row in range(height + 1):
        for column in range(width + 1):
            pixel = row * stride + column
            north_west, north_east = levels[pixel], levels[pixel + 1]
            south_west, south_east = levels[pixel + stride], levels[pixel + stride + 1]
            highest = max(max(north_west, north_east), max(south_west, south_east))
            inside = 1 if 0 < row < height and 0 < column < width else 0
            level = np.int32(0)
            while level < highest:
                configuration = 0
                until = highest
                if north_west > level:
                    configuration |= NORTH_WEST
                    until = min(until, north_west)
                if north_east > level:
                    configuration |= NORTH_EAST
                    until = min(until, north_east)
                if south_west > level:
                    configuration |= SOUTH_WEST
                    until = min(until, south_west)
                if south_east > level:
                    configuration |= SOUTH_EAST
                    until = min(until, south_east)
                changes[inside, configuration, level] += 1
                changes[inside, configuration, until] -= 1
                level = until


@_compiled
def _count_shapes(blocks: Int64) -> tuple[int, int, int, int, int]:
    """Sum configurations that are equal up to symmetry.

    Returns the blocks with one pixel, two adjacent, two diagonal, three and four pixels set.
    """
    one = blocks[1] + blocks[2] + blocks[4] + blocks[8]
    adjacent = blocks[3] + blocks[5] + blocks[10] + blocks[12]
    diagonal = blocks[6] + blocks[9]
    three = blocks[7] + blocks[11] + blocks[13] + blocks[14]
    return one, adjacent, diagonal, three, blocks[15]


@_compiled
def _contour_length(blocks: Int64) -> float:
    """Length in pixels of the marching-squares contour at level 0.5 of the binary set."""
    one, adjacent, diagonal, three, _ = _count_shapes(blocks)
    diagonal_segments = one + three + 2 * diagonal
    return float(diagonal_segments * np.sqrt(0.5) + adjacent)


@_compiled
def _crofton_length(blocks: Int64) -> float:
    """Cauchy-Crofton estimate in pixels of blocks of the padded tile, in four directions.

    Every run of set pixels along a direction has two ends. A neighbouring pair along rows or
    columns lies in two blocks, one along a diagonal in one.
    """
    one, adjacent, diagonal, three, _ = _count_shapes(blocks)
    straight_runs = (one + adjacent + 2 * diagonal + three) // 2
    oblique_runs = (one + 2 * adjacent + three) // 2
    return float((straight_runs + oblique_runs / np.sqrt(2.0)) * (np.pi / 4.0))


@_compiled
def _write_geometry(changes: Int64, pixel_km: float, out: Float32) -> None:
    """Turn the difference arrays of blocks into the functionals of out (8, Q) that they decide."""
    for threshold in range(out.shape[1]):
        if threshold > 0:
            changes[:, :, threshold] += changes[:, :, threshold - 1]
        inner = changes[1, :, threshold]
        every = changes[0, :, threshold] + inner
        one, adjacent, diagonal, three, four = _count_shapes(every)
        # Each pixel of the tile lies in four blocks of the padded tile (the sums are multiples).
        pixels = (one + 2 * (adjacent + diagonal) + 3 * three + 4 * four) // 4
        out[AREA, threshold] = pixels * (pixel_km * pixel_km)
        out[PERIMETER, threshold] = _contour_length(inner) * pixel_km
        out[PERIMETER_CLOSED, threshold] = _contour_length(every) * pixel_km
        out[PERIMETER_CROFTON, threshold] = _crofton_length(every) * pixel_km
        # Gray's formulas.
        out[EULER_4, threshold] = (one - three + 2 * diagonal) // 4
        out[EULER_8, threshold] = (one - three - 2 * diagonal) // 4


@_compiled
def _write_tile(
    field: Float32,
    thresholds: Float32,
    pixel_km: float,
    epsilons: tuple[float, float],
    essential_ceiling: float,
    scratch: _Scratch,
    out: Float32,
) -> None:
    height, width = field.shape
    count = thresholds.shape[0]
    components, holes = _find_pairs(field, scratch)

    values, levels = scratch.values, scratch.levels
    level = np.int32(0)
    for pixel in scratch.ascending[1:]:
        while level < count and thresholds[level] <= values[pixel]:
            level += np.int32(1)
        levels[pixel] = level

    blocks = np.zeros((2, CONFIGURATIONS, count + 1), np.int64)
    _count_blocks(levels, height, width, blocks)
    _write_geometry(blocks, pixel_km, out)

    changes = np.zeros((2, count + 1), np.int64)
    _count_pairs(scratch.component_pairs, components, epsilons[0], scratch, changes[0])
    _count_pairs(scratch.hole_pairs, holes, epsilons[1], scratch, changes[1])
    components = 0
    holes = 0
    for threshold in range(count):
        components += changes[0, threshold]
        holes += changes[1, threshold]
        # `level` is now that of the maximum.
        alive = threshold < level and thresholds[threshold] <= essential_ceiling
        out[COMPONENTS, threshold] = components + (1 if alive else 0)
        out[HOLES, threshold] = holes


@_compiled
def gamma_batch(
    tiles: Float32,
    thresholds: Float32,
    pixel_km: float,
    epsilons: tuple[float, float],
    essential_ceiling: float,
) -> Float32:
    """Compute the γ-matrices of a batch of tiles; the caller has checked the arguments.

    Parameters
    ----------
    tiles : ndarray of float32, shape (N, H, W)
        Rain rate in mm/h, C-contiguous, H and W at least 1. Not modified.
    thresholds : ndarray of float32, shape (Q,)
        Strictly increasing, positive, mm/h.
    pixel_km : float
        Side of a pixel in km.
    epsilons : tuple of float
        Persistence floors of components and of holes in mm/h: a pair counts when its lifetime, in
        float64, is above the floor.
    essential_ceiling : float
        The essential component counts at u <= min(max(x), essential_ceiling), compared in float32
        precision by giving a float32 value; infinity for the whole range.

    Returns
    -------
    ndarray of float32, shape (N, 8, Q)
        Rows as `minkgen.gamma.functionals.FUNCTIONALS`. Exact.
    """
    out = np.empty((tiles.shape[0], len(FUNCTIONALS), thresholds.shape[0]), np.float32)
    scratch = _allocate(tiles.shape[1], tiles.shape[2])
    for i in range(tiles.shape[0]):
        _write_tile(tiles[i], thresholds, pixel_km, epsilons, essential_ceiling, scratch, out[i])
    return out


@_compiled
def _values_of(pairs: Int32, count: int, values: Float32) -> Float32:
    out = np.empty((count, 2), np.float32)
    for i in range(count):
        out[i, 0] = values[pairs[0, i]]
        out[i, 1] = values[pairs[1, i]]
    return out


@_compiled
def pair_values(field: Float32) -> tuple[Float32, Float32]:
    """Find all finite persistence pairs of a tile; the caller has checked the field.

    Parameters
    ----------
    field : ndarray of float32, shape (H, W)
        Rain rate in mm/h, C-contiguous, H and W at least 1. Not modified.

    Returns
    -------
    components, holes : ndarray of float32, shape (n, 2)
        Birth and death in mm/h of the pairs of nonzero lifetime. Exact.
    """
    scratch = _allocate(field.shape[0], field.shape[1])
    components, holes = _find_pairs(field, scratch)
    return (
        _values_of(scratch.component_pairs, components, scratch.values),
        _values_of(scratch.hole_pairs, holes, scratch.values),
    )


def as_kernel_input(array: npt.NDArray[np.floating]) -> Float32:
    """Return a read-only, C-contiguous float32 view or copy of native byte order.

    Numba compiles anew for every combination of layout and writability that it meets (10 s each),
    so that the kernels are only ever given this one.
    """
    contiguous: Float32 = np.ascontiguousarray(array, dtype=np.float32).view()
    contiguous.flags.writeable = False
    return contiguous
