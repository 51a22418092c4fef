"""Draw the pictures of docs/gamma.md: `python docs/pictures/gamma.py` writes docs/images.

All curves and counts are those of the library. What is coloured as a hole is found by labelling dry
ground, and must be as many holes as the library counts.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from fields import IMAGES, NOTE, PIXEL_KM, Float32, tile
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import ndimage

import minkgen
from minkgen.evaluate.figures.style import (
    DRY_COLOUR,
    TRUE_LINE,
    axis_label,
    draw_field,
    new_figure,
)

# In mm/h: the excursion sets that are drawn, and the grid of the curves.
DRAWN = (0.1, 1.0, 5.0, 20.0)
GRID = np.geomspace(0.1, 45.0, 60).astype(np.float32)
# Okabe and Ito's blue, orange and vermilion.
RAIN, HOLE, MARK = "#0072B2", "#E69F00", "#D55E00"
# The row of the curves: functionals of one panel, with marker-free lines told apart by dashes.
PANELS = (
    ("area",),
    ("perimeter", "perimeter_closed", "perimeter_crofton"),
    ("components", "holes"),
    ("euler_8", "euler_4"),
)
LINES = (
    {"color": TRUE_LINE["color"], "linestyle": "-"},
    {"color": RAIN, "linestyle": "--"},
    {"color": MARK, "linestyle": ":"},
)


def holes_of(inside: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.bool_], int]:
    """Return the pixels of the holes of a set, and how many holes there are."""
    labels, count = ndimage.label(~inside)
    frame = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    enclosed = ~inside & ~np.isin(labels, frame)
    return enclosed, count - np.count_nonzero(frame)


def draw_set(axes: Axes, rain: Float32, threshold: float) -> None:
    """Draw one excursion set with its holes, and write its numbers below."""
    inside = rain >= np.float32(threshold)
    enclosed, holes = holes_of(inside)
    names = ("area", "perimeter", "components", "holes")
    area, perimeter, components, counted = minkgen.gamma_matrix(
        rain, [threshold], pixel_km=PIXEL_KM, functionals=names
    )[:, 0]
    if holes != counted:
        raise RuntimeError("the holes of the picture are not those of the library")
    axes.imshow(
        np.where(inside, 1, np.where(enclosed, 2, 0)),
        cmap=ListedColormap([DRY_COLOUR, RAIN, HOLE]),
        vmin=0,
        vmax=2,
        interpolation="nearest",
    )
    axes.set(xticks=[], yticks=[])
    axes.set_title(f"u = {threshold:g} mm/h", fontsize=10, color=MARK)
    text = f"{area:,.0f} km²\n{perimeter:,.0f} km\n{components:.0f} components\n{counted:.0f} holes"
    axes.set_xlabel(text, fontsize=9)


def draw_curves(axes: Axes, names: tuple[str, ...], gamma: dict[str, Float32]) -> None:
    """Draw functionals over thresholds, and mark the sets that are drawn above."""
    for name, line in zip(names, LINES, strict=False):
        axes.plot(GRID, gamma[name], label=name, linewidth=1.6, **line)
    for threshold in DRAWN:
        axes.axvline(threshold, color=MARK, linewidth=0.7, alpha=0.6)
    axes.set_xscale("log")
    axes.set_xlabel("threshold u [mm/h]", fontsize=9)
    axes.set_title(axis_label(names[0]).replace("euler 8", "Euler number"), fontsize=10)
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, alpha=0.3)
    if len(names) > 1:
        axes.legend(fontsize=7.5)


def draw_excursion_sets() -> Figure:
    """Draw a tile, its excursion sets at four thresholds, and its γ curves."""
    rain = tile(3, 0)
    names = tuple(name for panel in PANELS for name in panel)
    rows = minkgen.gamma_matrix(rain, GRID, pixel_km=PIXEL_KM, functionals=names)
    gamma = dict(zip(names, rows, strict=True))
    figure = new_figure(10.0, 5.6, NOTE)
    above, below = np.asarray(figure.subfigures(2, 1, height_ratios=(1.2, 1.0)))
    field, *panels = np.asarray(above.subplots(1, 1 + len(DRAWN)))
    image = draw_field(field, rain, PIXEL_KM)
    field.set(xticks=[], yticks=[])
    field.set_title("the tile, 256 km wide", fontsize=10)
    # Below the tile, where the others have their numbers, so that all panels are of one size.
    field.set(xlabel="\n\n\n", ylabel="")
    bar = above.colorbar(
        image, cax=field.inset_axes((0.0, -0.12, 1.0, 0.06)), orientation="horizontal"
    )
    bar.set_label("rain rate [mm/h]", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    for panel, threshold in zip(panels, DRAWN, strict=True):
        draw_set(panel, rain, threshold)
    for panel, of_panel in zip(np.asarray(below.subplots(1, len(PANELS))), PANELS, strict=True):
        draw_curves(panel, of_panel, gamma)
    return figure


# A cut through two strong cells, one of them with a shoulder; mm/h, one value a pixel.
CUT = np.array(
    [
        0,
        0.2,
        0.8,
        2,
        4.5,
        7,
        8,
        7.4,
        6.6,
        7.2,
        6.8,
        5,
        3,
        1.6,
        1,
        1.4,
        2.6,
        4.4,
        6,
        5,
        3,
        1.2,
        0.4,
        0,
    ],
    np.float32,
)
FLOOR = 1.0


def draw_persistence() -> Figure:
    """Draw births, deaths and lifetimes along a cut, and what the floor leaves of the count."""
    pairs = minkgen.persistence_pairs(CUT[None])
    figure = new_figure(10.0, 3.9, "Made-up rain: one row of pixels")
    left, right = np.asarray(figure.subplots(1, 2, width_ratios=(1.7, 1.0)))
    pixels = np.arange(CUT.size)
    left.fill_between(pixels, CUT, color=DRY_COLOUR, step="mid")
    left.step(pixels, CUT, where="mid", color=TRUE_LINE["color"], linewidth=1.6)
    for birth, death, place in zip(pairs.birth, pairs.death, pairs.birth_pixel, strict=True):
        never = bool(np.isneginf(death))
        end = 0.0 if never else float(death)
        lives = float(birth) - end
        kept = never or lives > FLOOR
        left.plot([place, place], [end, birth], color=RAIN if kept else MARK, linewidth=4)
        left.plot(place, birth, "^", color="#000000", markersize=7)
        if not never:
            left.plot(place, end, "v", color="#000000", markersize=7)
        text = "never ends" if never else f"{birth:g} − {end:g} = {lives:.2g}"
        left.annotate(
            text, (place, birth), (0, 9), textcoords="offset points", ha="center", fontsize=9
        )
    left.set(ylim=(0, 9.6), xlabel="pixel", ylabel="rain rate [mm/h]")
    left.set_title("Components are born at peaks and end where they meet a higher one", fontsize=10)
    handles = [
        Line2D([], [], marker="^", color="#000000", ls="", label="birth"),
        Line2D([], [], marker="v", color="#000000", ls="", label="death"),
        Line2D([], [], color=RAIN, lw=4, label=f"lives longer than ε = {FLOOR:g} mm/h"),
        Line2D([], [], color=MARK, lw=4, label="does not"),
    ]
    left.legend(handles=handles, fontsize=8, loc="upper right")
    levels = np.linspace(0.02, 9.0, 450).astype(np.float32)
    for floor, line in ((0.0, LINES[2]), (FLOOR, LINES[0])):
        (count,) = minkgen.gamma_matrix(
            CUT[None], levels, pixel_km=PIXEL_KM, functionals=("components",), min_persistence=floor
        )
        right.step(levels, count, label=f"ε = {floor:g} mm/h", linewidth=2.0, **line)
    right.set(xlabel="threshold u [mm/h]", ylabel="components", yticks=[0, 1, 2, 3], ylim=(0, 3.4))
    right.set_title("What is counted", fontsize=10)
    right.grid(visible=True, alpha=0.3)
    right.legend(fontsize=9)
    return figure


def main() -> None:
    """Write all pictures."""
    draw_excursion_sets().savefig(IMAGES / "gamma-excursion-sets.png")
    draw_persistence().savefig(IMAGES / "gamma-persistence.png")


if __name__ == "__main__":
    main()
