"""What a task spends its time on, by named stages."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

__all__ = ["STAGES", "Stage", "Stopwatch", "add_up"]

Stage = Literal["reading", "cutting", "gamma", "mixup", "writing"]

STAGES: dict[Stage, str] = {
    "reading": "reading",
    "cutting": "cutting",
    "gamma": "γ",
    "mixup": "mix-up",
    "writing": "compressing and writing",
}


class Stopwatch:
    """Adds up wall-clock seconds by stage.

    Examples
    --------
    >>> stopwatch = Stopwatch()
    >>> with stopwatch.stage("gamma"):
    ...     pass
    >>> list(stopwatch.seconds)
    ['gamma']
    """

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: Stage) -> Iterator[None]:
        """Count what happens inside to a stage."""
        began = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    def stop(self) -> dict[str, float]:
        """Return the seconds of each stage, and `other`: what belongs to none."""
        whole = time.perf_counter() - self._began
        return {**self.seconds, "other": whole - sum(self.seconds.values())}


def add_up(each: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the sums over several tasks, stage by stage."""
    sums: Counter[str] = Counter()
    for seconds in each:
        sums.update(seconds)
    return dict(sums)
