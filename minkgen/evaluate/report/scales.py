"""Axes of a chart: from values to pixels, and which values are written beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt

from minkgen.evaluate.report.svg import grouped, number, scientific

__all__ = ["Scale", "Tick", "fit_scale", "time_ticks"]

Floats = npt.NDArray[np.floating]
# So many powers of ten need no 2 and 5 between them.
_ENOUGH = 4
Kind = Literal["linear", "log", "log1p"]


@dataclass(frozen=True)
class Tick:
    """Where a value is on its axis, in pixels, and what is written there."""

    place: float
    label: str


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high`, drawn from pixel `start` to pixel `end`.

    No tick is written between whole values, as of counts, if these are `whole`.
    """

    kind: Kind
    low: float
    high: float
    start: float
    end: float
    whole: bool = False

    def place(self, values: Floats | float) -> Floats:
        """Return pixels; NaN where a value has no place, as 0 on a logarithmic axis."""
        low, high = _transformed(self.kind, np.array([self.low, self.high]))
        share = (_transformed(self.kind, np.asarray(values, float)) - low) / (high - low)
        places: Floats = self.start + share * (self.end - self.start)
        return places

    def ticks(self, gap: float) -> list[Tick]:
        """Return ticks that are at least `gap` pixels apart, in the order of their values."""
        if self.kind == "linear" or self._is_short():
            return self._even_ticks(gap)
        chosen: list[tuple[float, float]] = []
        for multiple in (1, 2, 5):
            if multiple > 1 and len(chosen) >= _ENOUGH:
                break
            for value in self._decades(multiple):
                place = float(self.place(value))
                if all(abs(place - other) >= gap for _, other in chosen):
                    chosen.append((value, place))
        return [Tick(place, _label(value)) for value, place in sorted(chosen)]

    def _is_short(self) -> bool:
        """Return whether 1, 2, 5 would leave a logarithmic axis nearly empty."""
        if self.kind == "log":
            return self.high / self.low < 10.0
        return self.high < 5.0

    def _even_ticks(self, gap: float) -> list[Tick]:
        room = max(1, int(abs(self.end - self.start) / gap))
        step = max(_even_step(self.high - self.low, room), 1.0 if self.whole else 0.0)
        first, last, places = self._multiples(step)
        # Even values come nearer to each other along a logarithmic axis, however short it is.
        while len(places) > 2 and np.abs(np.diff(places)).min() < 0.99 * gap:
            step = _even_step(1.01 * step, 1)
            first, last, places = self._multiples(step)
        decimals = max(0, -math.floor(math.log10(step)))
        if max(abs(self.low), abs(self.high)) >= 1e6 or decimals > 4:
            labels = [number(k * step, 3) for k in range(first, last + 1)]
        else:
            labels = [grouped(f"{k * step:.{decimals}f}") for k in range(first, last + 1)]
        return [Tick(float(p), text) for p, text in zip(places, labels, strict=True)]

    def _multiples(self, step: float) -> tuple[int, int, Floats]:
        """Return the first and last multiple of a step on the axis, and where all of them are."""
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return first, last, self.place(step * np.arange(first, last + 1))

    def _decades(self, multiple: int) -> list[float]:
        """Return multiples of powers of ten on the axis; beside the first of log1p, 0."""
        smallest = self.low if self.kind == "log" else 1.0
        powers = range(math.floor(math.log10(smallest)), math.floor(math.log10(self.high)) + 1)
        zero = [0.0] if self.kind == "log1p" and multiple == 1 else []
        values = (multiple * 10.0**power for power in powers)
        # A threshold of 0.1 that was kept in single precision is at 0.1.
        low, high = self.low * (1 - 1e-6), self.high * (1 + 1e-6)
        return zero + [value for value in values if low <= value <= high]


