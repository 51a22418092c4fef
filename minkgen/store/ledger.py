"""The ledger: for every expected quarter of an hour, whether it is there, and if not, why.

A day's ledger is one JSON file with one writer, replaced by rename. A slot is `ok`, `absent`
(upstream says that there is none), `failed` (we could not get it) or `corrupt` (what we got cannot
be used; the reason says why). Only `ok` slots hold data.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from typing import Literal

from minkgen.errors import StoreError
from minkgen.store.files import read_json, write_json
from minkgen.store.layout import StorePaths

__all__ = ["STATES", "DayLedger", "Slot", "State", "read_ledger", "write_ledger"]

State = Literal["ok", "absent", "failed", "corrupt"]
STATES: tuple[State, ...] = ("ok", "absent", "failed", "corrupt")


@dataclass(frozen=True)
class Slot:
    """What is known of one quarter of an hour.

    Attributes
    ----------
    state : {"ok", "absent", "failed", "corrupt"}
    attempts : int
        How often it was looked for.
    checked : str
        When it was last looked for (UTC, ISO 8601); decides no number.
    source : str or None
        The archive key it came from.
    url : str or None
        Where the file lay.
    etag : str or None
        The entity tag that the server gave it.
    size : int or None
        Bytes of the source file.
    sha256 : str or None
        Digest of the source file.
    reason : str or None
        Why it is not ok.
    """

    state: State
    attempts: int
    checked: str
    source: str | None = None
    url: str | None = None
    etag: str | None = None
    size: int | None = None
    sha256: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class DayLedger:
    """The slots of a UTC day by nominal time; slots that nobody asked for are not in it."""

    day: date
    slots: dict[datetime, Slot] = field(default_factory=dict)

    def ok(self, time: datetime) -> bool:
        """Return whether a slot holds data."""
        slot = self.slots.get(time)
        return slot is not None and slot.state == "ok"

    def count(self, state: State) -> int:
        """Return how many slots are in a state."""
        return sum(slot.state == state for slot in self.slots.values())


def read_ledger(paths: StorePaths, day: date) -> DayLedger:
    """Read a day's ledger; a day that was never asked for has an empty one.

    Raises
    ------
    StoreError
        If the file is damaged.
    """
    path = paths.ledger(day)
    if not path.exists():
        return DayLedger(day)
    content = read_json(path)
    try:
        slots = {
            datetime.fromisoformat(time).replace(tzinfo=UTC): Slot(**slot)
            for time, slot in content["slots"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(
            "the ledger is damaged",
            where=path,
            got=error,
            hint="take the file away and run `minkgen ingest` again: it looks at the day anew",
        ) from error
    return DayLedger(day, slots)


def write_ledger(paths: StorePaths, ledger: DayLedger) -> None:
    """Replace a day's ledger by a new one."""
    slots = {
        f"{time:%Y-%m-%dT%H:%M}": {
            key: value for key, value in asdict(slot).items() if value is not None
        }
        for time, slot in sorted(ledger.slots.items())
    }
    write_json(paths.ledger(ledger.day), {"day": f"{ledger.day}", "slots": slots}, readable=True)
