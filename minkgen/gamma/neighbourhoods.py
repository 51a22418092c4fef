"""The 256 neighbourhoods of a pixel: what happens when it joins the pixels above it.

Pixels enter the excursion set one by one, the highest first. What the entering pixel changes is
decided by which of its eight neighbours are there already. They are a code of eight bits, bit k for
the neighbour in direction k of `DIRECTIONS`; what lies outside the tile never is there. This module
tabulates the changes straight from their definitions; nothing here is fast, or has to be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["BLOCK_SHAPES", "CODES", "DIRECTIONS", "NEIGHBOURHOODS", "Neighbourhoods"]

# (row, column) steps around a pixel: east first, then by way of the north. Even places are the
# 4-neighbours.
DIRECTIONS = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))
CODES = 2 ** len(DIRECTIONS)

# The shapes of a 2x2 block, by its pixels in the set; the empty block is none of them.
BLOCK_SHAPES = ("one", "adjacent", "diagonal", "three", "four")

# At most four groups of higher neighbours alternate with four of lower ones.
MOST_GROUPS = 4

Direction = int
Step = tuple[int, int]


class Neighbourhoods(NamedTuple):
    """What an entering pixel changes, by the code of its higher neighbours.

    Attributes
    ----------
    classes : ndarray of uint8, shape (256,)
        Codes that change the 2x2 blocks alike have the same class.
    class_changes : ndarray of int64, shape (classes, 5)
        Change of the number of blocks of each shape in `BLOCK_SHAPES`, over the four blocks that
        hold the pixel.
    outside_changes : ndarray of int64, shape (256, 16, 5)
        The same over those of the four blocks that reach out of the tile, when the pixel lies at
        the sides of the tile given by the second index: the sum of 1 (north), 2 (south), 4 (west)
        and 8 (east).
    groups : ndarray of uint8, shape (256,)
        Number of groups of higher neighbours. Where there are at least two, there are as many of
        lower ones, in turn around the pixel: a saddle.
    ascents : ndarray of uint8, shape (256, 4)
        A direction into each group of higher neighbours: 8-connected among the eight.
    descents : ndarray of uint8, shape (256, 4)
        A direction into each group of lower neighbours: 4-connected among the eight, with a
        4-neighbour of the pixel, in which the direction ends.
    """

    classes: npt.NDArray[np.uint8]
    class_changes: npt.NDArray[np.int64]
    outside_changes: npt.NDArray[np.int64]
    groups: npt.NDArray[np.uint8]
    ascents: npt.NDArray[np.uint8]
    descents: npt.NDArray[np.uint8]


def _higher(code: int) -> dict[Step, bool]:
    return {step: bool(code >> k & 1) for k, step in enumerate(DIRECTIONS)}


def _shape_of(block: list[bool]) -> str | None:
    """Name the shape of a block, given as its north-west, -east, south-west and -east pixels."""
    match sum(block):
        case 0:
            return None
        case 2:
            return "diagonal" if block[0] == block[3] else "adjacent"
        case count:
            return {1: "one", 3: "three", 4: "four"}[count]


def _block_changes(code: int) -> dict[Step, npt.NDArray[np.int64]]:
    """Compute what happens to the four blocks around the pixel, by the corner they lie at."""
    changes = {}
    for corner in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        change = np.zeros(len(BLOCK_SHAPES), np.int64)
        for entered, sign in ((False, -1), (True, 1)):
            members = {**_higher(code), (0, 0): entered}
            rows, columns = sorted((0, corner[0])), sorted((0, corner[1]))
            shape = _shape_of([members[row, column] for row in rows for column in columns])
            if shape is not None:
                change[BLOCK_SHAPES.index(shape)] += sign
        changes[corner] = change
    return changes


def _outside_changes(
    changes: dict[Step, npt.NDArray[np.int64]], sides: int
) -> npt.NDArray[np.int64]:
    north, south, west, east = (bool(sides & bit) for bit in (1, 2, 4, 8))
    out = np.zeros(len(BLOCK_SHAPES), np.int64)
    for (row, column), change in changes.items():
        if (north if row < 0 else south) or (west if column < 0 else east):
            out += change
    return out


def _grouped(
    directions: list[Direction], joined: Callable[[Step, Step], bool]
) -> list[list[Direction]]:
    """Split directions into groups connected by `joined`."""
    groups: list[list[Direction]] = []
    for direction in directions:
        touching = [
            group
            for group in groups
            if any(joined(DIRECTIONS[direction], DIRECTIONS[other]) for other in group)
        ]
        groups = [group for group in groups if group not in touching]
        groups.append(sorted([direction, *(member for group in touching for member in group)]))
    return sorted(groups)


def _higher_groups(code: int) -> list[list[Direction]]:
    def joined(a: Step, b: Step) -> bool:
        return max(abs(a[0] - b[0]), abs(a[1] - b[1])) == 1

    return _grouped([k for k in range(len(DIRECTIONS)) if code >> k & 1], joined)


def _lower_groups(code: int) -> list[list[Direction]]:
    def joined(a: Step, b: Step) -> bool:
        return abs(a[0] - b[0]) + abs(a[1] - b[1]) == 1

    groups = _grouped([k for k in range(len(DIRECTIONS)) if not code >> k & 1], joined)
    # Lower ground at a corner alone touches the pixel in a point only.
    edges = [[k for k in group if k % 2 == 0] for group in groups]
    return [group for group in edges if group]


def _tabulate() -> Neighbourhoods:
    blocks = [_block_changes(code) for code in range(CODES)]
    changes = np.array([sum(of_code.values()) for of_code in blocks])
    class_changes, classes = np.unique(changes, axis=0, return_inverse=True)
    higher = [_higher_groups(code) for code in range(CODES)]
    lower = [_lower_groups(code) for code in range(CODES)]

    def first_of(groups: list[list[Direction]]) -> list[Direction]:
        return [group[0] for group in groups] + [0] * (MOST_GROUPS - len(groups))

    return Neighbourhoods(
        classes=classes.reshape(CODES).astype(np.uint8),
        class_changes=class_changes,
        outside_changes=np.array(
            [[_outside_changes(of_code, sides) for sides in range(16)] for of_code in blocks]
        ),
        groups=np.array([len(groups) for groups in higher], np.uint8),
        ascents=np.array([first_of(groups) for groups in higher], np.uint8),
        descents=np.array([first_of(groups) for groups in lower], np.uint8),
    )


NEIGHBOURHOODS = _tabulate()
