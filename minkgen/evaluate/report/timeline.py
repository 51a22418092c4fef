"""Spans of time in lanes, as SVG; what no span covers stays empty and is seen as a gap."""

from __future__ import annotations

from datetime import UTC, datetime

from markupsafe import Markup

from minkgen.evaluate.report.blocks import Span, Timeline
from minkgen.evaluate.report.scales import Scale, time_ticks
from minkgen.evaluate.report.svg import drawing, element, number

__all__ = ["timeline"]

_WIDTH, _LANE, _BAR, _TOP, _FOOT = 880, 40, 18, 8, 44
_CHARACTER = 7.4
_SPLITS = ("train", "validation", "test")


def timeline(block: Timeline, anchor: str) -> Markup:
    """Return a timeline as an SVG drawing.

    Parameters
    ----------
    block : Timeline
    anchor : str
        The id of the drawing, unique in the page.
    """
    lanes = list(dict.fromkeys(span.lane for span in block.spans))
    height = _TOP + _LANE * max(1, len(lanes)) + _FOOT
    told = "; ".join(_told(span) for span in block.spans) or "no spans"
    if not block.spans:
        empty = element("text", "No spans", x=_WIDTH / 2, y=height / 2, text_anchor="middle")
        return drawing(anchor, block.title, told, (_WIDTH, height), empty)
    start = min(_utc(span.start) for span in block.spans)
    end = max(_utc(span.end) for span in block.spans)
    left = 18 + _CHARACTER * max(len(lane) for lane in lanes)
    scale = Scale(
        "linear", start.timestamp(), max(end.timestamp(), start.timestamp() + 1), left, _WIDTH - 40
    )
    return drawing(
        anchor,
        block.title,
        told,
        (_WIDTH, height),
        _axis(start, end, scale, height - _FOOT),
        *(
            element("text", lane, x=left - 10, y=_TOP + k * _LANE + 29, text_anchor="end")
            for k, lane in enumerate(lanes)
        ),
        *_bars(block, lanes, scale),
    )


def _utc(time: datetime) -> datetime:
    """Return a time in UTC; one without a zone is in UTC already."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _told(span: Span) -> str:
    start, end = _utc(span.start), _utc(span.end)
    days = (end - start).total_seconds() / 86400
    return (
        f"{span.lane}, {span.name}: {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC, "
        f"{number(days)} days"
    )


def _axis(start: datetime, end: datetime, scale: Scale, bottom: int) -> Markup:
    parts = [element("path", class_="axis", d=f"M{scale.start:.1f} {bottom}H{scale.end:.1f}")]
    for time, written in time_ticks(start, end, room=7):
        place = float(scale.place(time.timestamp()))
        parts.append(element("path", d=f"M{place:.1f} {_TOP}V{bottom}"))
        parts.append(element("text", written, x=place, y=bottom + 17, text_anchor="middle"))
    middle = (scale.start + scale.end) / 2
    title = element("text", "time (UTC)", x=middle, y=bottom + 38, text_anchor="middle")
    return element("g", *parts, element("g", title, class_="titles"), class_="axes")


def _bars(block: Timeline, lanes: list[str], scale: Scale) -> list[Markup]:
    """Return a bar for each span, with its name above it where there is room for it."""
    bars = []
    for span in block.spans:
        start = float(scale.place(_utc(span.start).timestamp()))
        # A span of hours in an archive of years is still to be seen.
        width = max(2.0, float(scale.place(_utc(span.end).timestamp())) - start)
        top = _TOP + lanes.index(span.lane) * _LANE
        parts = [
            element("title", _told(span)),
            element("rect", x=start, y=top + 16, width=width, height=_BAR),
        ]
        if span.name != span.lane and _CHARACTER * len(span.name) <= width:
            parts.append(element("text", span.name, x=start + 1, y=top + 12))
        look = span.split if span.split in _SPLITS else "none"
        bars.append(element("g", *parts, class_=f"span split-{look}", data_split=span.split))
    return bars
