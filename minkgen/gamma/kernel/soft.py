"""Soft steps in place of thresholds: weighted sums over pixels, and the same read backwards.

A tile becomes a list of events: a pixel adds a weight to a column. The columns are the classes of
neighbourhoods, whose weights in all functionals are tabulated, and a few more. Each of the things
asked for is one plain loop over the events, whose work does not depend on the number of
functionals, and which meets those thresholds only whose step the pixel stands on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minkgen.gamma.functionals import FUNCTIONALS
from minkgen.gamma.kernel.compiled import (
    Bool,
    Float32,
    Float64,
    Int32,
    Int64,
    Key,
    UInt8,
    UInt32,
    cached,
    compiled,
)
from minkgen.gamma.kernel.encoding import value_of
from minkgen.gamma.kernel.geometry import PERIMETER, tabulate_weights
from minkgen.gamma.kernel.levels import Levels, frame_step, level_of, prepare_levels, sides_of
from minkgen.gamma.kernel.merging import find_tile_pairs, outlives
from minkgen.gamma.kernel.scratch import Scratch, allocate, in_tile
from minkgen.gamma.neighbourhoods import Neighbourhoods

__all__ = ["Steps", "pull_back", "push_forward", "soft_batch", "zero_drizzle"]

COMPONENTS = FUNCTIONALS.index("components")
HOLES = FUNCTIONALS.index("holes")

# Columns behind those of the classes: what `perimeter` leaves out at the frame, pairs, and the
# component that never dies.
FRAME, COMPONENT_PAIRS, HOLE_PAIRS, ESSENTIAL = 0, 1, 2, 3
MORE_COLUMNS = 4

# Shrunk by a power of two drizzle keeps its order, and a lifetime that ends in it is, in float64,
# what it is without drizzle.
SHRINKING, GROWING = np.float32(2.0**-64), 2.0**64


class Steps(NamedTuple):
    """Soft steps from 0 to 1 at all thresholds: 3 t² - 2 t³, where t rises from 0 to 1.

    Attributes
    ----------
    begins : ndarray of float64, shape (Q,)
        Where t is 0, in mm/h; not negative, not decreasing.
    steepness : ndarray of float64, shape (Q,)
        The derivative of t.
    ends : ndarray of float32, shape (Q,)
        Where t is 1, in mm/h; not decreasing.
    drizzle : float
        Lower rates are dry.
    highest_essential : int
        At how many of the thresholds, from the lowest, the essential component may count.
    """

    begins: Float64
    steepness: Float64
    ends: Float32
    drizzle: float
    highest_essential: int


class Events(NamedTuple):
    """What the pixels of a tile add, pixel by pixel.

    Attributes
    ----------
    pixels : ndarray of uint32
        In the padded tile.
    columns : ndarray of uint8
    weights : ndarray of float32
    """

    pixels: UInt32
    columns: UInt8
    weights: Float32


class Table(NamedTuple):
    """What an event of weight 1 adds.

    Attributes
    ----------
    weights : ndarray of float64, shape (F, columns)
        To every functional, by column.
    at_frame : ndarray of float32, shape (16, 256)
        To `perimeter`, by sides and code, beyond what its class adds.
    is_used : ndarray of bool, shape (columns,)
        Whether it adds to any functional at all.
    """

    weights: Float64
    at_frame: Float32
    is_used: Bool


@compiled
def _tabulate(pixel_km: float, functionals: Int64, tables: Neighbourhoods) -> Table:
    of_code, perimeter = tabulate_weights(pixel_km, tables)
    classes = tables.class_changes.shape[0]
    weights = np.zeros((functionals.shape[0], classes + MORE_COLUMNS), np.float64)
    for place, functional in enumerate(functionals):
        if functional == COMPONENTS:
            weights[place, classes + COMPONENT_PAIRS] = 1.0
            weights[place, classes + ESSENTIAL] = 1.0
        elif functional == HOLES:
            weights[place, classes + HOLE_PAIRS] = 1.0
        else:
            for code in range(tables.classes.shape[0]):
                weights[place, tables.classes[code]] = of_code[functional, code]
            if functional == PERIMETER:
                weights[place, classes + FRAME] = 1.0
    is_used = np.zeros(weights.shape[1], np.bool_)
    for column in range(weights.shape[1]):
        is_used[column] = (weights[:, column] != 0.0).any()
    return Table(weights, perimeter - perimeter[0], is_used)


@compiled
def _allocate_events(height: int, width: int) -> Events:
    # Each pixel by itself and at the frame; each pair twice, and there are no more than pixels.
    size = 6 * height * width + 1
    return Events(np.empty(size, np.uint32), np.empty(size, np.uint8), np.empty(size, np.float32))


@compiled
def _shrink_drizzle(rain_rate: Float32, steps: Steps, field: Float32) -> None:
    """Write the field that order and lifetimes are taken from: dry pixels are 0.

    Drizzle that is on a step is there, but shrunk.
    """
    drizzle = np.float32(steps.drizzle)
    lowest = min(drizzle, np.float32(steps.begins[0]))
    for row in range(field.shape[0]):
        source, target = rain_rate[row], field[row]
        for column in range(field.shape[1]):
            rate = source[column]
            kept = rate if rate >= drizzle else rate * SHRINKING
            target[column] = kept if rate >= lowest else np.float32(0)


@compiled
def _list_pairs(
    pairs: UInt32,
    pair_count: int,
    epsilon: float,
    column: int,
    keys: Int32,
    events: Events,
    count: int,
) -> int:
    for i in range(pair_count):
        birth, death = pairs[0, i], pairs[1, i]
        if outlives(birth, death, epsilon, keys):
            for pixel, weight in ((birth, 1.0), (death, -1.0)):
                events.pixels[count] = pixel
                events.columns[count] = column
                events.weights[count] = weight
                count += 1
    return count


@compiled
def _list_events(
    field: Float32,
    epsilons: tuple[float, float],
    table: Table,
    tables: Neighbourhoods,
    scratch: Scratch,
    events: Events,
) -> int:
    """List what the pixels of a tile add, and return how many events there are."""
    height, width = field.shape
    keys, codes = scratch.keys, scratch.codes
    runs, components, holes, essential = find_tile_pairs(field, tables.groups, scratch)
    count = 0
    for run in range(runs):
        for index in range(scratch.first[run], scratch.stop[run]):
            pixel = np.uint32(index)
            # Without a branch, as it is written before it is counted.
            column = tables.classes[codes[pixel]]
            events.pixels[count] = pixel
            events.columns[count] = column
            events.weights[count] = 1.0
            count += int(table.is_used[column])
    first_of_more = tables.class_changes.shape[0]
    if table.is_used[first_of_more + FRAME]:
        for row in range(height):
            for column in range(0, width, frame_step(row, height, width)):
                pixel = np.uint32((row + 1) * (width + 2) + 1 + column)
                # Dry pixels are on no step.
                if keys[pixel] > 0:
                    events.pixels[count] = pixel
                    events.columns[count] = first_of_more + FRAME
                    sides = sides_of(row, column, height, width)
                    events.weights[count] = table.at_frame[sides, codes[pixel]]
                    count += 1
    if table.is_used[first_of_more + COMPONENT_PAIRS]:
        column = first_of_more + COMPONENT_PAIRS
        count = _list_pairs(
            scratch.component_pairs, components, epsilons[0], column, keys, events, count
        )
        events.pixels[count] = essential
        events.columns[count] = first_of_more + ESSENTIAL
        events.weights[count] = 1.0
        count += 1
    if table.is_used[first_of_more + HOLE_PAIRS]:
        column = first_of_more + HOLE_PAIRS
        count = _list_pairs(scratch.hole_pairs, holes, epsilons[1], column, keys, events, count)
    return count


@compiled
def _rate_of(key: Key, drizzle: float) -> float:
    """Return the rain rate of a pixel by its key, also where it is shrunk drizzle."""
    value = value_of(key)
    return value if value >= drizzle else value * GROWING


@compiled
def _add_values(
    count: int, events: Events, keys: Int32, steps: Steps, levels: Levels, sums: Float64
) -> None:
    """Sum weights times steps into sums[0], by threshold and column."""
    begins, steepness = steps.begins, steps.steepness
    sums[:] = 0.0
    for event in range(count):
        key = keys[events.pixels[event]]
        column, weight = events.columns[event], np.float64(events.weights[event])
        rate = _rate_of(key, steps.drizzle)
        step = level_of(key, levels)
        sums[1, step, column] += weight
        while step < begins.shape[0] and begins[step] < rate:
            t = (rate - begins[step]) * steepness[step]
            sums[0, step, column] += weight * (t * t * (3.0 - 2.0 * t))
            step = np.uint32(step + 1)
    # A pixel is at the end of all steps below its first.
    for lower in range(begins.shape[0] - 1, -1, -1):
        for each in range(sums.shape[2]):
            sums[1, lower, each] += sums[1, lower + 1, each]
            sums[0, lower, each] += sums[1, lower + 1, each]


@compiled
def _add_slopes(
    count: int,
    events: Events,
    keys: Int32,
    steps: Steps,
    levels: Levels,
    direction: Float32,
    sums: Float64,
) -> None:
    """Sum weights times the steps' derivatives along a direction into sums[0]."""
    begins, steepness = steps.begins, steps.steepness
    sums[0] = 0.0
    for event in range(count):
        pixel, column = events.pixels[event], events.columns[event]
        key = keys[pixel]
        rate = _rate_of(key, steps.drizzle)
        step = level_of(key, levels)
        while step < begins.shape[0] and begins[step] < rate:
            t = (rate - begins[step]) * steepness[step]
            slope = 6.0 * t * (1.0 - t) * steepness[step]
            along = np.float64(direction.flat[in_tile(pixel, direction.shape[1])])
            sums[0, step, column] += np.float64(events.weights[event]) * slope * along
            step = np.uint32(step + 1)


