"""Persistence pairs: components joined from the highest saddle on, dry regions from the lowest.

All order is total: by key, then by index.
"""

from __future__ import annotations

import numpy as np

from minkgen.gamma.kernel.background import find_runs, first_background, flood
from minkgen.gamma.kernel.compiled import (
    Float32,
    Int32,
    Int64,
    Pixel,
    UInt8,
    UInt32,
    UInt64,
    compiled,
)
from minkgen.gamma.kernel.encoding import encode, load, value_of
from minkgen.gamma.kernel.scratch import DIGITS, OUTSIDE, PASSES, ZERO, Scratch

__all__ = ["find_tile_pairs", "outlives"]

# What is sorted: the key above, with the sign flipped so as to be unsigned, and the pixel below.
PIXEL_BITS, DIGIT_BITS = np.uint64(32), np.uint64(8)
LAST_DIGIT = np.uint64(DIGITS - 1)
SIGN_BIT = np.uint32(1 << 31)


@compiled
def _survey(runs: int, groups: UInt8, scratch: Scratch) -> int:
    """Point every active pixel uphill and downhill; list maxima and saddles, return how many."""
    keys, codes = scratch.keys, scratch.codes
    count = np.uint32(0)
    for run in range(runs):
        for index in range(scratch.first[run], scratch.stop[run]):
            pixel = np.uint32(index)
            code = codes[pixel]
            scratch.uphill[pixel] = np.uint32(pixel + scratch.ascents[code, 0])
            below = np.uint32(pixel + scratch.descents[code, 0])
            scratch.downhill[pixel] = below if keys[below] != OUTSIDE else np.uint32(0)
            # Without a branch, which would often be mispredicted.
            scratch.critical[count] = pixel
            count = np.uint32(count + (groups[code] != 1))
    return int(count)


@compiled
def _sort_words(words: UInt64, spare: UInt64, count: int, digit_counts: Int64) -> UInt64:
    """Sort words[:count] by their upper halves, stably, and return the array that holds them."""
    digit_counts[:] = 0
    for i in range(count):
        key = words[i] >> PIXEL_BITS
        for number in range(PASSES):
            digit_counts[number, key & LAST_DIGIT] += 1
            key >>= DIGIT_BITS
    for number in range(PASSES):
        places = digit_counts[number]
        place = 0
        for digit in range(DIGITS):
            place += places[digit]
            places[digit] = place - places[digit]
        shift = PIXEL_BITS + np.uint64(number) * DIGIT_BITS
        for i in range(count):
            digit_of_word = (words[i] >> shift) & LAST_DIGIT
            spare[places[digit_of_word]] = words[i]
            places[digit_of_word] += 1
        words, spare = spare, words
    return words


@compiled
def _sort_critical(count: int, scratch: Scratch) -> int:
    """Bring the maxima to the front of `critical`, and behind them the saddles, sorted downwards.

    Returns the number of maxima.
    """
    keys, critical = scratch.keys, scratch.critical
    maxima = 0
    saddles = 0
    for i in range(count):
        pixel = critical[i]
        if scratch.codes[pixel] == 0:
            critical[maxima] = pixel
            maxima += 1
        else:
            key = np.uint64(np.uint32(keys[pixel]) ^ SIGN_BIT)
            scratch.words[saddles] = (key << PIXEL_BITS) | np.uint64(pixel)
            saddles += 1
    # Pixels come in the order of their indices, and the sort is stable.
    words = _sort_words(scratch.words, scratch.spare_words, saddles, scratch.digit_counts)
    for i in range(saddles):
        critical[count - 1 - i] = np.uint32(words[i])
    return maxima


@compiled
def _root(pointers: UInt32, pixel: Pixel) -> Pixel:
    """Walk to the extremum that a pixel leads to, and halve the way for those who come later."""
    while pointers[pixel] != pixel:
        pointers[pixel] = pointers[pointers[pixel]]
        pixel = pointers[pixel]
    return pixel


@compiled
def _dry_region(pixel: Pixel, downhill: UInt32, keys: Int32) -> Pixel:
    return np.uint32(0) if keys[pixel] == OUTSIDE else _root(downhill, pixel)


@compiled
def _is_lower(pixel: Pixel, other: Pixel, keys: Int32) -> bool:
    return bool(keys[pixel] < keys[other] or (keys[pixel] == keys[other] and pixel < other))


