"""Draw the pictures of docs/kernel.md: `python docs/pictures/kernel.py` writes docs/images.

The fields are made up. All that is drawn on them is computed: walks and pairs by `landscape`, which
does plainly what the kernel does and must find the same pairs; weights and sums by the library.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from landscape import BLOCKED_DOWNHILL, Landscape, Pixel, Walk
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke

import minkgen
from minkgen.gamma.functionals import UNITS
from minkgen.gamma.neighbourhoods import BLOCK_SHAPES, DIRECTIONS, NEIGHBOURHOODS

IMAGES = Path(__file__).parent.parent / "images"
DPI = 100

Float32 = npt.NDArray[np.float32]

# Okabe and Ito's vermilion and blue; shapes and words say the same.
HIGHER, LOWER = "#D55E00", "#0072B2"
HIGHER_PALE, LOWER_PALE = "#F3C4A3", "#A9D0E8"
DRY, BEYOND = "#E6F0F7", "#C5DCEA"
# Light enough for black figures in every pixel.
RAIN = LinearSegmentedColormap.from_list("rain", ["#FFFFFF", "#BDBDBD"])
CHANGE = LinearSegmentedColormap.from_list("change", [LOWER_PALE, "#FFFFFF", HIGHER_PALE])

# Two hills joined by a low bridge, and one at the frame; a ring around two hollows, and one around
# one.
FIELD = np.array(
    [
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 2, 3, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 4, 6, 8, 7, 4, 0, 0, 0, 2, 3, 2, 0, 0, 0],
        [0, 3, 7, 5, 3, 6, 9, 3, 0, 1, 4, 6, 3, 1, 0, 0],
        [0, 4, 9, 2, 0, 4, 7, 5, 2, 3, 7, 11, 6, 2, 0, 0],
        [0, 5, 12, 4, 5, 3, 8, 4, 1, 4, 9, 8, 5, 3, 0, 0],
        [0, 3, 8, 6, 2, 1, 7, 2, 0, 2, 5, 7, 3, 1, 0, 0],
        [0, 1, 4, 10, 6, 7, 5, 0, 0, 1, 3, 4, 0, 0, 0, 0],
        [0, 0, 2, 3, 4, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 6, 4, 2],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 6, 1, 6, 5],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 5, 3, 4, 7],
    ],
    np.float32,
)


class Mark(NamedTuple):
    """How a kind of pixel is marked."""

    marker: str
    size: float
    colour: str
    label: str

    def legend(self) -> Line2D:
        """Return its entry in the legend."""
        return Line2D([], [], label=self.label, markersize=0.7 * self.size, ls="", **self.style())

    def style(self) -> dict[str, Any]:
        """Return what markers in the picture and in the legend share."""
        return {"marker": self.marker, "mfc": "none", "mec": self.colour, "mew": 1.8}


MAXIMUM = Mark("^", 20, HIGHER, "maximum")
MINIMUM = Mark("v", 20, LOWER, "minimum")
JOIN = Mark("D", 15, "#000000", "saddle that joins components")
RING = Mark("o", 19, "#000000", "saddle that closes a ring")

BACKGROUND = Patch(facecolor=DRY, edgecolor="#8AA9BC", label="background: dry, reaches the frame")


def signed(value: float) -> str:
    """Write a number with at most two decimals, and a true minus sign."""
    return f"{round(value, 2) + 0.0:g}".replace("-", "−")


def draw_values(
    axes: Axes, field: Float32, colours: npt.NDArray[np.float64], font_size: float
) -> None:
    """Draw pixels with their values, row 0 on top."""
    height, width = field.shape
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal")
    axes.set_axis_off()
    for (row, column), value in np.ndenumerate(field):
        axes.add_patch(
            Rectangle(
                (column - 0.5, row - 0.5), 1, 1, fc=colours[row, column], ec="#FFFFFF", lw=0.8
            )
        )
        axes.text(
            column,
            row,
            signed(float(value)),
            ha="center",
            va="center",
            fontsize=font_size,
            zorder=5,
        )


def draw_mark(axes: Axes, pixel: Pixel, mark: Mark, name: str) -> None:
    """Draw a mark around a value, and its name in the corner."""
    row, column = pixel
    axes.plot(column, row, markersize=mark.size, zorder=4, clip_on=False, **mark.style())
    text = axes.text(
        column - 0.49, row - 0.47, name, va="top", fontsize=7.5, color=mark.colour, zorder=6
    )
    text.set(weight="bold", path_effects=[withStroke(linewidth=2, foreground="#FFFFFF")])


def draw_walks(axes: Axes, walks: Sequence[Walk], colour: str) -> None:
    """Draw walks as bands beneath the values, with an arrow for every step."""
    for start, end in {steps for walk in walks for steps in itertools.pairwise(walk)}:
        rows, columns = (start[0], end[0]), (start[1], end[1])
        axes.plot(columns, rows, color=colour, lw=7, alpha=0.3, solid_capstyle="round", zorder=2)
        turn = np.degrees(np.arctan2(start[0] - end[0], end[1] - start[1])) - 90
        middle = np.mean(columns), np.mean(rows)
        axes.plot(*middle, marker=(3, 0, turn), markersize=7, color=colour, zorder=3)


def walk_legend(colour: str, label: str) -> Line2D:
    """Return the entry of walks in the legend."""
    return Line2D([], [], color=colour, lw=7, alpha=0.4, label=label)


def draw_landscape(
    land: Landscape, title: str, rows: Sequence[Sequence[str]], handles: Sequence[Line2D | Patch]
) -> tuple[Figure, Axes]:
    """Draw a field in its frame, what is outside around it, and a table beside it."""
    figure = Figure(figsize=(9.0, 6.0), dpi=DPI)
    figure.text(0.015, 0.96, title, fontsize=13, weight="bold", va="center")
    figure.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0.005, 0), ncols=3, frameon=False
    )
    axes = figure.add_axes((0.01, 0.13, 0.66, 0.79))
    colours = RAIN(land.field / land.field.max())
    colours[land.background] = to_rgba(DRY)
    draw_values(axes, land.field, colours, font_size=9)
    height, width = land.field.shape
    axes.set(xlim=(-1.5, width + 0.5), ylim=(height + 0.5, -1.5))
    around = Rectangle((-1.5, -1.5), width + 2, height + 2, fc=BEYOND)
    axes.add_patch(around).set_zorder(0)
    frame = Rectangle((-0.5, -0.5), width, height, fc="none", ec="#000000", lw=1.4)
    axes.add_patch(frame).set_zorder(1.5)
    axes.text(-0.5, -1, "outside (node 0)", va="center", color=LOWER, weight="bold")

    table = figure.add_axes((0.7, 0.13, 0.29, 0.79))
    table.set(xlim=(0, 1), ylim=(13, -1))
    table.set_axis_off()
    for row, texts in enumerate([("in this order", "(birth, death)"), *rows]):
        for column, text in zip((0, 0.62), texts, strict=True):
            table.text(column, row - 0.6, text, weight="normal" if row else "bold", va="center")
    return figure, axes


def names_of(land: Landscape) -> dict[Pixel, str]:
    """Name maxima A, B, ..., minima a, b, ..., and saddles s1, s2, ..., as they are sorted."""
    names = dict(zip(land.maxima(), string.ascii_uppercase, strict=False))
    names |= zip(land.minima(), string.ascii_lowercase, strict=False)
    return names | {saddle: f"s{i}" for i, saddle in enumerate(land.saddles(), 1)}


def pair_text(birth: Pixel, death: Pixel) -> str:
    """Write birth and death of a pair."""
    dropped = "" if FIELD[birth] > FIELD[death] else "  dropped"
    return f"({FIELD[birth]:g}, {FIELD[death]:g}){dropped}"


def draw_components() -> Figure:
    """Draw how walks uphill pair maxima with saddles."""
    land = Landscape(FIELD)
    land.check_pairs()
    names = names_of(land)
    pairs, rings = land.pair_components()
    events = [(saddle, f"{names[saddle]} closes a ring", "second pass") for saddle in rings]
    events += [
        (saddle, f"{names[maximum]} ends at {names[saddle]}", pair_text(maximum, saddle))
        for maximum, saddle in pairs
    ]
    rows = [texts for _, *texts in sorted(events, key=lambda event: -land.place(event[0]))]
    ended = {pair.extremum for pair in pairs}
    essential, *survivors = (pixel for pixel in land.maxima() if pixel not in ended)
    rows += [
        [f"{names[pixel]} ends in dry ground", f"({FIELD[pixel]:g}, 0)"] for pixel in survivors
    ]
    rows += [[f"{names[essential]} never ends", f"({FIELD[essential]:g}, −∞)"]]
    figure, axes = draw_landscape(
        land,
        "Components: uphill from every saddle, the highest first",
        rows,
        [
            MAXIMUM.legend(),
            walk_legend(HIGHER, "walk uphill"),
            JOIN.legend(),
            RING.legend(),
            BACKGROUND,
        ],
    )
    walks = [
        land.walk_up(saddle, k) for saddle in land.saddles() for k in range(land.groups(saddle))
    ]
    draw_walks(axes, walks, HIGHER)
    for pixel in land.maxima():
        draw_mark(axes, pixel, MAXIMUM, names[pixel])
    for pixel in land.saddles():
        draw_mark(axes, pixel, RING if pixel in rings else JOIN, names[pixel])
    return figure


def draw_holes() -> Figure:
    """Draw how walks downhill pair saddles that close rings with minima."""
    land = Landscape(FIELD)
    land.check_pairs()
    names = names_of(land)
    rings = land.pair_components()[1]
    rows = [
        (f"{names[minimum]} ends at {names[saddle]}", pair_text(saddle, minimum))
        for minimum, saddle in land.pair_holes()
    ]
    figure, axes = draw_landscape(
        land,
        "Holes: downhill from saddles that close rings, the lowest first",
        [*rows, ("outside never ends", "no hole")],
        [MINIMUM.legend(), walk_legend(LOWER, "walk downhill"), RING.legend(), BACKGROUND],
    )
    walks = [land.walk_down(saddle, k) for saddle in rings for k in range(land.groups(saddle))]
    draw_walks(axes, walks, LOWER)
    for pixel in land.minima():
        draw_mark(axes, pixel, MINIMUM, names[pixel])
    for pixel in rings:
        draw_mark(axes, pixel, RING, names[pixel])
    return figure


# Neighbours around a pixel: + is higher, - is lower.
EXAMPLES = {
    "maximum": ("---", "-.-", "---"),
    "regular": ("++-", "+.-", "+--"),
    "regular: a lower\ncorner is no gap": ("++-", "-.+", "--+"),
    "saddle, 2 groups": ("++-", "-.-", "-++"),
    "saddle, 4 groups": ("+-+", "-.-", "+-+"),
    "minimum": ("++-", "+.+", "+++"),
}


def draw_neighbourhoods() -> Figure:
    """Draw a neighbourhood of every kind, with a way into each of its groups."""
    figure = Figure(figsize=(9.0, 3.2), dpi=DPI)
    figure.text(0.015, 0.92, "Neighbours of a pixel, by kind", fontsize=13, weight="bold")
    figure.legend(
        handles=[
            Patch(facecolor=HIGHER_PALE, label="+  higher: in the set"),
            Patch(facecolor=LOWER_PALE, label="−  lower: not yet"),
            Line2D([], [], marker=">", color=HIGHER, label="into a group, uphill"),
            Line2D([], [], marker=">", color=LOWER, label="into a group, downhill"),
        ],
        loc="lower left",
        bbox_to_anchor=(0.005, -0.01),
        ncols=4,
        frameon=False,
        columnspacing=1.5,
        handletextpad=0.6,
    )
    for place, (title, rows) in enumerate(EXAMPLES.items()):
        axes = figure.add_axes((0.01 + place * 0.165, 0.33, 0.155, 0.43))
        draw_neighbourhood(axes, rows)
        axes.set_title(title, fontsize=9.5, pad=4)
    return figure


def draw_neighbourhood(axes: Axes, rows: tuple[str, ...]) -> None:
    """Draw a pixel, its neighbours and what the tables say of their code."""
    axes.set(xlim=(-1.5, 1.5), ylim=(1.5, -1.5), aspect="equal")
    axes.set_axis_off()
    colours = {"+": HIGHER_PALE, "-": LOWER_PALE, ".": "#FFFFFF"}
    for row, column in itertools.product((-1, 0, 1), repeat=2):
        sign = rows[row + 1][column + 1]
        box = Rectangle((column - 0.5, row - 0.5), 1, 1, fc=colours[sign], ec="#FFFFFF", lw=1.5)
        axes.add_patch(box)
        name = {"-": "−", ".": ""}.get(sign, sign)
        axes.text(1.32 * column, 1.32 * row, name, ha="center", va="center", fontsize=9)
    higher = [rows[row + 1][column + 1] == "+" for row, column in DIRECTIONS]
    code = sum(1 << k for k in range(8) if higher[k])
    groups = int(NEIGHBOURHOODS.groups[code])
    ways_down = 0 if code & BLOCKED_DOWNHILL == BLOCKED_DOWNHILL else max(groups, 1)
    for table, ways, colour in (
        (NEIGHBOURHOODS.ascents, groups, HIGHER),
        (NEIGHBOURHOODS.descents, ways_down, LOWER),
    ):
        for direction in table[code, :ways]:
            row, column = DIRECTIONS[direction]
            axes.annotate(
                "",
                (0.95 * column, 0.95 * row),
                (0.2 * column, 0.2 * row),
                arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 2, "mutation_scale": 13},
            )
    axes.plot(0, 0, "o", color="#000000", markersize=5)
    changes = dict(
        zip(BLOCK_SHAPES, NEIGHBOURHOODS.class_changes[NEIGHBOURHOODS.classes[code]], strict=True)
    )
    euler_8 = (changes["one"] - changes["three"] - 2 * changes["diagonal"]) // 4
    change = f"+{euler_8}" if euler_8 > 0 else signed(euler_8)
    text = f"code {code}\n{groups} up, {ways_down} down\nEuler number {change}"
    axes.text(0, 1.65, text, ha="center", va="top", fontsize=9)


# A ring with a hollow, and rain at the frame.
SMALL_FIELD = np.array(
    [
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 5, 6, 4, 0, 0, 2, 3],
        [0, 7, 1, 6, 0, 1, 5, 8],
        [0, 4, 6, 3, 2, 1, 4, 6],
        [0, 0, 2, 1, 0, 0, 1, 2],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ],
    np.float32,
)
SMALL_THRESHOLD = 3.0
PIXEL_KM = 1.0
WEIGHED = ["area", "perimeter", "components", "holes", "euler_8"]


def draw_weights() -> Figure:
    """Draw a field, its weight maps, and their sums over an excursion set."""
    wet = SMALL_FIELD >= SMALL_THRESHOLD
    weights = minkgen.weight_maps(SMALL_FIELD, pixel_km=PIXEL_KM, functionals=WEIGHED)
    gamma = minkgen.gamma_matrix(
        SMALL_FIELD, [SMALL_THRESHOLD], pixel_km=PIXEL_KM, functionals=WEIGHED
    )[:, 0]
    sums = weights[:, wet].sum(axis=-1)
    if not np.allclose(sums, gamma):
        raise RuntimeError("the weights of the picture do not add up to γ")
    figure = Figure(figsize=(9.0, 6.0), dpi=DPI)
    title = (
        f"Weight maps: the sum over x ≥ {SMALL_THRESHOLD:g} (thick line) is γ({SMALL_THRESHOLD:g})"
    )
    figure.text(0.015, 0.955, title, fontsize=13, weight="bold", va="center")
    panels = [
        (
            "rain rate, mm/h",
            f"pixels of {PIXEL_KM:g} km",
            SMALL_FIELD,
            RAIN(SMALL_FIELD / SMALL_FIELD.max()),
        )
    ]
    for name, weight, total, expected in zip(WEIGHED, weights, sums, gamma, strict=True):
        unit = "" if UNITS[name] == "1" else f", {UNITS[name]}"
        colours = CHANGE(0.5 + 0.5 * weight / np.abs(weight).max())
        panels.append((f"{name}{unit}", f"sum {total:.4g},  γ {expected:.4g}", weight, colours))
    for place, (name, note, values, colours) in enumerate(panels):
        row, column = divmod(place, 3)
        axes = figure.add_axes((0.012 + 0.33 * column, 0.5 - 0.45 * row, 0.316, 0.36))
        draw_values(axes, values, colours, font_size=8)
        draw_border(axes, wet)
        axes.set_title(name, fontsize=10.5, weight="bold", pad=5)
        axes.text(0.5, -0.03, note, fontsize=10, ha="center", va="top", transform=axes.transAxes)
    return figure


def draw_border(axes: Axes, wet: npt.NDArray[np.bool_]) -> None:
    """Draw the sides of pixels between rain and dry ground."""
    padded = np.pad(wet, 1)
    for row, column in np.argwhere(padded[1:] != padded[:-1]):
        axes.plot(
            [column - 1.5, column - 0.5], [row - 0.5] * 2, color="#000000", lw=2, clip_on=False
        )
    for row, column in np.argwhere(padded[:, 1:] != padded[:, :-1]):
        axes.plot([column - 0.5] * 2, [row - 1.5, row - 0.5], color="#000000", lw=2, clip_on=False)


def main() -> None:
    """Write all pictures."""
    pictures = {
        "neighbourhoods": draw_neighbourhoods(),
        "components": draw_components(),
        "holes": draw_holes(),
        "weights": draw_weights(),
    }
    for name, figure in pictures.items():
        figure.savefig(IMAGES / f"kernel-{name}.png")


if __name__ == "__main__":
    main()
