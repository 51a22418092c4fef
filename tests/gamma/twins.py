"""All slow twins of every functional: GUDHI, scikit-image, scipy, and plain Python.

Twins share no code with the kernel, and those of one functional none with each other. The plain
Python is written from the definitions, to be read and not to be fast.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from minkgen.gamma.oracle import ORACLES, Oracle, Settings, complex_diagrams

Float32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Pixel = tuple[int, int]
Pairs = list[tuple[float, float]]

# Pixels times thresholds of one comparison: contours and plain Python take up to 1 µs of each.
PLAIN_WORK = 40_000
CONTOUR_WORK = 300_000

FOUR = [(-1, 0), (0, -1), (0, 1), (1, 0)]
EIGHT = [*FOUR, (-1, -1), (-1, 1), (1, -1), (1, 1)]


class Twin(NamedTuple):
    """One way to compute a functional of a cleaned field, and what it is asked.

    Only some twins of components and holes know persistence floors and the essential class as
    background. Geometry knows neither, and is not compared again where only they are others.
    """

    functional: str
    way: str
    compute: Oracle
    knows_floors: bool = False
    most_work: float = math.inf

    @property
    def name(self) -> str:
        return f"{self.functional} by {self.way}"

    def serves(self, field: Float32, thresholds: Float32, settings: Settings) -> bool:
        """Tell whether the twin knows the settings, and is quick enough for the field."""
        plain = settings.min_persistence == (0.0, 0.0) and settings.essential == "alive"
        return (plain or self.knows_floors) and field.size * thresholds.size <= self.most_work


def _count_pairs(
    pairs: Pairs, thresholds: Float32, floor: float, essential: str = "alive"
) -> list[float]:
    """Count the pairs that are alive and outlive the floor; the essential one dies at -inf."""
    ceiling = {"alive": math.inf, "background": float(np.float32(0.01))}[essential]
    return [
        sum(
            u <= birth
            and death < u
            and birth - death > floor
            and (death > -math.inf or u <= ceiling)
            for birth, death in pairs
        )
        for u in thresholds.tolist()
    ]


# GUDHI's general cubical complex.


def _components_by_complex(field: Float32, thresholds: Float32, settings: Settings) -> list[float]:
    pairs = complex_diagrams(field)[0].tolist()
    return _count_pairs(pairs, thresholds, settings.min_persistence[0], settings.essential)


def _holes_by_complex(field: Float32, thresholds: Float32, settings: Settings) -> list[float]:
    return _count_pairs(
        complex_diagrams(field)[1].tolist(), thresholds, settings.min_persistence[1]
    )


# scipy's labels: every excursion set alone, so without floors.

_SQUARE = np.ones((3, 3))
_CROSS = ndimage.generate_binary_structure(2, 1)


def _regions(mask: Mask, structure: npt.NDArray[np.float64]) -> int:
    return int(ndimage.label(mask, structure)[1])


def _enclosed(dry: Mask, structure: npt.NDArray[np.float64]) -> int:
    """Count the regions that do not touch the frame: all but the outside, once it is added."""
    return _regions(np.pad(dry, 1, constant_values=True), structure) - 1


def _by_labels(count: Callable[[Mask], int]) -> Oracle:
    def compute(field: Float32, thresholds: Float32, settings: Settings) -> list[float]:
        return [count(field >= u) for u in thresholds]

    return compute


def _components_of(wet: Mask) -> int:
    return _regions(wet, _SQUARE)


def _holes_of(wet: Mask) -> int:
    return _enclosed(~wet, _CROSS)


def _euler_4_of(wet: Mask) -> int:
    return _regions(wet, _CROSS) - _enclosed(~wet, _SQUARE)


def _euler_8_of(wet: Mask) -> int:
    return _components_of(wet) - _holes_of(wet)


# Plain Python: geometry of every excursion set, as a set of pixels.


def _wet_pixels(field: Float32, u: float) -> set[Pixel]:
    return {
        (row, column)
        for row, values in enumerate(field.tolist())
        for column, value in enumerate(values)
        if value >= u
    }


def _pixel_by_pixel(measure: Callable[[set[Pixel], tuple[int, int], float], float]) -> Oracle:
    def compute(field: Float32, thresholds: Float32, settings: Settings) -> list[float]:
        height, width = field.shape
        return [
            measure(_wet_pixels(field, u), (height, width), settings.pixel_km)
            for u in thresholds.tolist()
        ]

    return compute


def _area(wet: set[Pixel], shape: tuple[int, int], pixel_km: float) -> float:
    return len(wet) * (pixel_km * pixel_km)


def _contour_in_block(wet: set[Pixel], row: int, column: int) -> float:
    """Measure the marching-squares segments between the centres of four pixels.

    Segments join the middles of the sides whose two ends differ, at 45 degrees round a corner; with
    four such sides there are two segments, whichever way they are joined.
    """
    around = [(row, column), (row, column + 1), (row + 1, column + 1), (row + 1, column)]
    corners = [pixel in wet for pixel in around]
    crossed = [side for side in range(4) if corners[side] != corners[side - 1]]
    if len(crossed) == 2 and crossed[1] - crossed[0] == 2:
        return 1.0
    return len(crossed) / 2 * math.sqrt(0.5)


def _perimeter(wet: set[Pixel], shape: tuple[int, int], pixel_km: float) -> float:
    rows, columns = range(shape[0] - 1), range(shape[1] - 1)
    return pixel_km * sum(_contour_in_block(wet, row, column) for row in rows for column in columns)


def _perimeter_closed(wet: set[Pixel], shape: tuple[int, int], pixel_km: float) -> float:
    rows, columns = range(-1, shape[0]), range(-1, shape[1])
    return pixel_km * sum(_contour_in_block(wet, row, column) for row in rows for column in columns)


def _perimeter_crofton(wet: set[Pixel], shape: tuple[int, int], pixel_km: float) -> float:
    """Count the runs of wet pixels along lines of four directions.

    The length is half the integral, over all lines, of the number of border points on the line
    (two a run): a quarter of pi for every direction, times the distance of its lines.
    """
    length = 0.0
    for down, right in [(0, 1), (1, 0), (1, 1), (1, -1)]:
        runs = sum((row - down, column - right) not in wet for row, column in wet)
        length += math.pi / 4 * runs / math.hypot(down, right)
    return length * pixel_km


def _euler_8(wet: set[Pixel], shape: tuple[int, int], pixel_km: float) -> float:
    """Corners - sides + pixels, of pixels that are closed squares."""
    corners = {(row + i, column + j) for row, column in wet for i in (0, 1) for j in (0, 1)}
    level = {(row + i, column) for row, column in wet for i in (0, 1)}
    upright = {(row, column + j) for row, column in wet for j in (0, 1)}
    return len(corners) - len(level) - len(upright) + len(wet)


def _euler_4(wet: set[Pixel], shape: tuple[int, int], pixel_km: float) -> float:
    """Pixels - neighbouring pairs + full blocks, of pixels that meet along their sides only."""
    pairs = sum((row, column + 1) in wet for row, column in wet) + sum(
        (row + 1, column) in wet for row, column in wet
    )
    blocks = sum(
        {(row, column + 1), (row + 1, column), (row + 1, column + 1)} <= wet for row, column in wet
    )
    return len(wet) - pairs + blocks


# Plain Python: persistence by the elder rule.

OUTSIDE: Pixel = (-1, -1)


def _elder_rule(heights: dict[Pixel, float], steps: list[Pixel]) -> Pairs:
    """Fill a landscape with water: where does every lake begin, and where does it run over?

    Of two lakes that meet, the one with the higher bottom ends. Where OUTSIDE is in the landscape,
    it is the neighbour of what has too few others. The last lake runs over at inf.
    """
    lake: dict[Pixel, Pixel] = {}

    def bottom(pixel: Pixel) -> Pixel:
        while lake[pixel] != pixel:
            lake[pixel] = lake[lake[pixel]]
            pixel = lake[pixel]
        return pixel

    pairs = [(min(heights.values()), math.inf)]
    for pixel in sorted(heights, key=heights.__getitem__):
        lake[pixel] = pixel
        for down, right in steps if pixel != OUTSIDE else []:
            beside = (pixel[0] + down, pixel[1] + right)
            if beside not in heights:
                beside = OUTSIDE
            if beside not in lake or bottom(beside) == bottom(pixel):
                continue
            elder, younger = sorted((bottom(beside), bottom(pixel)), key=heights.__getitem__)
            lake[younger] = elder
            pairs.append((heights[younger], heights[pixel]))
    return [(low, high) for low, high in pairs if low < high]


def _components(field: Float32, thresholds: Float32, settings: Settings) -> list[float]:
    """Rain, upside down, holds lakes: 8-connected."""
    depths = {pixel: -float(value) for pixel, value in np.ndenumerate(field)}
    pairs = [(-low, -high) for low, high in _elder_rule(depths, EIGHT)]
    return _count_pairs(pairs, thresholds, settings.min_persistence[0], settings.essential)


def _holes(field: Float32, thresholds: Float32, settings: Settings) -> list[float]:
    """Dry ground holds lakes, 4-connected; they run over into the outside, which is no hole."""
    heights = {pixel: float(value) for pixel, value in np.ndenumerate(field)}
    pairs = _elder_rule({OUTSIDE: -math.inf, **heights}, FOUR)
    holes = [(high, low) for low, high in pairs if low > -math.inf]
    return _count_pairs(holes, thresholds, settings.min_persistence[1])


TWINS: list[Twin] = [
    Twin("area", "numpy", ORACLES["area"]),
    Twin("perimeter", "find_contours", ORACLES["perimeter"], most_work=CONTOUR_WORK),
    Twin("perimeter_closed", "find_contours", ORACLES["perimeter_closed"], most_work=CONTOUR_WORK),
    Twin("perimeter_crofton", "scikit-image", ORACLES["perimeter_crofton"]),
    Twin("euler_4", "euler_number", ORACLES["euler_4"]),
    Twin("euler_8", "euler_number", ORACLES["euler_8"]),
    Twin("components", "GUDHI in 2-D", ORACLES["components"], knows_floors=True),
    Twin("holes", "GUDHI in 2-D", ORACLES["holes"], knows_floors=True),
    Twin("components", "CubicalComplex", _components_by_complex, knows_floors=True),
    Twin("holes", "CubicalComplex", _holes_by_complex, knows_floors=True),
    Twin("components", "labels", _by_labels(_components_of)),
    Twin("holes", "labels", _by_labels(_holes_of)),
    Twin("euler_4", "labels", _by_labels(_euler_4_of)),
    Twin("euler_8", "labels", _by_labels(_euler_8_of)),
    Twin("area", "counting pixels", _pixel_by_pixel(_area), most_work=PLAIN_WORK),
    Twin("perimeter", "segments of blocks", _pixel_by_pixel(_perimeter), most_work=PLAIN_WORK),
    Twin(
        "perimeter_closed",
        "segments of blocks",
        _pixel_by_pixel(_perimeter_closed),
        most_work=PLAIN_WORK,
    ),
    Twin(
        "perimeter_crofton",
        "counting runs",
        _pixel_by_pixel(_perimeter_crofton),
        most_work=PLAIN_WORK,
    ),
    Twin("euler_4", "counting cells", _pixel_by_pixel(_euler_4), most_work=PLAIN_WORK),
    Twin("euler_8", "counting cells", _pixel_by_pixel(_euler_8), most_work=PLAIN_WORK),
    Twin("components", "union-find", _components, knows_floors=True, most_work=PLAIN_WORK),
    Twin("holes", "union-find", _holes, knows_floors=True, most_work=PLAIN_WORK),
]
