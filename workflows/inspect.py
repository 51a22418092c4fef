"""Inspect: what is in a store, what is missing, and how far a build is; the store is only read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from minkgen.errors import InputError, StoreError
from minkgen.evaluate.calendar import NOT_ASKED, UNKNOWN_ERA, draw_calendar
from minkgen.evaluate.figures import as_png
from minkgen.products import GROUPS
from minkgen.recipe import FlagRules
from minkgen.store.build import Part, is_written
from minkgen.store.composites import held_products, open_composites
from minkgen.store.files import write_bytes
from minkgen.store.flags import flags_of
from minkgen.store.layout import (
    SAMPLES_PER_SHARD,
    StorePaths,
    attribution_of,
)
from minkgen.store.ledger import STATES, Slot, read_ledger
from minkgen.store.snapshot import SPLITS, Snapshot, open_snapshot
from minkgen.workflows.progress import Progress, Silent

__all__ = [
    "BuildReport",
    "DayReport",
    "SnapshotReport",
    "StoreReport",
    "draw_report",
    "inspect_snapshots",
    "inspect_store",
]

_RULES = FlagRules()
# Without the rosters of radars a year is read in 0.5 instead of 1.8 s.
_FRAME_COLUMNS = [
    "time",
    "product",
    "era",
    "source",
    "covered_fraction",
    "max_rate",
    "pixels_from_31",
    "most_repeated_rate",
    "most_repeated_count",
]


@dataclass(frozen=True)
class DayReport:
    """What is known of one UTC day.

    Attributes
    ----------
    day : date
    slots : mapping of datetime to Slot
        By nominal time, in order; a slot that nobody asked for is not among them.
    eras : mapping of datetime to str
        Of every ok slot; `UNKNOWN_ERA` where the frame table does not have it.
    flags : mapping of datetime to tuple of str
        Of the ok slots that raise any.
    sources : tuple of str
        Who made each ok slot that is in the frame table.
    """

    day: date
    slots: Mapping[datetime, Slot]
    eras: Mapping[datetime, str]
    flags: Mapping[datetime, tuple[str, ...]]
    sources: tuple[str, ...]

    def states(self) -> dict[str, int]:
        """Return the number of slots by state."""
        counts = Counter(str(slot.state) for slot in self.slots.values())
        return {state: counts[state] for state in STATES}


@dataclass(frozen=True)
class SnapshotReport:
    """A published snapshot: its samples by split, its thresholds, and its size on disk."""

    name: str
    current: bool
    rows: Mapping[str, int]
    thresholds: int
    size_bytes: int


@dataclass(frozen=True)
class BuildReport:
    """A snapshot that is being computed, or whose computation was interrupted."""

    name: str
    parts: int
    parts_written: int


@dataclass(frozen=True)
class StoreReport:
    """What is in a store.

    Attributes
    ----------
    store : Path
    grid, product : str
        Of these composites.
    shape : tuple of int
        Rows and columns of the grid.
    pixel_km : float
        Side of a pixel.
    slots_per_day : int
        Of their time axis.
    products : tuple of str
        All that the store has composites of.
    years : tuple of int
        First and last calendar year of the time axis.
    days : tuple of DayReport
        The days that have a ledger, in order.
    snapshots : tuple of SnapshotReport
    builds : tuple of BuildReport
    """

    store: Path
    grid: str
    product: str
    shape: tuple[int, int]
    pixel_km: float
    slots_per_day: int
    products: tuple[str, ...]
    years: tuple[int, int]
    days: tuple[DayReport, ...]
    snapshots: tuple[SnapshotReport, ...]
    builds: tuple[BuildReport, ...]

    def states(self) -> dict[str, int]:
        """Return the number of slots by state."""
        days = [day.states() for day in self.days]
        return {state: sum(day[state] for day in days) for state in STATES}

    def eras(self) -> dict[str, int]:
        """Return the number of ok slots by era, in the order of the eras' first slots."""
        return dict(Counter(era for day in self.days for era in day.eras.values()))

    def flags(self) -> dict[str, int]:
        """Return the number of ok slots by flag; zero for flags that none raises."""
        counts = Counter(dict.fromkeys(FlagRules.model_fields, 0))
        counts.update(flag for day in self.days for flags in day.flags.values() for flag in flags)
        return dict(counts)

    def asked(self) -> tuple[datetime, datetime] | None:
        """Return the first and the last slot that was ever asked for."""
        times = [time for day in self.days for time in day.slots]
        return (min(times), max(times)) if times else None

    def calendar(self) -> dict[date, DayReport | None]:
        """Return every day from the first that has a ledger to the last; None has none."""
        if not self.days:
            return {}
        known = {day.day: day for day in self.days}
        first, last = self.days[0].day, self.days[-1].day
        days = (first + timedelta(days=index) for index in range((last - first).days + 1))
        return {day: known.get(day) for day in days}

    def attribution(self) -> str:
        """Return source and licence of the frames."""
        return attribution_of(source for day in self.days for source in day.sources)


