"""Training, validation and test periods: by time only, kept apart by a gap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Self

from pydantic import Field, model_validator

from minkgen.recipe.sections import Section, Window

__all__ = ["Splits", "split_faults"]


def _in_order(
    windows: Mapping[str, Window],
) -> Iterator[tuple[tuple[str, Window], tuple[str, Window]]]:
    return pairwise(sorted(windows.items(), key=lambda item: item[1].start))


def split_faults(windows: Mapping[str, Window], gap_hours: float) -> list[str]:
    """Return which splits overlap, and which the gap before them leaves empty."""
    faults = []
    for (earlier, first), (later, second) in _in_order(windows):
        if second.start < first.end:
            faults.append(f"{earlier} and {later} overlap: {later} starts before {first.end:%FT%R}")
        elif second.end <= first.end + timedelta(hours=gap_hours):
            faults.append(f"the gap of {gap_hours:g} h after {earlier} leaves {later} empty")
    return faults


class Splits(Section):
    """Training, validation and test periods, kept apart by a gap."""

    train: Window
    validation: Window
    test: Window
    gap_hours: float = Field(
        default=6.0, ge=0, description="cut from the start of the later of two splits"
    )

    def windows(self) -> dict[str, Window]:
        """Return the windows by name, as written."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        faults = split_faults(self.windows(), self.gap_hours)
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def trimmed(self) -> dict[str, Window]:
        """Return the windows by name after the gap is cut from the start of each later one."""
        trimmed = self.windows()
        for (_, first), (later, second) in _in_order(trimmed):
            start = max(second.start, first.end + timedelta(hours=self.gap_hours))
            trimmed[later] = Window.model_construct(start=start, end=second.end)
        return trimmed
