"""Fields that γ cannot tell apart: the picture and the table of docs/blind-spots.md.

    python docs/pictures/blind_spots.py

Every copy of the tiles has the very γ of the truth, or the script fails. What other scores say of
the copies is written into the page, between its two marks.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from fields import IMAGES, NOTE, PIXEL_KM, Float32, tile
from matplotlib.figure import Figure
from scipy import ndimage

import minkgen
from minkgen.evaluate.figures.style import draw_field, new_figure
from minkgen.evaluate.superres.statistics import FieldStatistics

DOCS = Path(__file__).parent.parent
sys.path.append(str(DOCS))
from metrics import (  # noqa: E402 - the page on scores has the rain and the setting
    THRESHOLDS,
    cell,
    markdown,
    scores_of,
    statistics_of,
    synthetic_days,
)

PAGE = DOCS / "blind-spots.md"
MARKS = "<!-- written by docs/pictures/blind_spots.py -->\n", "<!-- end -->\n"
SEED, DAYS, TRIES, LENGTH = 0, 4, 300, 24
# Path in `scalar_scores`, and heading.
ROWS = (
    ("loss/counting", "L_M"),
    ("mae", "MAE, mm/h"),
    ("fss/1/5", "FSS, 1 mm/h, 5 pixels"),
    ("sal/location/mean", "SAL L"),
    ("anisotropy/relative", "anisotropy"),
    ("rapsd/log_ratio", "RAPSD, mean abs. log ratio"),
    ("mass_bias", "mass bias"),
    ("exceedance_ratio/1", "exceedance ratio, 1 mm/h"),
    ("peak_ratio", "peak ratio"),
    ("return_level/1e-05/bias", "return-level bias, 1e-5"),
)
# Where a score says of a copy that it is the truth.
PERFECT = {"fss/1/5": 1.0, "mass_bias": 1.0, "anisotropy/relative": 1.0}
PERFECT |= {"exceedance_ratio/1": 1.0, "peak_ratio": 1.0}
TOLERANCE = 0.01

Bool = npt.NDArray[np.bool_]


def turned(rain: Float32) -> Float32:
    """Turn a tile upside down."""
    return rain[::-1, ::-1].copy()


def rearranged(rain: Float32) -> Float32:
    """Put objects elsewhere at random, the largest first, with a dry pixel around each.

    Objects that reach the frame stay; a tile in which one finds no place stays as it is.
    """
    random = np.random.default_rng(SEED)
    labels, _ = ndimage.label(rain > 0, np.ones((3, 3)))
    patches, field = [], rain.copy()
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[rows, columns] == number
        if min(rows.start, columns.start) > 0 and max(rows.stop, columns.stop) < len(rain):
            patches.append(np.where(inside, rain[rows, columns], np.float32(0.0)))
            field[rows, columns][inside] = 0.0
    for patch in sorted(patches, key=np.size, reverse=True):
        height, width = patch.shape
        reach = ndimage.binary_dilation(np.pad(patch > 0, 1), np.ones((3, 3)))
        for _ in range(TRIES):
            row, column = random.integers(0, (len(rain) - height - 1, len(rain) - width - 1))
            around = field[row : row + height + 2, column : column + width + 2]
            if not (around > 0)[reach].any():
                around[1:-1, 1:-1] += patch
                break
        else:
            return rain
    return field


def between(rain: Float32) -> Float32:
    """Lower every rate to the threshold below it."""
    thresholds = np.array([0.0, *THRESHOLDS], np.float32)
    lowered: Float32 = thresholds[np.searchsorted(thresholds, rain, side="right") - 1]
    return lowered


def above(rain: Float32) -> Float32:
    """Make what lies above the highest threshold three times as high."""
    return np.where(rain >= np.float32(THRESHOLDS[-1]), np.float32(3.0) * rain, rain)


COPIES: dict[str, Callable[[Float32], Float32]] = {
    "turned": turned,
    "rearranged": rearranged,
    "between": between,
    "above": above,
}


def copies_of(tiles: Float32) -> dict[str, Float32]:
    """Return the copies of tiles (B, H, W), all of the same γ."""
    truth = minkgen.gamma_matrix(tiles, THRESHOLDS, pixel_km=PIXEL_KM)
    copies = {name: np.stack([change(each) for each in tiles]) for name, change in COPIES.items()}
    for name, copy in copies.items():
        if not np.array_equal(minkgen.gamma_matrix(copy, THRESHOLDS, pixel_km=PIXEL_KM), truth):
            raise RuntimeError(f"γ tells the copy from the truth: {name}")
    return copies


def scores_by_copy() -> tuple[dict[str, dict[str, Any]], int, dict[str, float]]:
    """Return the scalar scores of every copy, the number of tiles, and the share that moved."""
    statistics: dict[str, dict[str, FieldStatistics]] = {name: {} for name in COPIES}
    count, moved = 0, dict.fromkeys(COPIES, 0)
    for number, truth in enumerate(synthetic_days(DAYS)):
        count += len(truth)
        for name, copy in copies_of(truth).items():
            statistics[name][f"{number}"] = statistics_of(truth, copy)
            moved[name] += int((copy != truth).any(axis=(1, 2)).sum())
    shares = {name: each / count for name, each in moved.items()}
    return {name: scores_of(by_day) for name, by_day in statistics.items()}, count, shares


def table(scores: dict[str, dict[str, Any]]) -> str:
    """Return scores by row and copies by column; in bold what sees a copy."""
    return markdown(
        ("score", *scores),
        (
            (
                heading,
                *(
                    cell(
                        of_copy[path],
                        0.0,
                        bold=abs(of_copy[path] - PERFECT.get(path, 0.0)) > TOLERANCE,
                    )
                    for of_copy in scores.values()
                ),
            )
            for path, heading in ROWS
        ),
    )


def passage() -> str:
    """Return what stands between the marks of the page."""
    scores, count, shares = scores_by_copy()
    told = f"{count} tiles with rain of {DAYS} days of synthetic rain (seed {SEED}); "
    told += "of the tiles differ from the truth: "
    told += ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    return f"{told}.\n\n{table(scores)}\n"


def draw_copies() -> Figure:
    """Draw one tile and its copies, with how far they are from the truth pixel by pixel."""
    truth = tile(0, 2)
    copies = {name: copy[0] for name, copy in copies_of(truth[None]).items()}
    figure = new_figure(12.0, 3.2, NOTE)
    panels = np.asarray(figure.subplots(1, 1 + len(copies)))
    for axes, (name, field) in zip(panels, ({"truth": truth} | copies).items(), strict=True):
        image = draw_field(axes, field, PIXEL_KM)
        axes.set(xticks=[], yticks=[], ylabel="")
        axes.set_title(name, fontsize=11, weight="bold")
        text = f"mean {field.mean():.2f}, highest {field.max():.0f} mm/h"
        axes.set_xlabel(f"{text}\nMAE {np.abs(field - truth).mean():.2f} mm/h", fontsize=9)
    bar = figure.colorbar(image, ax=panels, shrink=0.75, extend="max")
    bar.set_label("rain rate [mm/h]")
    return figure


def filaments(*directions: tuple[int, int]) -> Float32:
    """Return filaments of 3 mm/h, two pixels thick, in cells of their own, by turns."""
    field = np.zeros((128, 128), np.float32)
    steps = np.arange(-LENGTH // 2, LENGTH // 2)
    cells = itertools.product(range(16, 128, 32), repeat=2)
    for (row, column), (down, right) in zip(cells, itertools.cycle(directions), strict=False):
        for side in (0, 1):
            # A second line below the first, or beside one that goes straight down.
            rows, columns = row + down * steps, column + right * steps
            field[rows + side * right, columns + side * (1 - right)] = 3.0
    return field


def draw_filaments() -> Figure:
    """Draw filaments in three ways, with what L_M and the anisotropy say of them."""
    along, down, oblique = (0, 1), (1, 0), (1, 1)
    first = filaments(along, down, down, along, down)
    fields = {
        "rows and columns": first,
        "rows": filaments(along),
        "oblique": filaments(oblique),
    }
    figure = new_figure(9.0, 3.9, "Made-up filaments, pixels of 2 km")
    for axes, (name, field) in zip(np.asarray(figure.subplots(1, 3)), fields.items(), strict=True):
        scores = scores_of({"0": statistics_of(first[None], field[None])})
        draw_field(axes, field, PIXEL_KM)
        axes.set(xticks=[], yticks=[], ylabel="")
        axes.set_title(name, fontsize=11, weight="bold")
        perimeter, crofton = minkgen.gamma_matrix(
            field, [1.0], pixel_km=PIXEL_KM, functionals=("perimeter", "perimeter_crofton")
        )[:, 0]
        axes.set_xlabel(
            f"L_M {scores['loss/counting']:.2f},  anisotropy {scores['anisotropy/relative']:.2g}"
            f"\nperimeter {perimeter:,.0f} km, Crofton {crofton:,.0f} km",
            fontsize=9,
        )
    return figure


def main() -> None:
    """Draw the pictures and write the table into the page."""
    draw_copies().savefig(IMAGES / "blind-spots-copies.png")
    draw_filaments().savefig(IMAGES / "blind-spots-filaments.png")
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    PAGE.write_text(f"{before}{MARKS[0]}{passage()}{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