def fit_scale(kind: Kind, values: Floats, start: float, end: float) -> Scale:
    """Return a scale on which all values that have a place are seen.

    A linear axis of counts or shares that come near 0 begins at 0; log1p always does.

    Parameters
    ----------
    kind : {"linear", "log", "log1p"}
    values : array of float
        NaN, infinities, and what a logarithm does not take, are left out.
    start, end : float
        Pixels of the lowest and of the highest value.
    """
    seen = np.asarray(values, float)
    seen = seen[np.isfinite(_transformed(kind, seen))]
    if seen.size == 0:
        return Scale(
            kind, 1.0 if kind == "log" else 0.0, 10.0 if kind == "log" else 1.0, start, end
        )
    low, high = float(seen.min()), float(seen.max())
    # Shares may all be 0 and 1, too; counts of such a kind lose nothing by ticks between them.
    whole = high - low >= 2.0 and bool((seen == np.round(seen)).all())
    if kind == "log1p":
        return Scale(kind, 0.0, high if high > 0.0 else 1.0, start, end, whole)
    if kind == "log":
        return Scale(kind, *((low, high) if low < high else (low / 2, high * 2)), start, end)
    if 0.0 < low < 0.3 * high:
        low = 0.0
    if low == high:
        low, high = (low - 0.5 * abs(low), high + 0.5 * abs(high)) if low else (0.0, 1.0)
    return Scale(kind, low, high, start, end, whole)


def _transformed(kind: Kind, values: Floats) -> Floats:
    with np.errstate(all="ignore"):
        if kind == "log":
            return np.where(values > 0.0, np.log(values), np.nan)
        if kind == "log1p":
            return np.where(values >= 0.0, np.log1p(values), np.nan)
    return np.asarray(values, float)


def _even_step(length: float, room: int) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that needs no more than `room` ticks."""
    power = 10.0 ** math.floor(math.log10(length / room))
    return next((m * power for m in (1, 2, 5) if m * power * room >= length), 10.0 * power)


def _label(value: float) -> str:
    """Return a value of a logarithmic axis, which is 0 or 1, 2 or 5 times a power of ten."""
    if value == 0.0:
        return "0"
    if 1e-3 <= value < 1e5:
        return grouped(f"{value:.4f}".rstrip("0").rstrip("."))
    return scientific(value, 1).removeprefix("1·")


_HOUR, _DAY = 1.0, 24.0
_STEPS_HOURS = (_HOUR, 3.0, 6.0, 12.0, _DAY, 2 * _DAY, 7 * _DAY)
_STEPS_MONTHS = (1, 3, 6, 12, 24, 60, 120)


def time_ticks(start: datetime, end: datetime, room: int) -> list[tuple[datetime, str]]:
    """Return at most about `room` round times from `start` to `end`, with their labels (UTC)."""
    hours = (end - start).total_seconds() / 3600.0
    for step in _STEPS_HOURS:
        if hours / step <= room:
            return _round_hours(start, end, step)
    for months in _STEPS_MONTHS:
        if hours / (months * 30.44 * _DAY) <= room:
            return _round_months(start, end, months)
    return _round_months(start, end, 240)


def _round_hours(start: datetime, end: datetime, step: float) -> list[tuple[datetime, str]]:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    count = math.ceil((start - epoch).total_seconds() / 3600.0 / step)
    ticks = []
    while (time := epoch + timedelta(hours=count * step)) <= end:
        written = f"{time:%Y-%m-%d}" if step >= _DAY or time.hour == 0 else f"{time:%H:%M}"
        ticks.append((time, written))
        count += 1
    return ticks


def _round_months(start: datetime, end: datetime, step: int) -> list[tuple[datetime, str]]:
    count = math.ceil((start.year * 12 + start.month - 1) / step) * step
    ticks = []
    while (time := datetime(count // 12, count % 12 + 1, 1, tzinfo=UTC)) <= end:
        if time >= start:
            ticks.append((time, f"{time:%Y}" if step >= 12 else f"{time:%Y-%m}"))
        count += step
    return ticks
