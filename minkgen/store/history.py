"""What was published when: a JSON list with one line per publication, replaced by rename.

A publication is recorded before `current` is switched; an entry that a crash kept from coming true
is dropped with the next one, so that the last entry is always what `current` points at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from minkgen.errors import StoreError
from minkgen.recipe import canonical_json
from minkgen.store.files import read_json, write_bytes
from minkgen.store.layout import StorePaths

__all__ = ["Action", "Publication", "current_name", "earlier", "read_history", "record", "retired"]

Action = Literal["publish", "rollback"]


@dataclass(frozen=True)
class Publication:
    """A snapshot became current.

    Attributes
    ----------
    snapshot : str
    time : datetime
    action : {"publish", "rollback"}
    """

    snapshot: str
    time: datetime
    action: Action


def current_name(paths: StorePaths) -> str | None:
    """Return the snapshot that `current` points at."""
    return Path(paths.current.readlink()).stem if paths.current.is_symlink() else None


def read_history(paths: StorePaths) -> list[Publication]:
    """Return the publications of a store in order; the last one is current.

    Raises
    ------
    StoreError
        If the file is damaged.
    """
    if not paths.history.exists():
        return []
    content = read_json(paths.history)
    try:
        history = [
            Publication(entry["snapshot"], datetime.fromisoformat(entry["time"]), entry["action"])
            for entry in content
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            "the history is damaged",
            where=paths.history,
            got=error,
            hint="restore the file from a copy, or take it away: `minkgen store publish` begins a "
            "new one",
        ) from error
    current = current_name(paths)
    if any(entry.snapshot == current for entry in history):
        while history[-1].snapshot != current:
            history.pop()
    return history


def record(paths: StorePaths, snapshot: str, action: Action, share: Callable[[Path], None]) -> None:
    """Add a publication that is about to be made."""
    entry = Publication(snapshot, datetime.now(UTC), action)
    lines = [
        canonical_json({**asdict(each), "time": each.time.isoformat(timespec="seconds")})
        for each in (*read_history(paths), entry)
    ]
    write_bytes(paths.history, ("[\n" + ",\n".join(lines) + "\n]\n").encode(), share)


def earlier(history: Sequence[Publication], current: str | None) -> list[str]:
    """Return what was current before, latest first, as undoing goes.

    What was rolled back from is not among it.

    Examples
    --------
    >>> time = datetime(2024, 7, 1, tzinfo=UTC)
    >>> steps = [("a", "publish"), ("b", "publish"), ("a", "rollback"), ("c", "publish")]
    >>> earlier([Publication(name, time, how) for name, how in steps], current="c")
    ['a']
    """
    stack: list[str] = []
    for entry in history:
        if entry.action == "rollback" and entry.snapshot in stack:
            del stack[stack.index(entry.snapshot) :]
        elif entry.snapshot in stack:
            stack.remove(entry.snapshot)
        stack.append(entry.snapshot)
    return [name for name in reversed(stack) if name != current]


def retired(history: Sequence[Publication], snapshot: str) -> datetime | None:
    """Return when a snapshot was current for the last time; None if it never was, or still is."""
    positions = [index for index, entry in enumerate(history) if entry.snapshot == snapshot]
    if not positions or positions[-1] == len(history) - 1:
        return None
    return history[positions[-1] + 1].time
