"""What a report is made of: sections of blocks that know nothing of HTML.

All numbers that a reader sees come in here, with their units in the labels; what a block looks
like is the page's business. `split` of a row or a series is `train`, `validation` or `test`, or
None where it belongs to no split; a reader can filter by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = [
    "Axis",
    "Block",
    "Calendar",
    "CalendarDay",
    "Curves",
    "Facts",
    "Mark",
    "Picture",
    "Pictures",
    "RasterMap",
    "Report",
    "Row",
    "Score",
    "Section",
    "Series",
    "Span",
    "Table",
    "Text",
    "Timeline",
]

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Score:
    """A number with the text that is shown of it; it is sorted by its value."""

    value: float
    text: str


Cell = str | int | float | Score | None


@dataclass(frozen=True)
class Text:
    """A paragraph; `tone` is "warning" for what a reader must not overlook."""

    text: str
    tone: Literal["plain", "warning"] = "plain"


@dataclass(frozen=True)
class Facts:
    """Names and values, as of provenance."""

    title: str
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Row:
    """A row of a table; None is shown as a dash and sorts last."""

    cells: tuple[Cell, ...]
    split: str | None = None


@dataclass(frozen=True)
class Table:
    """A table that can be sorted by every column; `digits` are the significant ones of numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""
    digits: int = 3


@dataclass(frozen=True)
class Axis:
    """An axis: its label with the unit, and its scale."""

    label: str
    scale: Literal["linear", "log", "log1p"] = "linear"


@dataclass(frozen=True)
class Series:
    """A line through points (x, y), or steps between the len(y) + 1 edges in x.

    `group` chooses the colour, `style` how often a line is broken (0 is solid).
    """

    name: str
    x: Floats
    y: Floats
    split: str | None = None
    group: int = 0
    style: int = 0


@dataclass(frozen=True)
class Mark:
    """A vertical line with a name, as of a floor or a threshold."""

    x: float
    name: str


@dataclass(frozen=True)
class Curves:
    """A chart of lines, or of steps (histograms)."""

    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    marks: tuple[Mark, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class CalendarDay:
    """A UTC day: how many slots are in each state, and the era of most of its frames."""

    day: date
    counts: tuple[int, ...]
    era: str


@dataclass(frozen=True)
class Calendar:
    """Days by state: `states` names the counts of a day, in their order."""

    title: str
    states: tuple[str, ...]
    days: tuple[CalendarDay, ...]
    note: str = ""


@dataclass(frozen=True)
class RasterMap:
    """Values on a grid, row 0 in the north; NaN is left empty. `extent_km` is (width, height).

    `label` names the values with their unit, and `scale` says how colours are spread over them.
    """

    title: str
    values: Floats
    extent_km: tuple[float, float]
    label: str
    note: str = ""
    scale: Literal["linear", "log", "log1p"] = "linear"


@dataclass(frozen=True)
class Span:
    """A half-open span of time in a lane."""

    lane: str
    start: datetime
    end: datetime
    name: str
    split: str | None = None


@dataclass(frozen=True)
class Timeline:
    """Spans of time in lanes."""

    title: str
    spans: tuple[Span, ...]
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """An image with the text that says what is to be seen in it."""

    png: bytes
    caption: str
    alternative: str
    split: str | None = None


@dataclass(frozen=True)
class Pictures:
    """Images side by side."""

    title: str
    pictures: tuple[Picture, ...]


Block = Text | Facts | Table | Curves | Calendar | RasterMap | Timeline | Pictures


@dataclass(frozen=True)
class Section:
    """A part of the report with a heading; `name` is its anchor."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Report:
    """A whole report."""

    title: str
    summary: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    attribution: str
