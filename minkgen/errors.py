"""The errors of minkgen: what went wrong, where, what was found, what was expected, what to do.

Every error a caller can meet is a child of `MinkgenError`; children that stand for bad input also
inherit `ValueError`, so that code which expects the builtin keeps working.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import NamedTuple

__all__ = [
    "MinkgenError",
    "InputError",
    "RecipeError",
    "SiteError",
    "SourceError",
    "TransferError",
    "StoreError",
    "StoreLockedError",
    "EmptySplitError",
    "PlanRefused",
    "TrainingError",
    "NotFiniteError",
    "TrainingStopped",
    "ClusterError",
    "TaskError",
    "FailedTask",
    "TasksFailed",
]


class MinkgenError(Exception):
    """Root of all errors that minkgen raises on purpose.

    Parameters
    ----------
    what : str
        What went wrong, as one sentence without the details.
    where : object, optional
        The file, key, array or recipe path it concerns.
    got, expected : object, optional
        What was found, and what should have been there.
    hint : str, optional
        What the reader can do next.

    Examples
    --------
    >>> print(MinkgenError("the grid is unknown", where="a.h5", got="3 x 3", hint="try another"))
    the grid is unknown
      where: a.h5
      got: 3 x 3
      next: try another
    """

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        got: object = None,
        expected: object = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.got = got
        self.expected = expected
        self.hint = hint

    def _details(self) -> dict[str, object]:
        details = {
            "where": self.where,
            "got": self.got,
            "expected": self.expected,
            "next": self.hint,
        }
        return {label: value for label, value in details.items() if value is not None}

    def __str__(self) -> str:
        lines = [self.what, *(f"  {label}: {value}" for label, value in self._details().items())]
        return "\n".join(lines)

    def one_line(self) -> str:
        """Return the message on one line, as ledgers and logs keep it."""
        details = "; ".join(f"{label}: {value}" for label, value in self._details().items())
        return f"{self.what} ({details})" if details else self.what

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.what, self.__dict__.copy()))


def _rebuild(kind: type[MinkgenError], what: str, state: dict[str, object]) -> MinkgenError:
    error = kind.__new__(kind)
    Exception.__init__(error, what)
    error.__dict__.update(state)
    return error


class InputError(MinkgenError, ValueError):
    """An argument of a library function cannot be used."""


class RecipeError(MinkgenError, ValueError):
    """A recipe has one or more faults; all of them are listed.

    Parameters
    ----------
    faults : sequence of str
        One line per fault, each beginning with the path of the key.
    where : object
        The recipe file.
    hint : str, optional
        What the reader can do next.
    """

    _document = "recipe"

    def __init__(
        self,
        faults: Sequence[str],
        *,
        where: object = None,
        hint: str = "mend the keys above; nothing was read or written",
    ) -> None:
        self.faults = tuple(faults)
        count = len(self.faults)
        listing = "".join(f"\n  - {fault}" for fault in self.faults)
        super().__init__(
            f"the {self._document} has {count} fault{'' if count == 1 else 's'}:{listing}",
            where=where,
            hint=hint,
        )


class SiteError(RecipeError):
    """A site profile has one or more faults; all of them are listed."""

    _document = "site profile"


class SourceError(MinkgenError, ValueError):
    """A radar file is damaged, of another kind than its name says, or not understood."""


class TransferError(MinkgenError, RuntimeError):
    """A listing or a file could not be had from a server; it may be there the next time."""


class StoreError(MinkgenError, ValueError):
    """A feature store is missing, incomplete, or was made by another recipe."""


class StoreLockedError(StoreError):
    """Another process is at the same work on the store; the message names it."""


class EmptySplitError(MinkgenError, ValueError):
    """A split, or the whole period, holds no eligible tile."""


class PlanRefused(MinkgenError, RuntimeError):  # noqa: N818 - what it is, in one word
    """A plan does not fit the memory or the disk that is there; nothing was begun."""


class TrainingError(MinkgenError, RuntimeError):
    """Training or evaluation cannot go on: a non-finite loss, or a checkpoint of another run."""


class NotFiniteError(TrainingError):
    """A loss is infinite or no number: the settings, or a tile, are no good."""


class TrainingStopped(MinkgenError, RuntimeError):  # noqa: N818 - nothing went wrong
    """A signal has ended a training, which goes on from its checkpoint when it is started again.

    Attributes
    ----------
    number : int
        Of the signal.
    """

    number: int = signal.SIGTERM


class ClusterError(MinkgenError, RuntimeError):
    """A Dask cluster cannot be started or reached, or was lost."""


class TaskError(MinkgenError, RuntimeError):
    """A distributed task failed; the message names its inputs and holds its traceback."""


class FailedTask(NamedTuple):
    """A task that was given up.

    Attributes
    ----------
    inputs : str
        What it was to work on.
    attempts : tuple of str
        What each attempt ended with, on one line, in order.
    traceback : str
        Of the last attempt; empty where its worker was killed.
    """

    inputs: str
    attempts: tuple[str, ...]
    traceback: str

    def __str__(self) -> str:
        tries = (f"attempt {number}: {end}" for number, end in enumerate(self.attempts, start=1))
        return "\n    ".join((self.inputs, *tries))


class TasksFailed(TaskError):  # noqa: N818 - what happened, in two words
    """Some tasks of a run failed for good; all others were finished, and what they made is kept.

    Parameters
    ----------
    what : str
        What a task was to do, as one sentence: "the day could not be ingested".
    failures : sequence of FailedTask
        In the order of the tasks.
    total : int
        Number of all tasks.
    """

    _shown = 10

    def __init__(self, what: str, failures: Sequence[FailedTask], total: int) -> None:
        self.failures = tuple(failures)
        count = len(self.failures)
        lines = [f"{count} of {total} tasks failed", *map(str, self.failures[: self._shown])]
        if count > self._shown:
            lines.append(f"and {count - self._shown} more")
        if self.failures[0].traceback:
            lines.append(f"the first one's traceback:\n{self.failures[0].traceback.rstrip()}")
        super().__init__(
            what,
            where=self.failures[0].inputs,
            got="\n  - ".join(lines),
            hint="mend the cause and run the same command again; finished tasks are kept",
        )
