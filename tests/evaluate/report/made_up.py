"""Reports of made-up values: one with each kind of block, a hostile one, and a large one."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, timedelta

import numpy as np

from minkgen.evaluate.report.blocks import (
    Axis,
    Block,
    Calendar,
    CalendarDay,
    Curves,
    Facts,
    Mark,
    Picture,
    Pictures,
    RasterMap,
    Report,
    Row,
    Section,
    Series,
    Span,
    Table,
    Text,
    Timeline,
)

SPLITS = ("train", "validation", "test")
STATES = ("ok", "absent", "failed", "corrupt")
FIRST = datetime(2024, 1, 1, tzinfo=UTC)


def png(height: int = 40, width: int = 60) -> bytes:
    from matplotlib.image import imsave

    stream = io.BytesIO()
    imsave(stream, np.outer(np.arange(height), np.arange(width)), format="png")
    return stream.getvalue()


def calendar(days: int, title: str = "Slots by state", era: str = "ODYSSEY") -> Calendar:
    """Return a calendar in which every 30th day has a slot in each of the other states."""
    counts = [(90, 3, 2, 1) if k % 30 == 29 else (96, 0, 0, 0) for k in range(days)]
    return Calendar(
        title,
        STATES,
        tuple(
            CalendarDay(FIRST.date() + timedelta(days=k), count, era if k < days // 2 else "CIRRUS")
            for k, count in enumerate(counts)
        ),
        note="Real time, one slot in a quarter of an hour.",
    )


def curves(title: str = "γ of area", series: int = 3, points: int = 21) -> Curves:
    u = np.geomspace(0.1, 50.0, points)
    return Curves(
        title,
        Axis("threshold [mm/h]", "log"),
        Axis("area [km²]", "log1p"),
        tuple(
            Series(f"series {k}", u, 4000 * np.exp(-u / (k + 1)), SPLITS[k % 3], k, k // 8)
            for k in range(series)
        ),
        marks=(Mark(0.2, "floor"), Mark(20.0, "highest")),
        note="Means over the samples of a class.",
    )


def histogram(title: str = "Persistence") -> Curves:
    counts = np.array([0.0, 5.0, 200.0, 3000.0, 40.0, 0.0])
    edges = np.geomspace(0.01, 10.0, 7)
    return Curves(
        title,
        Axis("persistence [mm/h]", "log"),
        Axis("pairs", "log"),
        (
            Series("components", edges, counts, group=1),
            Series("holes", edges, counts / 10, group=2),
        ),
        marks=(Mark(0.05, "floor"),),
    )


def table(title: str = "Scores", rows: int = 5) -> Table:
    """Return a table whose numbers are in another order as text: 9 to 11, and a gap."""
    values: list[float | None] = [10.0, 9.0, None, 11.0, -1.5e-7]
    return Table(
        title,
        ("model", "split", "loss [1]", "samples"),
        tuple(
            Row((f"model {k}", SPLITS[k % 3], values[k % 5], 1000 * k), SPLITS[k % 3])
            for k in range(rows)
        ),
        note="Lower is better.",
    )


def raster(rows: int = 20, columns: int = 30, title: str = "Samples by tile") -> RasterMap:
    values = np.outer(np.arange(rows, dtype=float), np.arange(columns, dtype=float))
    values[:3] = np.nan
    return RasterMap(
        title, values, (columns * 64.0, rows * 64.0), "samples", note="NaN is empty.", scale="log1p"
    )


def timeline(title: str = "Splits") -> Timeline:
    starts = [FIRST + timedelta(days=120 * k) for k in range(3)]
    return Timeline(
        title,
        tuple(
            Span(split, start, start + timedelta(days=110), f"{split} 2024", split)
            for split, start in zip(SPLITS, starts, strict=True)
        ),
        note="Between splits nothing is taken.",
    )


def pictures(count: int = 3, title: str = "Samples") -> Pictures:
    return Pictures(
        title,
        tuple(
            Picture(png(), f"Sample {k}: area 12 km²", f"Rain of sample {k}", SPLITS[k % 3])
            for k in range(count)
        ),
    )


def small() -> Report:
    """Return a report with a block of each kind, under a section of its own."""
    contents: list[tuple[str, str, tuple[Block, ...]]] = [
        ("ledger", "Ledger", (Text("Days without gaps are green."), calendar(70))),
        ("coverage", "Coverage", (raster(),)),
        ("curves", "γ curves", (curves(), histogram())),
        ("samples", "Gallery", (pictures(),)),
        ("splits", "Splits", (timeline(),)),
        ("scores", "Table 1", (Text("Trained on two days.", "warning"), table())),
        ("provenance", "Provenance", (Facts("Recipe", (("name", "small"), ("digest", "a" * 64))),)),
    ]
    return Report(
        "Report of store small",
        (("samples", "1000"), ("period", "2024-01-01 to 2024-03-10")),
        tuple(Section(*content) for content in contents),
        "Data: EUMETNET OPERA, CC BY 4.0",
    )


def hostile(text: str) -> Report:
    """Return a report in which every text that may come from a store is `text`."""
    blocks: tuple[Block, ...] = (
        Text(text),
        Text(text, "warning"),
        Facts(text, ((text, text),)),
        Table(text, (text, text), (Row((text, 1.0), text), Row((text, None))), note=text),
        Curves(
            text,
            Axis(text),
            Axis(text),
            (Series(text, np.arange(3.0), np.arange(3.0), text),),
            (Mark(1.0, text),),
            text,
        ),
        Calendar(text, (text,), (CalendarDay(date(2024, 5, 1), (4,), text),), text),
        RasterMap(text, np.ones((2, 2)), (4.0, 4.0), text, text),
        Timeline(text, (Span(text, FIRST, FIRST + timedelta(days=2), text, text),), text),
        Pictures(text, (Picture(png(), text, text, text),)),
    )
    return Report(text, ((text, text),), (Section(text, text, blocks), Section("", text, ())), text)


def large() -> Report:
    """Return as much as the report of an archive of 14 years and a million samples may hold."""
    runs = tuple(curves(f"γ of run {k}", series=40) for k in range(8))
    contents: list[tuple[str, str, tuple[Block, ...]]] = [
        ("ledger", "Ledger", (calendar(14 * 365),)),
        ("coverage", "Coverage", (raster(60, 69), raster(1900, 2200, "Coverage"))),
        ("curves", "Curves", runs),
        ("tables", "Tables", tuple(table(f"Table {k}", 400) for k in range(4))),
        ("gallery", "Gallery", (pictures(24),)),
    ]
    return Report(
        "A large report",
        (("samples", "1 000 000"),),
        tuple(Section(*content) for content in contents),
        "Data: EUMETNET OPERA, CC BY 4.0",
    )
