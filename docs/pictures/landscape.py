"""What the kernel does to one field, plainly: `python docs/pictures/kernel.py` draws it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

import minkgen
from minkgen.gamma.neighbourhoods import DIRECTIONS, NEIGHBOURHOODS

__all__ = ["BLOCKED_DOWNHILL", "Landscape", "Pair", "Pixel", "Walk", "step"]

Pixel = tuple[int, int]
Walk = list[Pixel]

# With all 4-neighbours higher, there is no way down.
BLOCKED_DOWNHILL = 0b01010101

# Dry ground that reaches the frame, and all beyond the frame, is one node.
OUTSIDE: Pixel = (-1, -1)


class Pair(NamedTuple):
    """What ends where: a maximum or a minimum, and the saddle at which an elder one takes over."""

    extremum: Pixel
    saddle: Pixel


class Landscape:
    """A field of values >= 0 as the kernel sees it."""

    def __init__(self, field: npt.NDArray[np.float32]) -> None:
        self.field = field
        labels, _ = ndimage.label(np.pad(field == 0, 1, constant_values=True))
        beyond = labels == labels[0, 0]
        self.background = beyond[1:-1, 1:-1]
        active = np.flatnonzero(~self.background)
        by_value = active[np.argsort(field.flat[active], kind="stable")]
        order = np.full(field.shape, -1)
        order.flat[by_value] = np.arange(by_value.size)
        self._order = np.pad(order, 1, constant_values=-1)
        self.codes = {
            pixel: self._code_of(pixel)
            for pixel in (divmod(int(index), field.shape[1]) for index in active)
        }

    def place(self, pixel: Pixel) -> int:
        """Return the place in the order by value, then by index; -1 for what is outside."""
        return int(self._order[pixel[0] + 1, pixel[1] + 1])

    def groups(self, pixel: Pixel) -> int:
        """Return the number of groups of higher neighbours."""
        return int(NEIGHBOURHOODS.groups[self.codes[pixel]])

    def maxima(self) -> list[Pixel]:
        """List the maxima, the highest first."""
        return self._downwards(pixel for pixel, code in self.codes.items() if code == 0)

    def minima(self) -> list[Pixel]:
        """List the minima, the lowest first."""
        return self._downwards(filter(self._is_minimum, self.codes))[::-1]

    def saddles(self) -> list[Pixel]:
        """List the saddles, the highest first."""
        return self._downwards(pixel for pixel in self.codes if self.groups(pixel) > 1)

    def walk_up(self, saddle: Pixel, group: int) -> Walk:
        """Follow pointers from a group of higher neighbours to a maximum."""
        walk = [saddle, step(saddle, NEIGHBOURHOODS.ascents[self.codes[saddle], group])]
        while self.codes[walk[-1]] != 0:
            walk.append(step(walk[-1], NEIGHBOURHOODS.ascents[self.codes[walk[-1]], 0]))
        return walk

    def walk_down(self, saddle: Pixel, group: int) -> Walk:
        """Follow pointers from a group of lower neighbours to a minimum, or out."""
        walk = [saddle, step(saddle, NEIGHBOURHOODS.descents[self.codes[saddle], group])]
        while self.place(walk[-1]) >= 0 and not self._is_minimum(walk[-1]):
            walk.append(step(walk[-1], NEIGHBOURHOODS.descents[self.codes[walk[-1]], 0]))
        return walk

    def pair_components(self) -> tuple[list[Pair], list[Pixel]]:
        """Return the pairs of maxima with saddles, and the saddles that close rings."""
        return self._join(self.saddles(), self.walk_up, elder=max)

    def pair_holes(self) -> list[Pair]:
        """Return the pairs of minima with saddles that close rings."""
        rings = self.pair_components()[1]
        return self._join(rings[::-1], self.walk_down, elder=min)[0]

    def check_pairs(self) -> None:
        """Raise where the pairs are not those of the kernel."""
        found = minkgen.persistence_pairs(self.field)
        width = self.field.shape[1]
        of_kernel = {
            (divmod(int(birth), width), divmod(int(death), width))
            for birth, death in zip(found.birth_pixel, found.death_pixel, strict=True)
            if death >= 0 and not self.background.flat[death]
        }
        drawn = {(pair.extremum, pair.saddle) for pair in self.pair_components()[0]}
        drawn |= {(pair.saddle, pair.extremum) for pair in self.pair_holes()}
        if of_kernel != {
            (birth, death) for birth, death in drawn if self.field[birth] > self.field[death]
        }:
            raise RuntimeError("the pairs are not those of the kernel")

    def _join(
        self,
        saddles: list[Pixel],
        walk: Callable[[Pixel, int], Walk],
        elder: Callable[..., Pixel],
    ) -> tuple[list[Pair], list[Pixel]]:
        taken_over: dict[Pixel, Pixel] = {}
        pairs, rings = [], []

        def region_of(saddle: Pixel, group: int) -> Pixel:
            end = walk(saddle, group)[-1]
            end = end if self.place(end) >= 0 else OUTSIDE
            while end in taken_over:
                end = taken_over[end]
            return end

        for saddle in saddles:
            for group in range(1, self.groups(saddle)):
                regions = {region_of(saddle, 0), region_of(saddle, group)}
                if len(regions) == 1:
                    rings.append(saddle)
                    continue
                survivor = elder(regions, key=self.place)
                (ended,) = regions - {survivor}
                taken_over[ended] = survivor
                pairs.append(Pair(ended, saddle))
        return pairs, rings

    def _is_minimum(self, pixel: Pixel) -> bool:
        return self.codes[pixel] & BLOCKED_DOWNHILL == BLOCKED_DOWNHILL

    def _downwards(self, pixels: Iterable[Pixel]) -> list[Pixel]:
        return sorted(pixels, key=self.place, reverse=True)

    def _code_of(self, pixel: Pixel) -> int:
        here = self.place(pixel)
        return sum(1 << k for k in range(8) if self.place(step(pixel, k)) > here)


def step(pixel: Pixel, direction: int) -> Pixel:
    """Return the neighbour in a direction."""
    row, column = DIRECTIONS[direction]
    return pixel[0] + row, pixel[1] + column
