"""Checks of ledgers and frame tables: what is known of every slot, and that both know the same."""

from __future__ import annotations

from datetime import datetime, timedelta

from minkgen.errors import StoreError
from minkgen.store.ledger import STATES, DayLedger, Slot, read_ledger
from minkgen.store.verify.findings import Faults, Finding
from minkgen.store.verify.view import Group, StoreView

__all__ = ["frame_tables", "states"]

_INGEST_AGAIN = (
    "move the ledger and the frame table of the day away and run `minkgen ingest` again for it"
)


def states(view: StoreView) -> Finding:
    """Look at every slot of every ledger."""
    faults, count = Faults(), 0
    for group in view.groups():
        known = {group.paths.ledger(day): day for day in group.days()}
        for path in group.ledger_files():
            if path not in known:
                faults.add(path, "a file that is no ledger", "YYYY-MM-DD.json")
                continue
            try:
                ledger = read_ledger(group.paths, known[path])
            except StoreError as error:
                faults.add(path, error.one_line(), "a ledger")
                continue
            count += len(ledger.slots)
            for time, slot in sorted(ledger.slots.items()):
                _require_slot(faults, group, ledger, time, slot)
    return faults.finding(count, "slots", _INGEST_AGAIN)


def _require_slot(
    faults: Faults, group: Group, ledger: DayLedger, time: datetime, slot: Slot
) -> None:
    place = f"{group.paths.ledger(ledger.day).name} {time:%FT%R}"
    faults.require(slot.state in STATES, f"{place} state", slot.state, ", ".join(STATES))
    since_midnight = time - time.replace(hour=0, minute=0, second=0, microsecond=0)
    on_axis = time.date() == ledger.day and since_midnight % group.step == timedelta()
    within = 0 <= group.composites.slot(time) < group.composites.slots
    faults.require(on_axis and within, place, "a time off the axis", f"a slot of {ledger.day}")
    if slot.state == "ok":
        faults.require(bool(slot.sha256), f"{place} sha256", slot.sha256, "that of its file")
    elif slot.state in STATES:
        faults.require(bool(slot.reason), f"{place} reason", slot.reason, f"why it is {slot.state}")


def frame_tables(view: StoreView) -> Finding:
    """Compare the rows of every frame table with the ok slots of its day."""
    faults, count = Faults(), 0
    for group in view.groups():
        tables = group.paths.frames(datetime.min.date()).parent.glob("[!.]*.parquet")
        ledger_days = {f"{day}" for day in group.days()}
        for path in sorted(tables):
            faults.require(path.stem in ledger_days, path, "a table without a ledger", "both")
        for ledger in group.ledgers():
            path = group.paths.frames(ledger.day)
            try:
                rows = group.frames(ledger.day)
            except StoreError as error:
                faults.add(path, error.one_line(), "a frame table")
                continue
            faults.require(list(rows) == sorted(rows), path, "rows out of order", "by time")
            for time in sorted(ledger.slots.keys() | rows.keys()):
                place = f"{path.name} {time:%FT%R}"
                if ledger.ok(time) != (time in rows):
                    state = ledger.slots[time].state if time in ledger.slots else "unknown"
                    there = "a row" if time in rows else "no row"
                    faults.add(place, f"{there} for a slot that is {state}", "a row if it is ok")
                elif time in rows:
                    count += 1
                    sha256 = ledger.slots[time].sha256
                    faults.equal(f"{place} sha256", got=rows[time]["sha256"], expected=sha256)
    return faults.finding(count, "frames", _INGEST_AGAIN)