@compiled
def _spread_slopes(
    count: int,
    events: Events,
    keys: Int32,
    steps: Steps,
    levels: Levels,
    pulls: Float64,
    slopes: Float32,
) -> None:
    """Give every pixel (padded) the slopes of its steps times the pulls on them (Q, columns)."""
    begins, steepness = steps.begins, steps.steepness
    slopes[:] = 0.0
    for event in range(count):
        pixel, column = events.pixels[event], events.columns[event]
        key = keys[pixel]
        rate = _rate_of(key, steps.drizzle)
        step = level_of(key, levels)
        slope = 0.0
        while step < begins.shape[0] and begins[step] < rate:
            t = (rate - begins[step]) * steepness[step]
            slope += t * (1.0 - t) * pulls[step, column]
            step = np.uint32(step + 1)
        slopes[pixel] += events.weights[event] * np.float32(slope)


@compiled
def _gather(sums: Float64, table: Table, steps: Steps, out: Float32) -> None:
    """Turn sums by column into functionals: out (F, Q)."""
    essential = sums.shape[2] - MORE_COLUMNS + ESSENTIAL
    sums[0, steps.highest_essential :, essential] = 0.0
    for functional in range(out.shape[0]):
        for step in range(out.shape[1]):
            total = 0.0
            for column in range(sums.shape[2]):
                total += table.weights[functional, column] * sums[0, step, column]
            out[functional, step] = total


