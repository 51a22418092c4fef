"""What a check says: passed, failed or not applicable, what it looked at, and counter-examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["SHOWN", "CounterExample", "Faults", "Finding", "Outcome", "listed", "not_applicable"]

Outcome = Literal["passed", "failed", "not applicable"]
# Enough to see what the failures have in common.
SHOWN = 5


@dataclass(frozen=True)
class CounterExample:
    """One place where a law does not hold."""

    place: str
    got: str
    expected: str


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes
    ----------
    outcome : {"passed", "failed", "not applicable"}
    looked_at : str
        What was looked at, and how much of it; why nothing was, where the check does not apply.
    counter_examples : tuple of CounterExample
        The first few.
    failures : int
        Number of all counter-examples.
    next_step : str or None
        What the reader can do; None where nothing failed.
    """

    outcome: Outcome
    looked_at: str
    counter_examples: tuple[CounterExample, ...] = ()
    failures: int = 0
    next_step: str | None = None


def not_applicable(reason: str) -> Finding:
    """Return the finding of a check that has nothing to look at."""
    return Finding("not applicable", reason)


@dataclass
class Faults:
    """Collects counter-examples, and makes a finding of them.

    Examples
    --------
    >>> faults = Faults()
    >>> faults.equal("a.json", got=3, expected=4)
    >>> faults.finding(2, "files", "write it again").outcome
    'failed'
    >>> Faults().finding(0, "files", "write it again").outcome
    'not applicable'
    """

    examples: list[CounterExample] = field(default_factory=list)
    count: int = 0

    def add(self, place: object, got: object, expected: object) -> None:
        """Keep a counter-example, or count it where enough are kept."""
        self.count += 1
        if len(self.examples) < SHOWN:
            self.examples.append(CounterExample(str(place), str(got), str(expected)))

    def equal(self, place: object, *, got: object, expected: object) -> None:
        """Require two plain values to be equal."""
        if got != expected:
            self.add(place, got, expected)

    def require(self, holds: bool, place: object, got: object, expected: object) -> None:
        """Require a condition."""
        if not holds:
            self.add(place, got, expected)

    def where(
        self,
        wrong: npt.NDArray[np.bool_],
        place: Callable[[int], str],
        got: npt.ArrayLike,
        expected: npt.ArrayLike,
    ) -> None:
        """Require that no element of a vector is wrong.

        Parameters
        ----------
        wrong : ndarray of bool, shape (n,)
        place : callable
            Names the element with an index; called for the few that are shown.
        got, expected : array_like, shape (n,) or ()
            Of every element, or one text for all.
        """
        found, wanted = np.broadcast_to(got, wrong.shape), np.broadcast_to(expected, wrong.shape)
        indices = np.flatnonzero(wrong)
        for index in indices[:SHOWN].tolist():
            self.add(place(index), found[index], wanted[index])
        self.count += len(indices[SHOWN:])

    def arrays(self, place: str, got: npt.NDArray[Any], expected: npt.NDArray[Any]) -> None:
        """Require two arrays to be the same, bit for bit but for NaN."""
        if got.shape != expected.shape or got.dtype != expected.dtype:
            self.add(place, f"{got.dtype} {got.shape}", f"{expected.dtype} {expected.shape}")
            return
        wrong = (got != expected) & ~((got != got) & (expected != expected))
        self.where(wrong.ravel(), f"{place} {{}}".format, got.ravel(), expected.ravel())

    def finding(self, count: int, noun: str, next_step: str) -> Finding:
        """Return what was found among so many things; among none of them, nothing was."""
        looked_at = f"{count} {noun}"
        if self.count:
            return Finding("failed", looked_at, tuple(self.examples), self.count, next_step)
        return Finding("passed", looked_at) if count else not_applicable(f"no {noun}")


def listed(names: Iterable[object], shown: int = SHOWN) -> str:
    """Return a few names and how many more there are."""
    texts = [str(name) for name in names]
    more = len(texts) - shown
    return ", ".join(texts[:shown]) + (f" and {more} more" if more > 0 else "")
