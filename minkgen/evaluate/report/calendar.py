"""Days by state, a drawing a year: weeks from left to right, Monday at the top, eras below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import groupby

from markupsafe import Markup

from minkgen.evaluate.report.blocks import Calendar, CalendarDay
from minkgen.evaluate.report.svg import drawing, element, number

__all__ = ["ERAS", "STATES", "calendar_legend", "eras", "years"]

# So many colours of states and of eras does page.css know.
STATES, ERAS = 6, 6
_PITCH, _CELL, _LEAST = 12, 11, 2.0
_TOP, _STRIP = 18, 6
_SIZE = (54 * _PITCH, _TOP + 7 * _PITCH + _STRIP + 2)


def eras(calendar: Calendar) -> list[str]:
    """Return the names of all eras, in the order of their first days."""
    return list(dict.fromkeys(day.era for day in calendar.days if day.era))


def years(calendar: Calendar, anchor: str) -> Iterator[tuple[int, Markup]]:
    """Return each year that has days, and its drawing.

    Parameters
    ----------
    calendar : Calendar
    anchor : str
        The beginning of the drawings' ids, unique in the page.
    """
    known = {era: k % ERAS for k, era in enumerate(eras(calendar))}
    ordered = sorted(calendar.days, key=lambda day: day.day)
    for year, group in groupby(ordered, key=lambda day: day.day.year):
        days = list(group)
        totals = [sum(counts) for counts in zip(*(day.counts for day in days), strict=True)]
        told = ", ".join(
            f"{state} {number(total)}" for state, total in zip(calendar.states, totals, strict=True)
        )
        yield (
            year,
            drawing(
                f"{anchor}-{year}",
                f"{calendar.title}, {year}",
                f"{len(days)} days; {told}",
                _SIZE,
                *_months(year),
                *(_day(day, calendar.states) for day in days),
                *_strips(days, known),
            ),
        )


def calendar_legend(calendar: Calendar) -> Markup:
    """Return what the colours of states and eras mean, with totals, as lists of HTML."""
    totals = [sum(day.counts[k] for day in calendar.days) for k in range(len(calendar.states))]
    states = [
        element("li", _swatch(f"state-{k % STATES}", _CELL), f" {state}: {number(totals[k])}")
        for k, state in enumerate(calendar.states)
    ]
    lines = [
        element("li", _swatch(f"era-{k % ERAS}", _STRIP), " ", era)
        for k, era in enumerate(eras(calendar))
    ]
    return element("ul", *states, class_="legend") + (
        element("ul", element("li", "Line below the days:"), *lines, class_="legend")
        if lines
        else Markup("")
    )


def _swatch(look: str, height: int) -> Markup:
    box = element("rect", width=22, height=height, y=(12 - height) / 2, class_=look)
    return element("svg", box, width=22, height=12, aria_hidden="true")


def _column(day: date) -> float:
    """Return in which week of its year a day is, with the weekday as a fraction."""
    first = date(day.year, 1, 1)
    return ((day - first).days + first.weekday()) / 7


def _months(year: int) -> Iterator[Markup]:
    for month in range(1, 13):
        first = date(year, month, 1)
        # A month is written over its first whole week.
        week = -int(-_column(first) // 1)
        yield element("text", f"{first:%b}", x=week * _PITCH, y=_TOP - 6)


def _day(day: CalendarDay, states: Sequence[str]) -> Markup:
    """Return a square that is divided among the states, the first at its foot."""
    week = int(_column(day.day))
    left, top = week * _PITCH, _TOP + day.day.weekday() * _PITCH
    slots = sum(day.counts)
    told = [f"{state} {count}" for state, count in zip(states, day.counts, strict=True) if count]
    title = element(
        "title", f"{day.day:%Y-%m-%d}: {', '.join(told) or 'no slots'}"
        + (f"\n{day.era}" if day.era else "")
    )  # fmt: skip
    if slots == 0:
        parts = [element("rect", x=left, y=top, width=_CELL, height=_CELL, class_="no-slots")]
    else:
        parts, foot = [], float(top + _CELL)
        for k, height in enumerate(_heights(day.counts)):
            if height:
                foot -= height
                parts.append(
                    element(
                        "rect", x=left, y=foot, width=_CELL, height=height,
                        class_=f"state-{k % STATES}",
                    )
                )  # fmt: skip
    return element("g", title, *parts, class_="day")


def _heights(counts: Sequence[int]) -> list[float]:
    """Divide a square among the states; one slot of 96 is still seen."""
    heights = [max(_LEAST, _CELL * count / sum(counts)) if count else 0.0 for count in counts]
    heights[heights.index(max(heights))] -= sum(heights) - _CELL
    return heights


def _strips(days: Sequence[CalendarDay], known: dict[str, int]) -> Iterator[Markup]:
    """Return a line for each run of days of one era."""
    for era, group in groupby(days, key=lambda day: day.era):
        run = list(group)
        if not era:
            continue
        first, last = run[0].day, run[-1].day
        start, end = _column(first), _column(last) + 1 / 7
        yield element(
            "rect",
            element("title", f"{era}\n{first:%Y-%m-%d} to {last:%Y-%m-%d}"),
            x=start * _PITCH,
            y=_TOP + 7 * _PITCH + 1,
            width=(end - start) * _PITCH,
            height=_STRIP,
            class_=f"era-{known[era]}",
        )
