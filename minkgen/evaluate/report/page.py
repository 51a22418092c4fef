"""A report as one page of HTML that needs nothing else: no network, no folder, not even a script.

Texts come from stores, recipes and files of others: whatever is not a drawing of ours is escaped,
and the page's own policy lets no script run but the one whose digest it names.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from minkgen.evaluate.report.blocks import (
    Block,
    Cell,
    Curves,
    Pictures,
    Report,
    Score,
    Section,
    Table,
    Timeline,
)
from minkgen.evaluate.report.calendar import calendar_legend, years
from minkgen.evaluate.report.charts import chart, legend
from minkgen.evaluate.report.raster import data_address, is_broad, raster
from minkgen.evaluate.report.svg import number, readable
from minkgen.evaluate.report.timeline import timeline

__all__ = ["render"]

_PACKAGE = "minkgen.evaluate.report"
_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class _Part:
    """A section under an id that is unique in the page."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class _Shown:
    """A cell as a reader sees it, and what it is sorted by where that is something else."""

    text: str
    key: str | None = None


def render(report: Report) -> str:
    """Return a report as a page of HTML.

    Parameters
    ----------
    report : Report

    Returns
    -------
    str
        One file that loads nothing: drawings are SVG, images are in it, and it is complete where
        scripts are switched off.
    """
    script = _read("sortable.license.txt").join(("/*\n", "*/\n"))
    script += _read("sortable.min.js") + "\n" + _read("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    # Markup: both are files of this package, and neither closes its own element.
    return _environment().get_template("page.html").render(
        report=report,
        sections=_parts(report.sections),
        splits=_splits(report),
        style=Markup(_read("page.css")),  # noqa: S704
        script=Markup(script),  # noqa: S704
        script_hash=f"sha256-{digest}",
    )  # fmt: skip


def _read(name: str) -> str:
    return files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_PACKAGE, ""),
        autoescape=True,
        finalize=readable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        calendar_legend=calendar_legend,
        cell=_shown,
        chart=chart,
        data_address=data_address,
        is_broad=is_broad,
        legend=legend,
        numeric_columns=_numeric_columns,
        raster=raster,
        timeline=timeline,
        years=years,
    )
    return environment


def _parts(sections: tuple[Section, ...]) -> list[_Part]:
    """Return sections with anchors of letters, digits and hyphens, no two alike."""
    parts: list[_Part] = []
    taken = {"content", "theme", "told"}
    for section in sections:
        base = re.sub(r"[^a-z0-9]+", "-", section.name.lower()).strip("-") or "section"
        anchor, count = base, 2
        while anchor in taken:
            anchor, count = f"{base}-again-{count}", count + 1
        taken.add(anchor)
        parts.append(_Part(anchor, section.title, section.blocks))
    return parts


def _splits(report: Report) -> list[str]:
    """Return the splits that anything in the report belongs to."""
    found: set[str | None] = set()
    for section in report.sections:
        for block in section.blocks:
            if isinstance(block, Table):
                found |= {row.split for row in block.rows}
            elif isinstance(block, Curves):
                found |= {series.split for series in block.series}
            elif isinstance(block, Timeline):
                found |= {span.split for span in block.spans}
            elif isinstance(block, Pictures):
                found |= {picture.split for picture in block.pictures}
    return [split for split in _SPLITS if split in found]


def _missing(value: Cell) -> bool:
    return value is None or (isinstance(value, int | float) and math.isnan(value))


def _shown(value: Cell, digits: int) -> _Shown:
    """Return a cell's text; the library that sorts puts an empty key last."""
    if value is None or _missing(value):
        return _Shown("–", "")
    if isinstance(value, str):
        return _Shown(value)
    if isinstance(value, Score):
        return _Shown(value.text, str(value.value))
    # Not repr, which names NumPy's types; and JavaScript reads no "inf".
    return _Shown(number(value, digits), str(value).replace("inf", "Infinity"))


def _numeric_columns(table: Table) -> list[bool]:
    """Return which columns hold numbers only; these stand to the right."""
    columns = [
        [row.cells[k] for row in table.rows if not _missing(row.cells[k])]
        for k in range(len(table.columns))
    ]
    return [
        bool(values) and not any(isinstance(value, str) for value in values) for values in columns
    ]
