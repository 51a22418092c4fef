"""What the kernel is called for: batches of tiles; the callers have checked all arguments."""

from __future__ import annotations

import numpy as np

from minkgen.gamma.functionals import FUNCTIONALS
from minkgen.gamma.kernel.compiled import (
    Float32,
    Int32,
    Int64,
    UInt8,
    UInt32,
    cached,
    compiled,
)
from minkgen.gamma.kernel.encoding import encode, restore_dry
from minkgen.gamma.kernel.geometry import PERIMETER, tabulate_weights, write_geometry
from minkgen.gamma.kernel.levels import (
    Levels,
    count_outside,
    count_pairs,
    count_pixels,
    frame_step,
    level_of,
    prepare_levels,
    sides_of,
)
from minkgen.gamma.kernel.merging import find_tile_pairs, outlives
from minkgen.gamma.kernel.scratch import Scratch, allocate, in_tile
from minkgen.gamma.neighbourhoods import BLOCK_SHAPES, Neighbourhoods

__all__ = ["find_pairs", "gamma_batch", "map_weights"]

COMPONENTS = FUNCTIONALS.index("components")
HOLES = FUNCTIONALS.index("holes")


@compiled
def _write_tile(
    field: Float32,
    pixel_km: float,
    epsilons: tuple[float, float],
    highest_essential: int,
    tables: Neighbourhoods,
    scratch: Scratch,
    levels: Levels,
    out: Float32,
) -> None:
    height, width = field.shape
    keys, pairs, shapes = scratch.keys, levels.pairs, levels.shapes
    runs, components, holes, essential = find_tile_pairs(field, tables.groups, scratch)

    count_pixels(runs, tables.classes, scratch, levels)
    count_outside(height, width, tables.outside_changes, scratch, levels)
    for threshold in range(out.shape[1]):
        shapes[:] = 0
        for class_ in range(tables.class_changes.shape[0]):
            pixels = levels.classes[threshold + 1, class_]
            for shape in range(len(BLOCK_SHAPES)):
                shapes[shape] += pixels * tables.class_changes[class_, shape]
        write_geometry(shapes, levels.outside[threshold + 1], pixel_km, out[:, threshold])

    count_pairs(scratch.component_pairs, components, epsilons[0], keys, levels, pairs[0])
    count_pairs(scratch.hole_pairs, holes, epsilons[1], keys, levels, pairs[1])
    essential_levels = min(int(level_of(keys[essential], levels)), highest_essential)
    for threshold in range(out.shape[1]):
        is_alive = 1 if threshold < essential_levels else 0
        out[COMPONENTS, threshold] = pairs[0, threshold] + is_alive
        out[HOLES, threshold] = pairs[1, threshold]


@cached
def gamma_batch(
    tiles: Float32,
    thresholds: Float32,
    pixel_km: float,
    epsilons: tuple[float, float],
    highest_essential: int,
    tables: Neighbourhoods,
) -> Float32:
    """Compute the γ-matrices of a batch of tiles.

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
    highest_essential : int
        At how many of the thresholds, from the lowest, the essential component may count.
    tables : Neighbourhoods
        As `minkgen.gamma.neighbourhoods.NEIGHBOURHOODS`.

    Returns
    -------
    ndarray of float32, shape (N, 8, Q)
        Rows as `minkgen.gamma.functionals.FUNCTIONALS`. Exact.
    """
    count, height, width = tiles.shape
    out = np.empty((count, len(FUNCTIONALS), thresholds.shape[0]), np.float32)
    scratch = allocate(height, width, tables)
    levels = prepare_levels(thresholds, tables.class_changes.shape[0])
    for i in range(count):
        _write_tile(
            tiles[i], pixel_km, epsilons, highest_essential, tables, scratch, levels, out[i]
        )
    return out


@compiled
def _append_pairs(
    pairs: UInt32, count: int, epsilon: float, width: int, keys: Int32, found: int, out: Int64
) -> int:
    """Write the pairs that outlive epsilon behind the first `found` of out, and count them in."""
    for i in range(count):
        birth, death = pairs[0, i], pairs[1, i]
        if outlives(birth, death, epsilon, keys):
            out[0, found] = in_tile(birth, width)
            out[1, found] = in_tile(death, width)
            found += 1
    return found


