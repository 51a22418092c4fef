"""Draw the picture of docs/borders.md: `python docs/pictures/borders.py` writes docs/images.

Patterns of 6 x 6 pixels, the contours of marching squares, and the numbers of the library.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from fields import IMAGES, Float32
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from skimage.measure import find_contours

import minkgen
from minkgen.evaluate.figures.style import DRY_COLOUR, new_figure
from minkgen.gamma.functionals import FUNCTIONALS

# x where it rains 1 mm/h, ? where a value is missing.
PATTERNS = {
    "one pixel": "......  ......  ..x...  ......  ......  ......",
    "square": "......  .xxx..  .xxx..  .xxx..  ......  ......",
    "corners touch": "......  .xx...  .xx...  ...xx.  ...xx.  ......",
    "ring of corners": "......  ..x...  .x.x..  ..x...  ......  ......",
    "missing inside": "......  .xxxx.  .x?xx.  .xxxx.  .xxxx.  ......",
    "all wet": "xxxxxx  xxxxxx  xxxxxx  xxxxxx  xxxxxx  xxxxxx",
    "half wet": "......  ......  ......  xxxxxx  xxxxxx  xxxxxx",
    "ring along the frame": "xxxxxx  x....x  x....x  x....x  x....x  xxxxxx",
    "bay at the frame": "......  .xxxx.  .x..x.  .x..x.  .x..x.  .x..x.",
    "missing at the frame": "......  .xxxx.  .x..x.  .x..x.  .xx?x.  .xx?x.",
}
COLUMNS = 5
# Okabe and Ito's blue and vermilion.
RAIN, CONTOUR = "#0072B2", "#D55E00"
MISSING = "#B5B5B5"


def field_of(pattern: str) -> Float32:
    """Return a pattern as rain rates in mm/h."""
    values = {"x": 1.0, ".": 0.0, "?": np.nan}
    return np.array([[values[sign] for sign in row] for row in pattern.split()], np.float32)


def draw_contours(axes: Axes, inside: npt.NDArray[np.bool_]) -> None:
    """Draw contours that close along the frame dashed, and those within the tile over them."""
    closed = [line - 1.0 for line in find_contours(np.pad(inside, 1).astype(float), 0.5)]
    for lines, style in ((closed, ":"), (find_contours(inside.astype(float), 0.5), "-")):
        for line in lines:
            axes.plot(line[:, 1], line[:, 0], color=CONTOUR, linestyle=style, lw=2, clip_on=False)


def draw_pattern(axes: Axes, name: str, pattern: str) -> None:
    """Draw a pattern with its contours, and its γ below."""
    field = field_of(pattern)
    height, width = field.shape
    axes.set(xlim=(-1.0, width), ylim=(height, -1.0), aspect="equal", xticks=[], yticks=[])
    axes.set_frame_on(False)
    for (row, column), value in np.ndenumerate(field):
        colour = MISSING if np.isnan(value) else RAIN if value >= 1 else DRY_COLOUR
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fc=colour, ec="#FFFFFF", lw=0.8))
    frame = Rectangle((-0.5, -0.5), width, height, fc="none", ec="#000000", lw=1.2)
    axes.add_patch(frame)
    draw_contours(axes, field >= 1)
    gamma = minkgen.gamma_matrix(field, [1.0], pixel_km=1.0)[:, 0]
    axes.set_title(name, fontsize=10, weight="bold")
    for line, (functional, value) in enumerate(zip(FUNCTIONALS, gamma, strict=True)):
        text = f"{functional.replace('_', ' ')}", f"{round(float(value), 2) + 0.0:g}"
        for place, column in zip(text, (0.1, 0.92), strict=True):
            axes.text(
                column,
                -0.03 - 0.085 * line,
                place.replace("-", "−"),
                transform=axes.transAxes,
                ha="left" if column < 0.5 else "right",
                va="top",
                fontsize=8.5,
            )


def draw_patterns() -> Figure:
    """Draw all patterns."""
    figure = new_figure(10.0, 7.8, "Pixels of 1 km, threshold 1 mm/h; areas in km², lengths in km")
    figure.set_layout_engine("none")
    for number, (name, pattern) in enumerate(PATTERNS.items()):
        row, column = divmod(number, COLUMNS)
        axes = figure.add_axes((0.005 + 0.2 * column, 0.735 - 0.455 * row, 0.19, 0.22))
        draw_pattern(axes, name, pattern)
    handles = [
        Patch(facecolor=RAIN, label="rain"),
        Patch(facecolor=DRY_COLOUR, label="dry"),
        Patch(facecolor=MISSING, label="missing: counts as dry"),
        Line2D([], [], color=CONTOUR, lw=2, label="perimeter"),
        Line2D([], [], color=CONTOUR, lw=2, ls=":", label="what perimeter_closed adds"),
    ]
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.0, 0.02),
        ncols=5,
        fontsize=8.5,
        frameon=False,
    )
    return figure


if __name__ == "__main__":
    draw_patterns().savefig(IMAGES / "borders-patterns.png")
