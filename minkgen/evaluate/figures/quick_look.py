"""The quick look: a composite, and a tile of it with its excursion sets and γ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from minkgen.evaluate.figures.style import (
    TRUE_LINE,
    axis_label,
    draw_field,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure, SubFigure

__all__ = ["TileLook", "outlined_places", "quick_look", "sample_look"]

MISSING_COLOUR = "#B5B5B5"
# A map is drawn with no more pixels than a screen has; showers must not fall between them.
MOST_PIXELS = 1100
OUTLINE_COLOUR = "#D55E00"
# Of the excursion sets that are outlined, from the lowest threshold to the highest.
CONTOUR_COLOURS = ("#000000", "#0072B2", "#D55E00")
# Places of the outlined thresholds, as shares of the way from the lowest to the highest.
OUTLINED = (0.0, 0.5, 0.8)
PANELS = ("area", "perimeter", "components", "holes")

FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True)
class TileLook:
    """A tile of the composite.

    Attributes
    ----------
    row, column : int
        Of the north-west pixel.
    rain_rate : array (H, W)
        In mm/h, drizzle zeroed, missing pixels dry: what γ is of.
    thresholds : array (Q,)
        In mm/h.
    outlined : tuple of int
        Places of the thresholds whose excursion sets are outlined, three at most.
    functionals : sequence of str
        Names along F; of these, the paper's four are drawn.
    gamma : array (F, Q)
        In physical units.
    """

    row: int
    column: int
    rain_rate: FloatArray
    thresholds: FloatArray
    outlined: tuple[int, ...]
    functionals: Sequence[str]
    gamma: FloatArray


def outlined_places(count: int) -> tuple[int, ...]:
    """Return which of so many thresholds have their excursion sets outlined.

    Examples
    --------
    >>> outlined_places(21)
    (0, 10, 16)
    """
    return tuple(sorted({round(share * (count - 1)) for share in OUTLINED}))


def quick_look(
    rain_rate: FloatArray,
    *,
    pixel_km: float,
    title: str,
    attribution: str,
    tile: TileLook | None = None,
) -> Figure:
    """Draw a composite; beside it a tile with the outlines of excursion sets, and its γ.

    Parameters
    ----------
    rain_rate : array (H, W)
        In mm/h, north first; NaN without coverage.
    pixel_km : float
    title : str
    attribution : str
        Source and licence of the data, printed at the foot.
    tile : TileLook, optional

    Returns
    -------
    Figure
    """
    if tile is None:
        height, width = rain_rate.shape
        figure = new_figure(9.0, min(7.4 * height / width, 11.0) + 1.0, attribution)
        axes = figure.subplots()
        _label(figure, axes, _draw_map(axes, rain_rate, pixel_km, title))
        return figure
    figure = new_figure(14.0, 9.6, attribution)
    above, below = np.asarray(figure.subfigures(2, 1, height_ratios=(1.9, 1.0)))
    left, right = np.asarray(above.subplots(1, 2))
    _label(above, left, _draw_map(left, rain_rate, pixel_km, title))
    _draw_outline(left, rain_rate.shape, tile, pixel_km)
    _label(above, right, _draw_tile(right, tile, pixel_km))
    _draw_gamma(below, tile)
    return figure


def sample_look(tile: TileLook, *, pixel_km: float, attribution: str) -> Figure:
    """Draw a tile with the outlines of excursion sets, and its γ beside it.

    Parameters
    ----------
    tile : TileLook
    pixel_km : float
    attribution : str
        Source and licence of the data, printed at the foot.

    Returns
    -------
    Figure
    """
    figure = new_figure(7.8, 3.9, attribution)
    left, right = np.asarray(figure.subfigures(1, 2, width_ratios=(1.0, 1.15)))
    axes = left.subplots()
    _label(left, axes, _draw_tile(axes, tile, pixel_km))
    _draw_gamma(right, tile, rows=2)
    return figure


def _draw_map(axes: Axes, rain_rate: FloatArray, pixel_km: float, title: str) -> ScalarMappable:
    from matplotlib.colors import ListedColormap

    shown = _coarser(rain_rate)
    height, width = (pixel_km * side for side in rain_rate.shape)
    image = draw_field(axes, shown, pixel_km)
    image.set_extent((0.0, width, 0.0, height))  # type: ignore[attr-defined]  # an AxesImage
    missing = np.ma.masked_where(np.isfinite(shown), np.ones_like(shown))
    axes.imshow(
        missing,
        origin="upper",
        extent=(0.0, width, 0.0, height),
        cmap=ListedColormap([MISSING_COLOUR]),
        interpolation="nearest",
    )
    axes.set_title(title, fontsize=11)
    return image


def _label(figure: Figure | SubFigure, axes: Axes, image: ScalarMappable) -> None:
    figure.colorbar(image, ax=axes, label="rain rate [mm/h]", shrink=0.8, extend="max")


def _coarser(rain_rate: FloatArray) -> FloatArray:
    """Return the highest rates of blocks, missing where a whole block is; no more than a screen."""
    factor = -(-max(rain_rate.shape) // MOST_PIXELS)
    if factor == 1:
        return rain_rate
    height, width = (side // factor * factor for side in rain_rate.shape)
    blocks = rain_rate[:height, :width].reshape(height // factor, factor, width // factor, factor)
    highest = np.fmax.reduce(np.fmax.reduce(blocks, axis=3), axis=1)
    return np.asarray(highest)


def _draw_outline(axes: Axes, shape: tuple[int, ...], tile: TileLook, pixel_km: float) -> None:
    from matplotlib.patches import Rectangle

    height, width = (pixel_km * side for side in tile.rain_rate.shape)
    south = pixel_km * (shape[0] - tile.row) - height
    corner = (pixel_km * tile.column, south)
    axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=OUTLINE_COLOUR, lw=2.0))


def _draw_tile(axes: Axes, tile: TileLook, pixel_km: float) -> ScalarMappable:
    from matplotlib.lines import Line2D

    image = draw_field(axes, tile.rain_rate, pixel_km)
    height, width = tile.rain_rate.shape
    east = pixel_km * (np.arange(width) + 0.5)
    north = pixel_km * (height - np.arange(height) - 0.5)
    handles = []
    for colour, place in zip(CONTOUR_COLOURS, tile.outlined, strict=False):
        threshold = tile.thresholds[place]
        inside = (tile.rain_rate >= threshold).astype(np.float32)
        if 0 < inside.sum() < inside.size:
            axes.contour(east, north, inside, levels=[0.5], colors=colour, linewidths=1.2)
        label = f"from {threshold:.2f} mm/h"
        handles.append(Line2D([], [], color=colour, linewidth=1.2, label=label))
    axes.legend(handles=handles, fontsize=8, loc="upper right")
    axes.set_title(f"tile at row {tile.row}, column {tile.column}", fontsize=11)
    return image


def _draw_gamma(figure: SubFigure, tile: TileLook, rows: int = 1) -> None:
    axes = np.asarray(figure.subplots(rows, len(PANELS) // rows))
    for panel, name in zip(axes.flat, PANELS, strict=True):
        values = tile.gamma[list(tile.functionals).index(name)]
        panel.plot(tile.thresholds, values, **TRUE_LINE, markersize=3)
        for colour, place in zip(CONTOUR_COLOURS, tile.outlined, strict=False):
            panel.axvline(float(tile.thresholds[place]), color=colour, linewidth=1.2)
        panel.set_xscale("log")
        panel.set_ylim(bottom=0.0)
        panel.set_xlabel("threshold [mm/h]")
        panel.set_ylabel(axis_label(name))
        panel.grid(visible=True, alpha=0.3)