@cached
def find_pairs(
    tiles: Float32, epsilons: tuple[float, float], tables: Neighbourhoods
) -> tuple[Int64, Int64, Int64]:
    """Find the persistence pairs of a batch of tiles.

    Parameters
    ----------
    tiles, epsilons, tables
        As in `gamma_batch`.

    Returns
    -------
    pixels : ndarray of int64, shape (2, n)
        Where every pair is born and dies: row times W plus column. Of every tile the essential
        component first, which dies at -1, then the other components, then the holes.
    offsets : ndarray of int64, shape (N + 1,)
        The pairs of tile i begin at offsets[i], and end before offsets[i + 1].
    components : ndarray of int64, shape (N,)
        How many of them are components.
    """
    count, height, width = tiles.shape
    scratch = allocate(height, width, tables)
    keys = scratch.keys
    offsets = np.zeros(count + 1, np.int64)
    components = np.zeros(count, np.int64)
    pixels = np.empty((2, count), np.int64)
    for i in range(count):
        _, of_components, of_holes, essential = find_tile_pairs(tiles[i], tables.groups, scratch)
        found = offsets[i]
        needed = found + 1 + of_components + of_holes
        if needed > pixels.shape[1]:
            wider = np.empty((2, 2 * needed), np.int64)
            wider[:, :found] = pixels[:, :found]
            pixels = wider
        pixels[0, found] = in_tile(essential, width)
        pixels[1, found] = -1
        found = _append_pairs(
            scratch.component_pairs, of_components, epsilons[0], width, keys, found + 1, pixels
        )
        components[i] = found - offsets[i]
        offsets[i + 1] = _append_pairs(
            scratch.hole_pairs, of_holes, epsilons[1], width, keys, found, pixels
        )
    return pixels[:, : offsets[count]].copy(), offsets, components


@compiled
def _weigh_pairs(pairs: UInt32, count: int, epsilon: float, keys: Int32, out: Float32) -> None:
    """Add 1 where a pair that outlives epsilon is born, and -1 where it dies."""
    out[:] = 0
    width = out.shape[1]
    for i in range(count):
        birth, death = pairs[0, i], pairs[1, i]
        if outlives(birth, death, epsilon, keys):
            out.flat[in_tile(birth, width)] += np.float32(1)
            out.flat[in_tile(death, width)] -= np.float32(1)


@compiled
def _weigh_pixels(codes: UInt8, weights: Float32, out: Float32) -> None:
    height, width = out.shape
    for row in range(height):
        start = (row + 1) * (width + 2) + 1
        codes_of_row = codes[start : start + width]
        target = out[row]
        for column in range(width):
            target[column] = weights[codes_of_row[column]]


@compiled
def _weigh_frame(codes: UInt8, weights: Float32, out: Float32) -> None:
    """Weigh the pixels at the frame anew, by sides and code."""
    height, width = out.shape
    for row in range(height):
        for column in range(0, width, frame_step(row, height, width)):
            code = codes[(row + 1) * (width + 2) + 1 + column]
            out[row, column] = weights[sides_of(row, column, height, width), code]


@cached
def map_weights(
    tiles: Float32,
    pixel_km: float,
    epsilons: tuple[float, float],
    functionals: Int64,
    tables: Neighbourhoods,
    out: Float32,
) -> None:
    """Compute the weight maps of a batch of tiles.

    Parameters
    ----------
    tiles, pixel_km, epsilons, tables
        As in `gamma_batch`.
    functionals : ndarray of int64, shape (F,)
        Which of `FUNCTIONALS`, in the order wanted.
    out : ndarray of float32, shape (N, F, H, W)
        Receives what every pixel adds to the functionals, as in
        `minkgen.gamma.weights.weight_maps`. NumPy allocates half a megabyte a tile faster than
        numba does: it asks for large pages.
    """
    count, height, width = tiles.shape
    scratch = allocate(height, width, tables)
    keys, codes = scratch.keys, scratch.codes
    weights, perimeter = tabulate_weights(pixel_km, tables)
    for i in range(count):
        _, components, holes, essential = find_tile_pairs(tiles[i], tables.groups, scratch)
        # Dry pixels have their place in the order, too.
        restore_dry(keys, scratch.background)
        encode(width, keys, scratch.background, codes)
        for place, functional in enumerate(functionals):
            weight_map = out[i, place]
            if functional == COMPONENTS:
                _weigh_pairs(scratch.component_pairs, components, epsilons[0], keys, weight_map)
                weight_map.flat[in_tile(essential, width)] += np.float32(1)
            elif functional == HOLES:
                _weigh_pairs(scratch.hole_pairs, holes, epsilons[1], keys, weight_map)
            else:
                _weigh_pixels(codes, weights[functional], weight_map)
                if functional == PERIMETER:
                    _weigh_frame(codes, perimeter, weight_map)
