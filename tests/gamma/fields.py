"""The made-up fields, thresholds and settings of the oracle table, and random fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minkgen.gamma.oracle import Settings

Float32 = npt.NDArray[np.float32]
Field = npt.NDArray[np.floating] | npt.NDArray[np.int64] | npt.NDArray[np.bool_]
Pixel = tuple[int, int]

SMALLEST_DENORMAL = float(np.nextafter(np.float32(0), np.float32(1)))


def _random() -> np.random.Generator:
    return np.random.default_rng(20241126)


def _noise(*shape: int) -> npt.NDArray[np.float64]:
    return _random().gamma(0.6, 2.0, shape)


def _smooth(*shape: int) -> npt.NDArray[np.float64]:
    """Sum waves: plateaus, saddles and ridges of many sizes, below zero in places."""
    rows, columns = np.indices(shape)
    generator = _random()
    waves = [
        np.sin(rows * a + columns * b + phase)
        for a, b, phase in generator.uniform([-0.9, -0.9, 0], [0.9, 0.9, 6], (12, 3))
    ]
    return np.asarray(np.sum(waves, axis=0))


def _rain(*shape: int) -> npt.NDArray[np.float64]:
    """Draw what is most like radar rain: smooth, dry in most places, on a grid of 0.01."""
    smooth = _smooth(*shape)
    return np.where(smooth > 1, smooth, 0).round(2)


def _integers(*shape: int, levels: int = 5) -> npt.NDArray[np.int64]:
    return _random().integers(0, levels, shape)


def _checkerboard(*shape: int) -> npt.NDArray[np.int64]:
    return np.asarray(np.indices(shape).sum(axis=0) % 2)


def _ring(side: int, low: int, high: int) -> npt.NDArray[np.float64]:
    """Draw the outline of a square from row and column `low` up to and without `high`."""
    field = np.zeros((side, side))
    field[low:high, low:high] = 3.0
    field[low + 1 : high - 1, low + 1 : high - 1] = 1.0
    return field


def _single(row: int, column: int) -> npt.NDArray[np.float64]:
    field = np.zeros((4, 5))
    field[row, column] = 2.0
    return field


def _with(field: npt.NDArray[np.float64], *values: float) -> npt.NDArray[np.float64]:
    """Put each value into a twentieth of the pixels."""
    out = field.copy()
    places = _random().permutation(out.size)
    for index, value in enumerate(values):
        out.flat[places[index::20]] = value
    return out


def _with_patches(field: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Cut a block out of the inside, one out of a corner and a line across."""
    out = field.copy()
    height, width = field.shape
    out[height // 3 : height // 2, width // 3 : width // 2] = np.nan
    out[: height // 5, -width // 5 :] = np.nan
    out[3 * height // 4] = np.nan
    return out


def _serpentine(height: int, width: int) -> Iterator[Pixel]:
    """Walk every second row, to and fro."""
    for row in range(0, height, 2):
        columns = range(width) if row % 4 == 0 else range(width - 1, -1, -1)
        yield from ((row, column) for column in columns)
        if row + 2 < height:
            yield row + 1, columns[-1]


def _spiral(height: int, width: int) -> Iterator[Pixel]:
    """Walk along the frame and inwards, one pixel away from where the walk has been."""
    row, column, step = 0, 0, (0, 1)
    visited = {(row, column)}
    turns = 0
    yield row, column
    while turns < 2:
        ahead = [(row + k * step[0], column + k * step[1]) for k in (1, 2)]
        outside = not (0 <= ahead[0][0] < height and 0 <= ahead[0][1] < width)
        if outside or visited.intersection(ahead):
            step = (step[1], -step[0])
            turns += 1
            continue
        row, column = ahead[0]
        visited.add((row, column))
        turns = 0
        yield row, column


WALKS = {"serpentine": _serpentine, "spiral": _spiral}


def _along(walk: str, profile: str, side: int) -> npt.NDArray[np.float64]:
    """Draw a walk of values from 1 to 5 over a square of zeros.

    A rising path makes the longest monotone walk there is; teeth make a chain of pairs, in which
    every second pixel is born and its neighbour is where it dies.
    """
    path = list(WALKS[walk](side, side))
    place = np.arange(len(path))
    heights = {
        "level": np.full(len(path), 3.0),
        "rising": 1 + 4 * place / len(path),
        "toothed": np.where(place % 2 == 0, 1 + _noise(len(path)) % 4, 1.0),
    }[profile]
    field = np.zeros((side, side))
    field[tuple(np.transpose(path))] = heights
    return field


def _dry_along(walk: str, profile: str, side: int) -> npt.NDArray[np.float64]:
    """Draw a walk as a dry valley, closed off from the frame by a wall."""
    return np.asarray(np.pad(6 - _along(walk, profile, side - 2), 1, constant_values=6.0))


def _zeros_along(walk: str, side: int) -> npt.NDArray[np.float64]:
    """Draw a walk of zeros, which begins at the frame, between walls of random heights."""
    return np.where(_along(walk, "level", side) > 0, 0, 1 + _noise(side, side) % 4)


def _mazes(side: int, *profiles: str) -> dict[str, Field]:
    mazes: dict[str, Field] = {}
    for walk in WALKS:
        for profile in profiles:
            name = f"{walk}, {profile}, {side} x {side}"
            mazes[f"rain {name}"] = _along(walk, profile, side)
            mazes[f"dry {name}"] = _dry_along(walk, profile, side)
        closed = np.pad(_zeros_along(walk, side - 2), 1, constant_values=9)
        mazes[f"{walk} of zeros, {side} x {side}"] = _zeros_along(walk, side)
        mazes[f"closed {walk} of zeros, {side} x {side}"] = closed
    return mazes


# Machine words hold 64 pixels of a row: widths around one and two of them.
WORDS: dict[str, Field] = {
    f"width {width}, {kind}": draw(height, width)
    for width in (63, 64, 65, 127, 128, 129, 193)
    for kind, height, draw in (("integers", 7, _integers), ("rain", 12, _rain))
}

_DRAWN: dict[str, Field] = {
    "random": _noise(40, 40),
    "random, sparse": np.where(_noise(60, 60) > 3, _noise(60, 60), 0),
    "random, small": _noise(13, 17),
    "smooth": _smooth(50, 50),
    "rain": _rain(60, 60),
    "rain, small": _rain(24, 31),
    "plateaus": np.kron(_integers(8, 8), np.ones((5, 5))),
    "plateaus, small": np.kron(_integers(5, 6), np.ones((3, 4))),
    "integers with many ties": _integers(50, 50),
    "integers, small": _integers(16, 19),
    "two values": _integers(30, 30, levels=2),
    # The dry pixels just hang together, along the longest of ways.
    "dry with probability 0.6": _random().random((70, 200)) > 0.6,
    "checkerboard": _checkerboard(16, 16),
    "checkerboard of odd size": _checkerboard(17, 15) * 7,
    "checkerboard of random heights": _checkerboard(20, 20) * _noise(20, 20),
    "checkerboard of random depths": 9 - _checkerboard(20, 20) * (_noise(20, 20) % 9),
    "stripes": np.indices((12, 12))[0] % 2 * 2.0,
    "constant dry": np.zeros((7, 9)),
    "constant wet": np.full((7, 9), 2.5),
    "constant negative": np.full((7, 9), -2.5),
    "all wet": _noise(24, 24) + 20,
    "one pixel, dry": np.zeros((1, 1)),
    "one pixel, wet": np.ones((1, 1)),
    "wet pixel inside": _single(1, 2),
    "wet pixel at the frame": _single(0, 2),
    "wet pixel in the corner": _single(3, 4),
    "dry pixel inside": 2 - _single(1, 2),
    "dry pixel at the frame": 2 - _single(2, 0),
    "dry pixel in the corner": 2 - _single(0, 4),
    "diagonal line": np.eye(9),
    "two diagonals": np.eye(9) + np.eye(9)[::-1],
    "ring inside": _ring(9, 2, 7),
    "ring touching the frame": _ring(9, 0, 5),
    "ring touching two sides": _ring(9, 4, 9),
    "ring on the frame": _ring(9, 0, 9),
    "nested rings": _ring(13, 1, 12) + _ring(13, 3, 10) + _ring(13, 5, 8),
    "ring closed by a diagonal": np.array([[0, 2, 0], [2, 0, 2], [0, 2, 0]]),
    "1 x N": _noise(1, 64),
    "N x 1": _noise(64, 1).round(1),
    "1 x N, integers": _integers(1, 200),
    "N x 1, integers": _integers(130, 1),
    "2 x N": _integers(2, 33),
    "N x 2": _noise(33, 2),
    "2 x 2": np.array([[1, 0], [0, 1]]),
    "not square": _integers(11, 43),
    "not square, upright": _noise(43, 11).round(1),
    "128 columns, fewer rows": _rain(40, 128),
    "128 columns, more rows": _rain(131, 128),
    "a tile": _rain(128, 128),
    "a tile of integers": _integers(128, 128),
    "larger than a tile": _rain(150, 201),
    "denormals": _integers(12, 12) * SMALLEST_DENORMAL,
    "NaN pixels": _with(_noise(30, 30), np.nan),
    "NaN patches": _with_patches(_noise(28, 33)),
    "NaN patches in full rain": _with_patches(_noise(20, 23) + 2),
    "NaN and infinities": _with(_noise(30, 30).round(1), np.nan, np.inf, -np.inf),
    "all missing": np.full((5, 6), np.nan),
    "NaN above negative values": _with(_noise(20, 20) - 8, np.nan),
    "negative zeros": np.where(_integers(15, 15) > 1, _integers(15, 15), -0.0),
    "negative values": -_noise(25, 25),
    "both signs, integers": _integers(25, 25, levels=9) - 4,
    "huge and tiny": _with(_noise(20, 20), 3e38, 1e-38, -3e38),
    **WORDS,
    **_mazes(21, "level", "rising", "toothed"),
    **_mazes(128, "rising", "toothed"),
}

FIELDS: dict[str, Float32] = {name: field.astype(np.float32) for name, field in _DRAWN.items()}
for _field in FIELDS.values():
    _field.flags.writeable = False


class Setting(NamedTuple):
    """One way to ask for γ."""

    thresholds: Float32
    settings: Settings


def _setting(
    thresholds: npt.ArrayLike,
    pixel_km: float,
    min_persistence: tuple[float, float] = (0.0, 0.0),
    essential: str = "alive",
) -> Setting:
    return Setting(
        np.asarray(thresholds, np.float32), Settings(pixel_km, min_persistence, essential)
    )


def _neighbours(*rates: float) -> Float32:
    """List rates with the floats right below and above them."""
    middle = np.array(rates, np.float32)
    low, high = (np.nextafter(middle, np.float32(end)) for end in (0, np.inf))
    return np.stack([low, middle, high], axis=1).ravel()


_USUAL = [0.01, 0.1, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 21.0]

SETTINGS: dict[str, Setting] = {
    "usual": _setting(_USUAL, 2.0),
    "floors": _setting(_USUAL, 0.3, (1.0, 0.5)),
    "background": _setting(_USUAL, 1.0, (0.25, 0.0), "background"),
    "one threshold": _setting([1.0], 0.3),
    "beyond the data": _setting([1e9, 2e38], 2.0),
    "denormal thresholds": _setting([k * SMALLEST_DENORMAL for k in (1, 2, 3)], 2.0),
    "neighbouring floats": _setting(_neighbours(1.0, 2.0, 3.0), 2.0),
    "more than 64 thresholds": _setting(np.geomspace(0.05, 6.0, 67), 2.0),
}


_SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)
_FEW_VALUES = st.sampled_from([0.0, 1.0, 2.0, 3.0, -1.0, -0.0, np.nan, np.inf, 0.25])

# For Hypothesis: small fields with many ties, and of any values at all.
TIED_FIELDS = hnp.arrays(np.float32, _SHAPES, elements=_FEW_VALUES, fill=st.nothing())
ANY_FIELDS = hnp.arrays(np.float32, _SHAPES, elements=st.floats(width=32), fill=st.nothing())
