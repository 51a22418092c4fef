"""The calendar of a store: days by quarters of an hour, coloured by state and era.

Matplotlib is imported on use, because importing it writes a font cache into HOME.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minkgen.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "NOT_ASKED", "UNKNOWN_ERA", "draw_calendar"]

UNKNOWN_ERA, NOT_ASKED = "unknown", "not asked"
# Okabe and Ito's colours and a grey, which colour-blind readers tell apart: blue and green are
# there, by era; vermilion and black went wrong. Any two differ by 12 in CIEDE2000, also as seen
# without red, green or blue cones.
_ERA_COLOURS = {
    "ODYSSEY": "#0072B2",
    "NIMBUS": "#009E73",
    "CIRRUS": "#56B4E9",
    "OWN": "#CC79A7",
    UNKNOWN_ERA: "#F0E442",
}
_STATE_COLOURS = {
    "absent": "#C8C8C8",
    "failed": "#D55E00",
    "corrupt": "#000000",
    NOT_ASKED: "#FFFFFF",
}
COLOURS = _ERA_COLOURS | _STATE_COLOURS

_DOTS_PER_INCH = 120
_DAY_INCHES = 0.22
_SMALLEST_PANEL_INCHES, _LARGEST_PANEL_INCHES = 1.2, 9.0
_PANEL_WIDTH_INCHES = 8.0
# Around the panel: dates, nothing, the title, and below it the hours, the legend and the foot.
_LEFT_INCHES, _RIGHT_INCHES, _TOP_INCHES, _BOTTOM_INCHES, _FOOT_INCHES = 0.85, 0.15, 0.35, 1.15, 0.2
_MOST_DATES = 32
# Which days are dated, from the shortest period to the longest.
_ROUND_DATES: tuple[Callable[[date], bool], ...] = (
    lambda _: True,
    lambda day: day.day in (1, 6, 11, 16, 21, 26),
    lambda day: day.day in (1, 16),
    lambda day: day.day == 1,
    lambda day: day.day == 1 and day.month in (1, 4, 7, 10),
    lambda day: day.day == 1 and day.month == 1,
)


def draw_calendar(
    days: Sequence[date], kinds: npt.NDArray[Any], *, title: str, attribution: str
) -> Figure:
    """Draw a line for every day, with a cell for every quarter of an hour.

    Parameters
    ----------
    days : sequence of date
        In order, at least one.
    kinds : array of str, shape (days, slots of a day)
        A key of `COLOURS` each: the era of what is there, the state of what is not.
    title : str
    attribution : str
        Source and licence of the data, printed at the foot.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        If the array is not one line a day, or holds something that has no colour.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    if not len(days) or kinds.ndim != 2 or len(kinds) != len(days):
        raise InputError(
            "the calendar is not one line a day", got=kinds.shape, expected=f"{len(days)} lines"
        )
    counts = dict(zip(*np.unique(kinds.astype(str), return_counts=True), strict=True))
    strange = sorted(set(counts) - set(COLOURS))
    if strange:
        raise InputError(
            "a state or an era has no colour", got=", ".join(strange), expected=", ".join(COLOURS)
        )
    image = np.zeros((*kinds.shape, 3))
    for kind in counts:
        image[kinds == kind] = to_rgb(COLOURS[kind])

    panel = _panel_inches(len(days))
    width = _LEFT_INCHES + _PANEL_WIDTH_INCHES + _RIGHT_INCHES
    height = _BOTTOM_INCHES + panel + _TOP_INCHES
    figure = Figure(figsize=(width, height), dpi=_DOTS_PER_INCH)
    FigureCanvasAgg(figure)
    corner = _LEFT_INCHES / width, _BOTTOM_INCHES / height
    axes = figure.add_axes((*corner, _PANEL_WIDTH_INCHES / width, panel / height))
    axes.imshow(
        image,
        aspect="auto",
        extent=(0.0, 24.0, float(len(days)), 0.0),  # the first day is at the top
        interpolation="nearest",
    )
    _label_hours_and_dates(axes, days)
    axes.set_title(title, fontsize=11)
    figure.legend(
        handles=[
            Patch(facecolor=COLOURS[kind], edgecolor="#808080", label=_label(kind, counts[kind]))
            for kind in COLOURS
            if kind in counts
        ],
        loc="lower center",
        bbox_to_anchor=(0.5, _FOOT_INCHES / height),
        borderaxespad=0.0,
        ncols=5,
        fontsize=8,
        frameon=False,
    )
    figure.text(0.995, 0.02 / height, attribution, ha="right", va="bottom", fontsize=8)
    return figure


def _panel_inches(days: int) -> float:
    """Return a height that is bounded, but gives every day a line of pixels of its own."""
    wanted = min(max(_DAY_INCHES * days, _SMALLEST_PANEL_INCHES), _LARGEST_PANEL_INCHES)
    return max(wanted, days / _DOTS_PER_INCH)


def _label(kind: str, count: int) -> str:
    return f"ok, {kind} ({count})" if kind in _ERA_COLOURS else f"{kind} ({count})"


def _label_hours_and_dates(axes: Axes, days: Sequence[date]) -> None:
    axes.set_xticks(range(0, 25, 3), [f"{hour:02d}" for hour in range(0, 25, 3)])
    axes.set_xlabel("hour of the day [UTC]")
    rows = _dated_rows(days)
    axes.set_yticks([row + 0.5 for row in rows], [f"{days[row]}" for row in rows], fontsize=8)


def _dated_rows(days: Sequence[date]) -> list[int]:
    """Return the rows whose dates are written: all, or those of round dates, as many as fit."""
    rows: list[int] = []
    for is_round in _ROUND_DATES:
        rows = [row for row, day in enumerate(days) if is_round(day)]
        if len(rows) <= _MOST_DATES:
            break
    return rows
