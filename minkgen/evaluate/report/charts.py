"""Curves and histograms as SVG: axes, ticks, lines with gaps, steps, marks, and their legend."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from minkgen.evaluate.report.blocks import Axis, Curves, Mark, Series
from minkgen.evaluate.report.scales import Scale, fit_scale
from minkgen.evaluate.report.svg import drawing, element, number

__all__ = ["DASHES", "GROUPS", "chart", "frame", "left_margin", "legend"]

Floats = npt.NDArray[np.floating]
# So many colours and so many kinds of broken line does page.css know.
GROUPS, DASHES = 8, 5
_WIDTH, _HEIGHT = 560, 350
_TOP, _RIGHT, _BOTTOM = 14, 16, 48
_CHARACTER = 7.4  # pixels of a digit at the drawing's font size
# Beyond so many points the marks run into each other, and each costs some 150 bytes.
_MOST_POINTS = 120


def chart(curves: Curves, anchor: str) -> Markup:
    """Return a chart as an SVG drawing.

    Parameters
    ----------
    curves : Curves
    anchor : str
        The id of the drawing, unique in the page.
    """
    lines = curves.series
    marks = [mark for mark in curves.marks if math.isfinite(mark.x)]
    y = fit_scale(curves.y.scale, _joined([s.y for s in lines]), _HEIGHT - _BOTTOM, _TOP)
    left = left_margin(y)
    xs = _joined([*(s.x for s in lines), np.array([mark.x for mark in marks])])
    x = fit_scale(curves.x.scale, xs, left, _WIDTH - _RIGHT)
    dashed = dashes(lines)
    return drawing(
        anchor,
        curves.title,
        _description(curves),
        (_WIDTH, _HEIGHT),
        frame(x, y, curves.x.label, curves.y.label),
        *(_series(s, x, y, d, curves) for s, d in zip(lines, dashed, strict=True)),
        *(_mark(mark, x, place) for place, mark in enumerate(sorted(marks, key=lambda m: m.x))),
        *([] if _anything(lines, x, y) else [_nothing()]),
    )


def legend(series: tuple[Series, ...]) -> Markup:
    """Return the names of lines beside short pieces of them, as a list of HTML."""
    items = []
    for line, dash in zip(series, dashes(series), strict=True):
        piece = element(
            "svg",
            element("path", d="M1 6H33", class_="line"),
            class_=f"series {_looks(line, dash)}",
            width=34,
            height=12,
            aria_hidden="true",
        )
        items.append(element("li", piece, " ", line.name, data_split=line.split))
    return element("ul", *items, class_="legend")


def dashes(series: tuple[Series, ...]) -> list[int]:
    """Return how each line is broken: as its style says, or by colour where no style is given.

    Colours alone tell nothing to a reader who does not see them, or prints without them.
    """
    if any(line.style for line in series):
        return [line.style % DASHES for line in series]
    return [line.group % DASHES for line in series]


def _looks(line: Series, dash: int) -> str:
    return f"group-{line.group % GROUPS} dash-{dash}"


def _joined(parts: list[Floats]) -> Floats:
    return np.concatenate([np.asarray(part, float).ravel() for part in parts] or [np.empty(0)])


def left_margin(y: Scale) -> float:
    """Return the room that an axis' title and the longest label of its ticks take."""
    return 32 + _CHARACTER * max((len(tick.label) for tick in y.ticks(34)), default=1)


def frame(x: Scale, y: Scale, x_label: str, y_label: str) -> Markup:
    """Return both axes with ticks, faint lines through these, and titles."""
    left, right, bottom, top = x.start, x.end, y.start, y.end
    parts = []
    for tick in y.ticks(34):
        parts.append(element("path", d=_path([(left, tick.place), (right, tick.place)])))
        parts.append(element("text", tick.label, x=left - 6, y=tick.place + 4, text_anchor="end"))
    for tick in x.ticks(56):
        parts.append(element("path", d=_path([(tick.place, bottom), (tick.place, top)])))
        parts.append(element("text", tick.label, x=tick.place, y=bottom + 17, text_anchor="middle"))
    middle = (top + bottom) / 2
    titles = [
        element("text", x_label, x=(left + right) / 2, y=bottom + 38, text_anchor="middle"),
        element(
            "text", y_label, transform=f"translate(14 {middle:.1f}) rotate(-90)",
            text_anchor="middle",
        ),
    ]  # fmt: skip
    border = element("path", class_="axis", d=_path([(left, top), (left, bottom), (right, bottom)]))
    return element("g", *parts, border, element("g", *titles, class_="titles"), class_="axes")