def inspect_store(
    store: str | Path,
    product: str | None = None,
    progress: Progress | None = None,
    *,
    rules: FlagRules = _RULES,
) -> StoreReport:
    """Read the ledgers, the frame tables and the snapshots of a store, and no composite.

    Parameters
    ----------
    store : str or Path
    product : {"RATE", "ACRR", "DBZH", "OWN"}, optional
        Whose composites; by default the first of them that the store has.
    progress : Progress, optional
    rules : FlagRules, optional
        Of flags; the default ones, whatever the recipe of the store says.

    Returns
    -------
    StoreReport

    Raises
    ------
    StoreError
        If there is no store, or a ledger, a frame table or a snapshot is damaged: half an account
        would pass for a whole one.
    """
    progress = progress or Silent()
    held = held_products(StorePaths(Path(store)))
    paths = StorePaths(Path(store), GROUPS[product or (held or ("RATE",))[0]])
    composites = open_composites(paths)
    days = _ledger_days(paths)
    progress.stage("read ledgers", len(days))
    reports = []
    for day in days:
        reports.append(_inspect_day(paths, day, composites.product.step, rules))
        progress.advance(1, f"{day}")
    return StoreReport(
        store=paths.root,
        grid=composites.grid.name,
        product=composites.product.quantity,
        shape=composites.grid.shape,
        pixel_km=composites.grid.pixel_km,
        slots_per_day=composites.product.slots_per_day,
        products=held,
        years=(composites.first_year, composites.last_year),
        days=tuple(reports),
        snapshots=inspect_snapshots(paths),
        builds=tuple(_builds(paths)),
    )


def _ledger_days(paths: StorePaths) -> list[date]:
    days = []
    for path in (paths.root / "ledger" / paths.group).glob("*.json"):
        try:
            day = date.fromisoformat(path.stem)
        except ValueError:
            day = None
        if day is None or path.name != paths.ledger(day).name:
            raise StoreError(
                "a file among the ledgers is none", where=path, expected="YYYY-MM-DD.json"
            )
        days.append(day)
    return sorted(days)


def _inspect_day(paths: StorePaths, day: date, step: timedelta, rules: FlagRules) -> DayReport:
    slots = dict(sorted(read_ledger(paths, day).slots.items()))
    for time, slot in slots.items():
        position = _position(time, step)
        if slot.state not in STATES or time.date() != day or position is None:
            raise StoreError(
                "the ledger is damaged",
                where=paths.ledger(day),
                got=f"{time:%FT%R} {slot.state}",
                expected=f"every {step} of {day}, states that are {', '.join(STATES)}",
                hint="move the file away and run `minkgen ingest` again for this day",
            )
    rows = _frame_rows(paths, day)
    ok = [time for time, slot in slots.items() if slot.state == "ok"]
    described = [time for time in ok if time in rows]
    flags = flags_of([rows[time] for time in described], rules)
    return DayReport(
        day=day,
        slots=slots,
        eras={time: rows[time]["era"] if time in rows else UNKNOWN_ERA for time in ok},
        flags={time: raised for time, raised in flags.items() if raised},
        sources=tuple(rows[time]["source"] for time in described),
    )


