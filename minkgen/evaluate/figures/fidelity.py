"""The fidelity figure: cosine and relative error of gradients over the step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from minkgen.evaluate.figures.style import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["fidelity_curves"]

_ERROR_TICKS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
_MEASURES = {"cosine": "cosine", "relative_l2": "relative L2 error"}


def fidelity_curves(
    curves: Mapping[str, Mapping[str, Any]],
    *,
    titles: Mapping[str, str],
    lines: Mapping[str, Mapping[str, Any]],
    parts: Sequence[str],
    attribution: str,
) -> Figure:
    """Draw one column per part of γ: cosine above, relative L2 error below.

    Parameters
    ----------
    curves : mapping
        By the curve's name, what `minkgen.evaluate.fidelity.summary` returned by step:
        ``curves[name][step][part]["cosine"]["median"]``, steps in percent.
    titles, lines : mapping
        From the names of curves to what the legend calls them, and to how they are drawn.
    parts : sequence of str
        Functionals, and `all`.
    attribution : str
        Source and licence of the data.

    Returns
    -------
    Figure
        Medians over tiles, with bars between the quartiles.
    """
    figure = new_figure(3.2 * len(parts), 6.0, attribution)
    panels = figure.subplots(2, len(parts), squeeze=False, sharex=True)
    for column, part in enumerate(parts):
        for row, (measure, label) in enumerate(_MEASURES.items()):
            panel = panels[row, column]
            for place, name in enumerate(curves):
                _draw_curve(panel, lines[name], titles[name], curves[name], part, measure, place)
            panel.set_xscale("log")
            panel.grid(visible=True, alpha=0.3)
            panel.set_ylabel(label)
            if measure == "cosine":
                panel.set_title(part.replace("_", " "))
                panel.set_ylim(-1.05, 1.05)
                panel.axhline(0.0, color="#000000", linewidth=0.6)
            else:
                panel.set_yscale("log")
                panel.axhline(1.0, color="#000000", linewidth=0.6)
                panel.set_xlabel("step h [% of the tile's RMS rate]")
    _error_axis(list(panels[1]))
    steps = [float(step) for step in next(iter(curves.values()))]
    panels[0, 0].set_xticks(steps, [f"{step:g}" for step in steps])
    panels[0, 0].minorticks_off()
    panels[0, 0].legend(fontsize=8, loc="lower right")
    return figure


def _error_axis(panels: Sequence[Axes]) -> None:
    """Give all panels one logarithmic axis, from a third to three at least."""
    limits = [panel.get_ylim() for panel in panels]
    low, high = min(0.3, *(each[0] for each in limits)), max(3.0, *(each[1] for each in limits))
    ticks = [tick for tick in _ERROR_TICKS if low <= tick <= high]
    for panel in panels:
        panel.set_ylim(low, high)
        panel.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        panel.minorticks_off()


def _draw_curve(
    panel: Axes,
    line: Mapping[str, Any],
    title: str,
    steps: Mapping[str, Any],
    part: str,
    measure: str,
    place: int,
) -> None:
    found = {
        # Set apart a little, so that bars do not hide each other.
        float(step) * 1.04**place: values[part][measure]
        for step, values in steps.items()
        if values[part]["tiles"]
    }
    middle = [each["median"] for each in found.values()]
    below = [each["median"] - each["low"] for each in found.values()]
    above = [each["high"] - each["median"] for each in found.values()]
    panel.errorbar(
        list(found),
        middle,
        yerr=[below, above],
        **line,
        markersize=4,
        capsize=2,
        elinewidth=0.7,
        label=title,
    )
