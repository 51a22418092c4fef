"""Dry ground that reaches the frame, and the runs of pixels that are left, in words of bits."""

from __future__ import annotations

import numpy as np

from minkgen.gamma.kernel.compiled import Pixel, UInt64, Word, compiled
from minkgen.gamma.kernel.scratch import ONE, WORD, ZERO, Scratch

__all__ = ["find_runs", "first_background", "flood"]

TOP = np.uint64(WORD - 1)

# A product with this constant brings a different pattern to the top six bits for every single bit.
DE_BRUIJN = 0x03F79D71B4CB0A89
PATTERN_SHIFT = np.uint64(58)
BIT_OF_PATTERN = np.empty(WORD, np.int32)
for _bit in range(WORD):
    BIT_OF_PATTERN[(DE_BRUIJN << _bit) % 2**WORD >> 58] = _bit


@compiled
def _lowest_bit(word: Word) -> np.int32:
    """Return the place of the lowest bit of a word that is not 0."""
    lowest = word & (~word + ONE)
    bit: np.int32 = BIT_OF_PATTERN[(lowest * np.uint64(DE_BRUIJN)) >> PATTERN_SHIFT]
    return bit


@compiled
def _fill_runs(mask: Word, seeds: Word) -> Word:
    """Return all bits of those runs of `mask` that hold a seed; seeds are in the mask."""
    # Adding a seed to its run carries through all the bits above it.
    filled = seeds | (mask & ~(mask + seeds))
    for shift in (1, 2, 4, 8, 16, 32):
        filled |= mask & (filled >> np.uint64(shift))
        mask &= mask >> np.uint64(shift)
    return filled


@compiled
def flood(dry: UInt64, frame: UInt64, background: UInt64) -> None:
    """Mark dry pixels that are 4-connected to the frame, in one sweep down and one up.

    Bays that need more sweeps stay unmarked. Nothing depends on that but time (12 pixels of 3181
    in a real tile, measured): such pixels are treated as all others, and lead to the outside.
    """
    height, words = dry.shape
    for sweep in range(2):
        for step in range(height):
            row = step if sweep == 0 else height - 1 - step
            carried = ZERO
            for word in range(words):
                mask = dry[row, word]
                # The first row of the downward and of the upward sweep lie at the frame.
                if step == 0:
                    seeds = mask
                elif sweep == 0:
                    seeds = (background[row - 1, word] | frame[word] | carried) & mask
                else:
                    seeds = (background[row, word] | background[row + 1, word] | carried) & mask
                if seeds != ZERO and seeds != mask:
                    seeds = _fill_runs(mask, seeds)
                background[row, word] = seeds
                carried = seeds >> TOP
            for word in range(words - 2, -1, -1):
                seeds = background[row, word]
                carried = (background[row, word + 1] << TOP) & dry[row, word]
                if carried & ~seeds != ZERO:
                    background[row, word] = _fill_runs(dry[row, word], seeds | carried)


@compiled
def find_runs(width: int, scratch: Scratch) -> int:
    """List the runs of active pixels, give the dry ones among them their key; return how many."""
    dry, background = scratch.dry, scratch.background
    height, words = background.shape
    runs = 0
    for row in range(height):
        for word in range(words):
            start = (row + 1) * (width + 2) + 1 + word * WORD
            active = ~background[row, word]
            if word == words - 1 and width % WORD != 0:
                active &= (ONE << np.uint64(width % WORD)) - ONE
            enclosed = active & dry[row, word]
            while enclosed != ZERO:
                scratch.keys[start + _lowest_bit(enclosed)] = 0
                enclosed &= enclosed - ONE
            while active != ZERO:
                # Adding its lowest bit clears the lowest run and sets the bit above it.
                above = active + (active & (~active + ONE))
                scratch.first[runs] = start + _lowest_bit(active)
                scratch.stop[runs] = start + (WORD if above == ZERO else _lowest_bit(above))
                active &= above
                runs += 1
    return runs


@compiled
def first_background(width: int, background: UInt64) -> Pixel:
    """Return the first pixel of the background, or 0 where there is none."""
    for row in range(background.shape[0]):
        for word in range(background.shape[1]):
            if background[row, word] != ZERO:
                column = word * WORD + _lowest_bit(background[row, word])
                return np.uint32((row + 1) * (width + 2) + 1 + column)
    return np.uint32(0)