@compiled
def _pair_components(saddles: UInt32, groups: UInt8, scratch: Scratch) -> tuple[int, int]:
    """Join components at saddles, sorted downwards; where two meet, the lower one dies.

    Returns the number of pairs, and that of saddles at which a component meets itself: these close
    rings, and are moved to the front.
    """
    keys, uphill, ascents = scratch.keys, scratch.uphill, scratch.ascents
    pairs = 0
    rings = 0
    for saddle in saddles:
        code = scratch.codes[saddle]
        elder = _root(uphill, np.uint32(saddle + ascents[code, 0]))
        closes_ring = False
        for group in range(1, groups[code]):
            younger = _root(uphill, np.uint32(saddle + ascents[code, group]))
            if younger == elder:
                closes_ring = True
                continue
            if _is_lower(elder, younger, keys):
                elder, younger = younger, elder
            uphill[younger] = elder
            if keys[younger] != keys[saddle]:
                scratch.component_pairs[0, pairs] = younger
                scratch.component_pairs[1, pairs] = saddle
                pairs += 1
        if closes_ring:
            saddles[rings] = saddle
            rings += 1
    return pairs, rings


@compiled
def _pair_holes(saddles: UInt32, groups: UInt8, scratch: Scratch) -> int:
    """Join dry regions at saddles, sorted downwards, from the last; of two, the higher ends.

    The outside is the lowest of all. Seen from above, the saddle is where a hole is born, and the
    minimum where it is filled. Returns the number of pairs.
    """
    keys, downhill, descents = scratch.keys, scratch.downhill, scratch.descents
    pairs = 0
    for i in range(saddles.shape[0] - 1, -1, -1):
        saddle = saddles[i]
        code = scratch.codes[saddle]
        elder = _dry_region(np.uint32(saddle + descents[code, 0]), downhill, keys)
        for group in range(1, groups[code]):
            younger = _dry_region(np.uint32(saddle + descents[code, group]), downhill, keys)
            if younger == elder:
                continue
            if _is_lower(younger, elder, keys):
                elder, younger = younger, elder
            downhill[younger] = elder
            if keys[younger] != keys[saddle]:
                scratch.hole_pairs[0, pairs] = saddle
                scratch.hole_pairs[1, pairs] = younger
                pairs += 1
    return pairs


@compiled
def _end_survivors(
    maxima: UInt32, pairs: int, ground: Pixel, scratch: Scratch
) -> tuple[int, Pixel]:
    """Let the components that are left, but the highest, die at a pixel of the background.

    Returns the number of pairs, and the pixel where the highest, the essential one, is born: the
    background itself in a tile without rain.
    """
    keys, uphill = scratch.keys, scratch.uphill
    essential = ground
    for maximum in maxima:
        if uphill[maximum] != maximum:
            continue
        if essential == ground:
            essential = maximum
            continue
        younger = maximum
        if _is_lower(essential, maximum, keys):
            essential, younger = maximum, essential
        scratch.component_pairs[0, pairs] = younger
        scratch.component_pairs[1, pairs] = ground
        pairs += 1
    return pairs, essential


@compiled
def find_tile_pairs(field: Float32, groups: UInt8, scratch: Scratch) -> tuple[int, int, int, Pixel]:
    """Find the finite pairs of nonzero lifetime of a tile.

    Leaves keys, codes, runs of active pixels and pairs in the scratch. Returns the numbers of runs,
    of component pairs and of hole pairs, and the pixel where the essential component is born.
    """
    width = field.shape[1]
    if load(field, scratch.keys, scratch.dry) < 0:
        # Below 0 there is lower ground than the dry.
        scratch.background[:] = ZERO
    else:
        flood(scratch.dry, scratch.frame, scratch.background)
    runs = find_runs(width, scratch)
    encode(width, scratch.keys, scratch.background, scratch.codes)
    critical = _survey(runs, groups, scratch)
    maxima = _sort_critical(critical, scratch)
    saddles = scratch.critical[maxima:critical]
    components, rings = _pair_components(saddles, groups, scratch)
    holes = _pair_holes(saddles[:rings], groups, scratch)
    ground = first_background(width, scratch.background)
    components, essential = _end_survivors(scratch.critical[:maxima], components, ground, scratch)
    if ground != 0:
        scratch.keys[ground] = 0
    return runs, components, holes, essential


@compiled
def outlives(birth: Pixel, death: Pixel, epsilon: float, keys: Int32) -> bool:
    """Tell whether a pair's lifetime, in float64, is above epsilon."""
    return value_of(keys[birth]) - value_of(keys[death]) > epsilon
