"""What people and programs see: progress bars, plain lines in logs, text and JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from minkgen.workflows.progress import Progress

__all__ = ["plain", "show_progress", "show_result"]

_SECONDS_BETWEEN_LINES = 10.0


class _Bars:
    """One bar per stage, on a terminal."""

    def __init__(self, bars: RichProgress) -> None:
        self._bars = bars
        self._task: TaskID | None = None
        self._done, self._began = 0, 0.0

    def stage(self, name: str, total: int) -> None:
        self._task = self._bars.add_task(name, total=total, rate="", note="")
        self._done, self._began = 0, time.monotonic()

    def advance(self, steps: int = 1, note: str = "") -> None:
        if self._task is not None:
            self._done += steps
            rate = _rate(self._done, time.monotonic() - self._began)
            self._bars.update(self._task, advance=steps, rate=rate, note=note)


def _rate(steps: int, seconds: float) -> str:
    """Write how fast work goes, in the unit of which there is at least one."""
    if steps == 0 or seconds <= 0:
        return ""
    for unit, length in (("s", 1.0), ("min", 60.0)):
        if steps * length >= seconds:
            return f"{steps * length / seconds:.3g}/{unit}"
    return f"{steps * 3600 / seconds:.3g}/h"


class _Lines:
    """Plain lines with the time left, not more than one in ten seconds, for logs."""

    def __init__(self) -> None:
        self._name, self._total, self._done = "", 0, 0
        self._began = self._shown = 0.0

    def stage(self, name: str, total: int) -> None:
        self._name, self._total, self._done = name, total, 0
        self._began = self._shown = time.monotonic()
        click.echo(f"{name}: {total} step{'' if total == 1 else 's'}", err=True)

    def advance(self, steps: int = 1, note: str = "") -> None:
        self._done += steps
        now = time.monotonic()
        due = self._done > 0 and now - self._shown >= _SECONDS_BETWEEN_LINES
        finished = steps > 0 and self._done >= self._total
        if due or finished:
            self._shown = now
            spent = now - self._began
            left = spent / self._done * (self._total - self._done)
            tail = f" ({note})" if note else ""
            done = f"{self._name}: {self._done}/{self._total}"
            click.echo(f"{done} in {spent:.0f} s, {left:.0f} s left{tail}", err=True)


@contextmanager
def show_progress(*, quiet: bool) -> Iterator[Progress]:
    """Yield where a workflow reports: bars on a terminal, lines elsewhere, nothing if quiet."""
    from minkgen.workflows.progress import Silent

    if quiet:
        yield Silent()
    elif not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield _Lines()
    else:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
        ) as bars:
            yield _Bars(bars)


def plain(text: object) -> str:
    """Return ASCII without control characters, whatever a server or a damaged file holds."""
    return str(text).encode("unicode_escape").decode("ascii")


def show_result(result: Mapping[str, Any], text: Callable[[], str], *, as_json: bool) -> None:
    """Print a result: as text, or as one JSON object with the text on stderr."""
    click.echo(text(), err=as_json)
    if as_json:
        click.echo(json.dumps(result, allow_nan=False))
