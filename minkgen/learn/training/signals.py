"""Signals that ask a training to end: it does so after the running batch."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["STOP_SIGNALS", "StopSignals"]

# SIGUSR1 is what SLURM is asked to send before the time limit, SIGTERM what it sends at the limit
# and when a job has to make room for another.
STOP_SIGNALS = (signal.SIGUSR1, signal.SIGTERM)


class StopSignals:
    """Remembers that SIGUSR1 or SIGTERM came, while it is entered in the main thread.

    A signal that comes again changes nothing: SLURM sends one to a process and to its group.

    Attributes
    ----------
    received : Signals or None
        The latest of them.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in STOP_SIGNALS}
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.received = signal.Signals(number)
