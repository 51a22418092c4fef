"""Areas, lengths and Euler characteristics from the 2x2 blocks of the tile padded with dry pixels.

All of it is linear in the numbers of blocks of each shape: what holds for a set holds for the
change that one pixel makes.
"""

from __future__ import annotations

import numpy as np

from minkgen.gamma.functionals import FUNCTIONALS
from minkgen.gamma.kernel.compiled import Float32, Int64, compiled
from minkgen.gamma.neighbourhoods import CODES, Neighbourhoods

__all__ = ["PERIMETER", "tabulate_weights", "write_geometry"]

AREA = FUNCTIONALS.index("area")
PERIMETER = FUNCTIONALS.index("perimeter")
PERIMETER_CLOSED = FUNCTIONALS.index("perimeter_closed")
PERIMETER_CROFTON = FUNCTIONALS.index("perimeter_crofton")
EULER_4 = FUNCTIONALS.index("euler_4")
EULER_8 = FUNCTIONALS.index("euler_8")


@compiled
def _contour_length(one: int, adjacent: int, diagonal: int, three: int) -> float:
    """Length in pixels of the marching-squares contour at level 0.5 of the binary set."""
    return float((one + three + 2 * diagonal) * np.sqrt(0.5) + adjacent)


@compiled
def _crofton_length(one: int, adjacent: int, diagonal: int, three: int) -> float:
    """Cauchy-Crofton estimate in pixels of blocks of the padded tile, in four directions.

    Every run of set pixels along a direction has two ends. A neighbouring pair along rows or
    columns lies in two blocks, one along a diagonal in one.
    """
    straight_runs = (one + adjacent + 2 * diagonal + three) / 2
    oblique_runs = (one + 2 * adjacent + three) / 2
    return float((straight_runs + oblique_runs / np.sqrt(2.0)) * (np.pi / 4.0))


@compiled
def write_geometry(shapes: Int64, outside: Int64, pixel_km: float, out: Float32) -> None:
    """Write the functionals that blocks decide into out (8,).

    Parameters
    ----------
    shapes, outside : ndarray of int64, shape (5,)
        Number of blocks of each of `BLOCK_SHAPES`: all, and those that reach out of the tile.
    """
    one, adjacent, diagonal, three, four = shapes[0], shapes[1], shapes[2], shapes[3], shapes[4]
    # Each pixel lies in four blocks.
    pixels = (one + 2 * (adjacent + diagonal) + 3 * three + 4 * four) / 4
    out[AREA] = pixels * (pixel_km * pixel_km)
    out[PERIMETER] = pixel_km * _contour_length(
        one - outside[0], adjacent - outside[1], diagonal - outside[2], three - outside[3]
    )
    out[PERIMETER_CLOSED] = pixel_km * _contour_length(one, adjacent, diagonal, three)
    out[PERIMETER_CROFTON] = pixel_km * _crofton_length(one, adjacent, diagonal, three)
    # Gray's formulas.
    out[EULER_4] = (one - three + 2 * diagonal) / 4
    out[EULER_8] = (one - three - 2 * diagonal) / 4


@compiled
def tabulate_weights(pixel_km: float, tables: Neighbourhoods) -> tuple[Float32, Float32]:
    """Tabulate what a pixel adds: by functional and code, and `perimeter` by sides and code."""
    weights = np.zeros((len(FUNCTIONALS), CODES), np.float32)
    perimeter = np.zeros((16, CODES), np.float32)
    of_code = np.zeros(len(FUNCTIONALS), np.float32)
    for code in range(CODES):
        changes = tables.class_changes[tables.classes[code]]
        for sides in range(16):
            write_geometry(changes, tables.outside_changes[code, sides], pixel_km, of_code)
            perimeter[sides, code] = of_code[PERIMETER]
        weights[:, code] = of_code
        weights[PERIMETER, code] = perimeter[0, code]
    return weights, perimeter