def _mark(mark: Mark, x: Scale, place: int) -> Markup:
    """Return a vertical line with its name; names of neighbours are on different heights."""
    at = float(x.place(mark.x))
    if not math.isfinite(at):
        return Markup("")
    before = at > (x.start + x.end) / 2
    return element(
        "g",
        element("title", f"{mark.name}: {number(mark.x, 4)}"),
        element("path", d=_path([(at, _HEIGHT - _BOTTOM), (at, _TOP)])),
        element(
            "text", mark.name, x=at + (-4 if before else 4), y=_TOP + 11 + 15 * (place % 5),
            text_anchor="end" if before else "start",
        ),
        class_="mark",
    )  # fmt: skip


def _series(line: Series, x: Scale, y: Scale, dash: int, curves: Curves) -> Markup:
    if len(line.x) == len(line.y) + 1:
        drawn = _steps(line, x, y, curves)
    else:
        drawn = _points(line, x, y, curves)
    return element("g", *drawn, class_=f"series {_looks(line, dash)}", data_split=line.split)


def _points(line: Series, x: Scale, y: Scale, curves: Curves) -> list[Markup]:
    """Return a line that is broken at gaps, and its points, which tell their values."""
    places = np.stack([x.place(line.x), y.place(line.y)], axis=1)
    seen = np.isfinite(places).all(axis=1)
    d = " ".join(_path(list(places[run])) for run in _runs(seen) if len(run) > 1)
    drawn = [element("path", element("title", line.name), d=d, class_="line")] if d else []
    if np.count_nonzero(seen) > _MOST_POINTS:
        return drawn
    for k in np.flatnonzero(seen):
        told = f"{line.name}\n{_told(curves.x, line.x[k])}\n{_told(curves.y, line.y[k])}"
        drawn.append(
            element("circle", element("title", told), cx=places[k, 0], cy=places[k, 1], r=2.0)
        )
    return drawn


def _steps(line: Series, x: Scale, y: Scale, curves: Curves) -> list[Markup]:
    """Return the outline of a histogram and, over each level, a band that tells its values."""
    edges = x.place(line.x)
    # An edge at 0 of a logarithmic axis is its left end; a count of 0 stands on the axis.
    edges = np.where(np.isnan(edges) & (line.x <= 0.0), x.start, edges)
    levels = y.place(line.y)
    levels = np.where(np.isnan(levels) & (line.y <= 0.0), y.start, levels)
    seen = np.isfinite(levels) & np.isfinite(edges[1:]) & np.isfinite(edges[:-1])
    runs = []
    for run in _runs(seen):
        corners = [(edges[run[0]], y.start)]
        for k in run:
            corners += [(edges[k], levels[k]), (edges[k + 1], levels[k])]
        runs.append(_path([*corners, (edges[run[-1] + 1], y.start)]))
    drawn = [element("path", d=" ".join(runs), class_="line")] if runs else []
    for k in np.flatnonzero(seen):
        interval = f"{number(line.x[k], 4)} to {number(line.x[k + 1], 4)}"
        told = f"{line.name}\n{curves.x.label}: {interval}\n{_told(curves.y, line.y[k])}"
        drawn.append(
            element(
                "rect", element("title", told), class_="reach", x=float(edges[k]),
                y=float(levels[k] - 6), width=float(edges[k + 1] - edges[k]), height=12,
            )
        )  # fmt: skip
    return drawn


def _told(axis: Axis, value: float) -> str:
    return f"{axis.label}: {number(value, 4)}"


def _runs(seen: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.intp]]:
    """Return the indices of what is seen, in runs without a gap."""
    indices = np.flatnonzero(seen)
    return [run for run in np.split(indices, np.flatnonzero(np.diff(indices) > 1) + 1) if len(run)]


def _path(corners: list[tuple[float, float]]) -> str:
    """Return straight pieces from corner to corner, in tenths of a pixel."""
    return "M" + "L".join(f"{float(x):.1f} {float(y):.1f}" for x, y in corners)


def _anything(series: tuple[Series, ...], x: Scale, y: Scale) -> bool:
    return any(
        np.isfinite(x.place(line.x)).any() and np.isfinite(y.place(line.y)).any() for line in series
    )


def _nothing() -> Markup:
    return element("text", "No values", x=_WIDTH / 2, y=_HEIGHT / 2, text_anchor="middle")


def _description(curves: Curves) -> str:
    """Return in words what is drawn; the values themselves are in the titles of its points."""
    kind = {"linear": "", "log": ", logarithmic", "log1p": ", logarithmic from 1 on"}
    names = ", ".join(line.name for line in curves.series) or "none"
    marks = ", ".join(f"{mark.name} at {number(mark.x)}" for mark in curves.marks)
    return (
        f"{curves.y.label}{kind[curves.y.scale]}, over {curves.x.label}{kind[curves.x.scale]}. "
        f"Lines: {names}." + (f" Marked: {marks}." if marks else "")
    )