@compiled
def _prepare_pulls(gradient: Float32, table: Table, steps: Steps, pulls: Float64) -> None:
    """Turn a gradient by functional and threshold (F, Q) into pulls by threshold and column."""
    pulls[:] = 0.0
    for step in range(pulls.shape[0]):
        for functional in range(gradient.shape[0]):
            pull = 6.0 * steps.steepness[step] * np.float64(gradient[functional, step])
            for column in range(pulls.shape[1]):
                pulls[step, column] += pull * table.weights[functional, column]
    essential = pulls.shape[1] - MORE_COLUMNS + ESSENTIAL
    pulls[steps.highest_essential :, essential] = 0.0


@cached
def zero_drizzle(tiles: Float32, drizzle: float, out: Float32) -> None:
    """Write tiles with rates below drizzle set to 0 (2 µs a tile, NumPy's where 15).

    Parameters
    ----------
    tiles, out : ndarray of float32, shape (N, H, W)
    drizzle : float
        In mm/h.
    """
    lowest, dry = np.float32(drizzle), np.float32(0)
    for i in range(tiles.shape[0]):
        for row in range(tiles.shape[1]):
            source, target = tiles[i, row], out[i, row]
            for column in range(tiles.shape[2]):
                target[column] = source[column] if source[column] >= lowest else dry


