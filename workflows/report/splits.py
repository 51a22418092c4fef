"""The section of the splits: their windows, the gaps between them, and their samples."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import numpy as np

from minkgen.evaluate.report.blocks import Row, Section, Span, Table, Timeline
from minkgen.recipe import Splits
from minkgen.workflows.report.contents import Contents, SplitSamples, utc

__all__ = ["splits_section"]


def splits_section(contents: Contents) -> Section | None:
    """Return windows, gaps and samples of the snapshot's splits."""
    if contents.snapshot is None:
        return None
    splits = Splits.model_validate(contents.recipe["splits"])
    windows = splits.trimmed()
    spans = [Span(name, each.start, each.end, name, name) for name, each in windows.items()]
    gap = timedelta(hours=splits.gap_hours)
    for (earlier, first), (later, _) in pairwise(
        sorted(splits.windows().items(), key=lambda item: item[1].start)
    ):
        if gap:
            spans.append(Span("gap", first.end, first.end + gap, f"between {earlier} and {later}"))
    note = (
        f"Times are UTC. After a split, {splits.gap_hours:g} h belong to none: they are cut from "
        "the start of the next one."
    )
    rows = [
        Row(
            (
                name,
                f"{window.start:%Y-%m-%d %H:%M}",
                f"{window.end:%Y-%m-%d %H:%M}",
                *_counts(contents.samples.get(name)),
            ),
            split=name,
        )
        for name, window in windows.items()
    ]
    columns = (
        "split",
        "start (UTC)",
        "end (UTC)",
        "samples",
        "wet",
        "composites",
        "positions",
        "first sample",
        "last sample",
    )
    blocks = (
        Timeline("Splits", tuple(spans), note),
        Table("Samples by split", columns, tuple(rows), "The end belongs to no split."),
    )
    return Section("splits", "Splits", blocks)


def _counts(samples: SplitSamples | None) -> tuple[str | int | None, ...]:
    if samples is None:
        return (0, 0, 0, 0, None, None)
    # Rows and columns fit 32 bits each.
    places = samples.row.astype(np.int64) << 32 | samples.column
    first, last = utc(samples.time.min()), utc(samples.time.max())
    return (
        samples.count,
        len(samples.wet),
        len(np.unique(samples.time)),
        len(np.unique(places)),
        f"{first:%Y-%m-%d %H:%M}",
        f"{last:%Y-%m-%d %H:%M}",
    )
