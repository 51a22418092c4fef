"""Sections of the composites: the calendar of the ledger, and the flags of frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from minkgen.evaluate.report.blocks import (
    Block,
    Calendar,
    CalendarDay,
    Facts,
    Row,
    Section,
    Table,
    Text,
)
from minkgen.recipe import FlagRules, leaves
from minkgen.store.ledger import STATES
from minkgen.workflows.inspect import DayReport, StoreReport
from minkgen.workflows.report.contents import Contents

__all__ = ["flags_section", "ledger_section"]

_LISTED = 20


def ledger_section(contents: Contents) -> Section | None:
    """Return the calendar of every product that has one."""
    blocks = [block for ledger in contents.ledgers if ledger.days for block in _ledger(ledger)]
    return Section("ledger", "Composites", tuple(blocks)) if blocks else None


def _ledger(ledger: StoreReport) -> Iterable[Block]:
    title = f"{ledger.product} on {ledger.grid}"
    unasked = len(ledger.calendar()) - len(ledger.days)
    yield Calendar(
        f"{title}: slots by day and state",
        STATES,
        tuple(CalendarDay(day.day, tuple(day.states().values()), _era(day)) for day in ledger.days),
        note="UTC days; absent: upstream has none; failed: asked for again by the next ingest; "
        "corrupt: fetched and not readable."
        + (f" Nobody asked for {unasked} days between the first and the last." if unasked else ""),
    )
    if ledger.eras():
        yield _eras(ledger, title)
    bad = [
        Row((f"{time:%Y-%m-%d %H:%M}", slot.state, slot.attempts, slot.reason))
        for day in ledger.days
        for time, slot in day.slots.items()
        if slot.state in ("failed", "corrupt")
    ]
    if bad:
        yield Text(
            f"{len(bad)} slots of {ledger.product} are failed or corrupt; `minkgen inspect --json` "
            "lists all of them.",
            "warning",
        )
        first = f", the first {_LISTED} of {len(bad)}" if len(bad) > _LISTED else ""
        columns = ("time (UTC)", "state", "attempts", "reason")
        yield Table(f"{title}: failed and corrupt slots{first}", columns, tuple(bad[:_LISTED]))


def _era(day: DayReport) -> str:
    counts = Counter(day.eras.values())
    return counts.most_common(1)[0][0] if counts else ""


def _eras(ledger: StoreReport, title: str) -> Table:
    days = {
        era: [day.day for day in ledger.days if era in day.eras.values()] for era in ledger.eras()
    }
    rows = [
        Row((era, count, f"{days[era][0]}", f"{days[era][-1]}"))
        for era, count in ledger.eras().items()
    ]
    return Table(
        f"{title}: eras of production",
        ("era", "composites", "first day", "last day"),
        tuple(rows),
        note="Composites that are there, by the production line that made them.",
        digits=9,
    )


def flags_section(contents: Contents) -> Section | None:
    """Return how many frames and samples have each flag, and what the recipe leaves out."""
    ledger = contents.ledger
    if ledger is None or not ledger.states()["ok"]:
        return None
    left_out = contents.recipe.get("exclude_flags", [])
    ok = ledger.states()["ok"]
    rows = [
        Row(
            (
                flag,
                count,
                100.0 * count / ok,
                *(_flagged(contents, ledger, flag, split) for split in contents.samples),
                ("yes" if flag in left_out else "no") if contents.snapshot else None,
            )
        )
        for flag, count in ledger.flags().items()
    ]
    samples = (f"{split} samples" for split in contents.samples)
    columns = ("flag", "composites", "share [%]", *samples, "left out by the recipe")
    whose = "the snapshot's recipe" if contents.snapshot else "the default rules"
    note = f"By {whose}; {ok:,} composites are there."
    excluded = contents.metadata.get("inputs", {}).get("excluded", {})
    if excluded:
        note += f" The recipe left {excluded['composites']:,} of them out of the splits."
    rules = leaves(contents.recipe.get("flags") or FlagRules().model_dump(mode="json"))
    told = {
        flag: ", ".join(
            _setting(path, value)
            for path, value in rules.items()
            if path.startswith(f"{flag}.") and not path.endswith(".version")
        )
        for flag in ledger.flags()
    }
    blocks = (
        Table(f"Flags of {ledger.product} composites", columns, tuple(rows), note),
        Facts("Rules", tuple(told.items())),
    )
    return Section("flags", "Quality flags", blocks)


def _setting(path: str, value: object) -> str:
    name = path.partition(".")[2].replace("_mm_h", " [mm/h]").replace("_", " ")
    shown = " or ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"{name} {shown}"


def _flagged(contents: Contents, ledger: StoreReport, flag: str, split: str) -> int:
    minutes = [
        int(time.timestamp()) // 60
        for day in ledger.days
        for time, flags in day.flags.items()
        if flag in flags
    ]
    return int(np.isin(contents.samples[split].time, minutes).sum())
