"""How long work reports where it stands; rendering is the command line's matter."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "Silent"]


class Progress(Protocol):
    """Receives the progress of a workflow."""

    def stage(self, name: str, total: int) -> None:
        """Begin a stage of so many steps."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Report steps done, with the latest figure worth showing."""


class Silent:
    """Progress that nobody looks at."""

    def stage(self, name: str, total: int) -> None:
        """Ignore the beginning of a stage."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Ignore steps."""