def _position(time: datetime, step: timedelta) -> int | None:
    """Return the index of a slot in its day, None if no slot begins at this time."""
    since_midnight = time - time.replace(hour=0, minute=0, second=0, microsecond=0)
    return None if since_midnight % step else since_midnight // step


def _frame_rows(paths: StorePaths, day: date) -> dict[datetime, dict[str, Any]]:
    path = paths.frames(day)
    if not path.exists():
        return {}
    try:
        with pq.ParquetFile(path) as table:
            rows = table.read(_FRAME_COLUMNS).select(_FRAME_COLUMNS).to_pylist()
    except (pa.ArrowInvalid, OSError, KeyError) as error:
        raise StoreError(
            "the frame table cannot be read",
            where=path,
            got=error,
            expected=f"Parquet with the columns {', '.join(_FRAME_COLUMNS)}",
            hint="move it and the ledger of the day away and run `minkgen ingest` again",
        ) from error
    return {row["time"].astimezone(UTC): row for row in rows}


def inspect_snapshots(paths: StorePaths) -> tuple[SnapshotReport, ...]:
    """Return the published snapshots of a store, by name.

    Raises
    ------
    StoreError
        If one of them cannot be read.
    """
    return tuple(
        _inspect_snapshot(paths, path) for path in sorted(paths.features.glob("[!.]*.zarr"))
    )


def _inspect_snapshot(paths: StorePaths, path: Path) -> SnapshotReport:
    snapshot = open_snapshot(paths.root, path.name)
    return SnapshotReport(
        name=snapshot.name,
        current=path.resolve() == paths.current.resolve(),
        rows={split: snapshot.rows(split) for split in SPLITS},
        thresholds=len(snapshot.thresholds),
        size_bytes=sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
    )


def _builds(paths: StorePaths) -> Iterable[BuildReport]:
    prefix = ".building-"
    for path in sorted(paths.features.glob(f"{prefix}*.zarr")):
        growing = Snapshot(path, {})
        try:
            parts = [part for split in SPLITS for part in _parts(split, growing.rows(split))]
        except FileNotFoundError:
            continue  # published or removed since it was listed
        written = sum(is_written(path, part) for part in parts)
        yield BuildReport(path.stem.removeprefix(prefix), len(parts), written)


def _parts(split: str, rows: int) -> list[Part]:
    return [
        Part(split, index, min(SAMPLES_PER_SHARD, rows - first))
        for index, first in enumerate(range(0, rows, SAMPLES_PER_SHARD))
    ]


def draw_report(report: StoreReport, picture: Path) -> None:
    """Write the calendar of a store as a PNG image: days by quarters, coloured by state and era.

    Raises
    ------
    StoreError
        If the store has no ledger.
    InputError
        If the picture cannot be written there.
    """
    calendar = report.calendar()
    if not calendar:
        raise StoreError(
            "there is nothing to draw: the store has no ledger",
            where=report.store,
            hint="run `minkgen ingest` with the recipe first",
        )
    kinds = np.full((len(calendar), report.slots_per_day), NOT_ASKED, dtype=object)
    rows = {day: row for row, day in enumerate(calendar)}
    for day in report.days:
        for time, slot in day.slots.items():
            kind = day.eras[time] if slot.state == "ok" else slot.state
            kinds[rows[day.day], _position(time, timedelta(days=1) / report.slots_per_day)] = kind
    figure = draw_calendar(
        tuple(calendar),
        kinds,
        title=f"{report.store.resolve().name}: {report.product} on {report.grid}",
        attribution=report.attribution(),
    )
    try:
        write_bytes(picture, as_png(figure))
    except OSError as error:
        raise InputError(
            "the picture cannot be written", where=picture, got=error, hint="give another --picture"
        ) from error
