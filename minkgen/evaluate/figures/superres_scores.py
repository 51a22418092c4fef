"""Scores of models against each other: the SAL plane, and perception against distortion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from minkgen.evaluate.figures.style import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["perception_distortion", "sal_plane"]

# By the model's name: a score of every seed.
Points = Mapping[str, Mapping[str, list[float | None]]]


def sal_plane(
    points: Points,
    *,
    titles: Mapping[str, str],
    lines: Mapping[str, Mapping[str, Any]],
    attribution: str,
) -> Figure:
    """Draw amplitude over structure, and location over structure: means over the split.

    Parameters
    ----------
    points : mapping
        By the model's name, the means `sal/structure/mean`, `sal/amplitude/mean` and
        `sal/location/mean` of every seed.
    titles, lines : mapping
        From the names of models to what the legend calls them, and to how they are drawn.
    attribution : str
        Source and licence of the data.

    Returns
    -------
    Figure
    """
    figure = new_figure(11.0, 4.6, attribution)
    amplitude, location = figure.subplots(1, 2)
    for panel, key in ((amplitude, "sal/amplitude/mean"), (location, "sal/location/mean")):
        _draw_points(panel, points, "sal/structure/mean", key, titles, lines)
        panel.axvline(0.0, color="#000000", linewidth=0.8)
        panel.set_xlabel("S, structure (above 0: too large and flat)")
    amplitude.axhline(0.0, color="#000000", linewidth=0.8)
    amplitude.set_ylabel("A, amplitude (above 0: too much rain)")
    location.set_ylabel("L, location (0: in its place)")
    _from_zero(location)
    _legend(figure, amplitude)
    return figure


def perception_distortion(
    points: Points,
    *,
    titles: Mapping[str, str],
    lines: Mapping[str, Mapping[str, Any]],
    attribution: str,
) -> Figure:
    """Draw how unlike rain fields are over how far from the truth: down and left is better.

    Parameters
    ----------
    points : mapping
        By the model's name, `mae`, `loss/counting` and `rapsd/log_ratio` of every seed.
    titles, lines : mapping
        From the names of models to what the legend calls them, and to how they are drawn.
    attribution : str
        Source and licence of the data.

    Returns
    -------
    Figure
    """
    figure = new_figure(11.0, 4.6, attribution)
    loss, spectrum = figure.subplots(1, 2)
    for panel, key in ((loss, "loss/counting"), (spectrum, "rapsd/log_ratio")):
        _draw_points(panel, points, "mae", key, titles, lines)
        panel.set_xlabel("distortion: MAE [mm/h]")
        _from_zero(panel)
    loss.set_ylabel("perception: L_M of the exact γ (counting)")
    spectrum.set_ylabel("perception: mean |log RAPSD ratio|")
    _legend(figure, loss)
    return figure


def _draw_points(
    panel: Axes,
    points: Points,
    across: str,
    upward: str,
    titles: Mapping[str, str],
    lines: Mapping[str, Mapping[str, Any]],
) -> None:
    """Draw one point for every model and seed that has both scores."""
    for name, scores in points.items():
        pairs = [
            (x, y)
            for x, y in zip(scores[across], scores[upward], strict=True)
            if x is not None and y is not None
        ]
        style = {**lines[name], "linestyle": "none", "markersize": 9, "markeredgewidth": 1.8}
        panel.plot(
            [x for x, _ in pairs],
            [y for _, y in pairs],
            **style,
            fillstyle="none",
            clip_on=False,
            label=titles[name],
        )
    panel.margins(0.15)
    panel.grid(visible=True, alpha=0.3)


def _from_zero(panel: Axes) -> None:
    """Let the axis begin at 0, which is best, and leave room above the highest point."""
    highest = float(panel.dataLim.ymax)  # infinite where there is no point
    panel.set_ylim(0.0, 1.12 * highest if 0.0 < highest < np.inf else 1.0)


def _legend(figure: Figure, panel: Axes) -> None:
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, loc="outside right upper")