@cached
def soft_batch(
    tiles: Float32,
    pixel_km: float,
    epsilons: tuple[float, float],
    functionals: Int64,
    steps: Steps,
    tables: Neighbourhoods,
    out: Float32,
) -> None:
    """Compute γ of a batch of tiles with soft steps.

    Parameters
    ----------
    tiles : ndarray of float32, shape (N, H, W)
        Rain rate in mm/h before drizzle is zeroed, C-contiguous. Not modified.
    pixel_km, epsilons, tables
        As in `gamma_batch`.
    functionals : ndarray of int64, shape (F,)
        Which of `FUNCTIONALS`, in the order wanted.
    steps : Steps
    out : ndarray of float32, shape (N, F, Q)
        Receives γ.
    """
    count, height, width = tiles.shape
    scratch = allocate(height, width, tables)
    # The level of a rate is the number of steps that it is at the end of.
    levels = prepare_levels(steps.ends, tables.class_changes.shape[0])
    table, events = _tabulate(pixel_km, functionals, tables), _allocate_events(height, width)
    field = np.empty((height, width), np.float32)
    sums = np.empty((2, out.shape[2] + 1, table.weights.shape[1]), np.float64)
    for i in range(count):
        _shrink_drizzle(tiles[i], steps, field)
        found = _list_events(field, epsilons, table, tables, scratch, events)
        _add_values(found, events, scratch.keys, steps, levels, sums)
        _gather(sums, table, steps, out[i])


@cached
def push_forward(
    tiles: Float32,
    directions: Float32,
    pixel_km: float,
    epsilons: tuple[float, float],
    functionals: Int64,
    steps: Steps,
    tables: Neighbourhoods,
    out: Float32,
) -> None:
    """Compute the derivative of soft γ along a direction of every tile.

    Parameters
    ----------
    tiles, pixel_km, epsilons, functionals, steps, tables
        As in `soft_batch`.
    directions : ndarray of float32, shape (N, H, W)
        Change of the rain rate.
    out : ndarray of float32, shape (N, F, Q)
        Receives the change of γ.
    """
    count, height, width = tiles.shape
    scratch = allocate(height, width, tables)
    # The level of a rate is the number of steps that it is at the end of.
    levels = prepare_levels(steps.ends, tables.class_changes.shape[0])
    table, events = _tabulate(pixel_km, functionals, tables), _allocate_events(height, width)
    field = np.empty((height, width), np.float32)
    sums = np.empty((1, out.shape[2], table.weights.shape[1]), np.float64)
    for i in range(count):
        _shrink_drizzle(tiles[i], steps, field)
        found = _list_events(field, epsilons, table, tables, scratch, events)
        _add_slopes(found, events, scratch.keys, steps, levels, directions[i], sums)
        _gather(sums, table, steps, out[i])


@cached
def pull_back(
    tiles: Float32,
    gradients: Float32,
    pixel_km: float,
    epsilons: tuple[float, float],
    functionals: Int64,
    steps: Steps,
    tables: Neighbourhoods,
    out: Float32,
) -> None:
    """Compute the gradient of a function of soft γ with respect to the tiles.

    Parameters
    ----------
    tiles, pixel_km, epsilons, functionals, steps, tables
        As in `soft_batch`.
    gradients : ndarray of float32, shape (N, F, Q)
        With respect to γ.
    out : ndarray of float32, shape (N, H, W)
        Receives the gradient.
    """
    count, height, width = tiles.shape
    scratch = allocate(height, width, tables)
    # The level of a rate is the number of steps that it is at the end of.
    levels = prepare_levels(steps.ends, tables.class_changes.shape[0])
    table, events = _tabulate(pixel_km, functionals, tables), _allocate_events(height, width)
    field = np.empty((height, width), np.float32)
    pulls = np.empty((gradients.shape[2], table.weights.shape[1]), np.float64)
    slopes = np.empty(scratch.keys.shape[0], np.float32)
    for i in range(count):
        _shrink_drizzle(tiles[i], steps, field)
        found = _list_events(field, epsilons, table, tables, scratch, events)
        _prepare_pulls(gradients[i], table, steps, pulls)
        _spread_slopes(found, events, scratch.keys, steps, levels, pulls, slopes)
        for row in range(height):
            start = (row + 1) * (width + 2) + 1
            out[i, row] = slopes[start : start + width]
