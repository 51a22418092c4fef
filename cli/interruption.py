"""Ctrl-C and SIGTERM: the first one ends a command cleanly, the second one at once."""

from __future__ import annotations

import logging
import signal
from types import FrameType

__all__ = ["Interruption"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Turns the first signal into `KeyboardInterrupt`, so that everything that is open is closed.

    Jobs are cancelled and workers stopped on the way out, which takes seconds. Whoever cannot wait
    sends another signal, and the process ends as if nobody had handled it.
    """

    def __init__(self) -> None:
        self._received = signal.SIGINT
        for number in _SIGNALS:
            signal.signal(number, self._receive)

    @property
    def status(self) -> int:
        """The exit status of a process that the received signal has ended."""
        return 128 + self._received

    def _receive(self, number: int, _: FrameType | None) -> None:
        self._received = signal.Signals(number)
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        # What is cut off complains; that it was cut off is all there is to know.
        logging.disable(logging.ERROR)
        raise KeyboardInterrupt
