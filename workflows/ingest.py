"""Ingest: composites into the store, one task per day, with a ledger of every slot."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numcodecs import Zstd

from minkgen.errors import SourceError
from minkgen.grid import GRIDS
from minkgen.opera.folder import FolderSource
from minkgen.opera.keys import ArchiveKey
from minkgen.opera.odim import Composite, read_composite
from minkgen.recipe import Recipe, Window
from minkgen.store.composites import Composites, create_composites, open_composites
from minkgen.store.files import sha256_of
from minkgen.store.frames import describe_frame, read_frames, write_frames
from minkgen.store.layout import FRAMES_PER_SHARD, StorePaths
from minkgen.store.ledger import STATES, DayLedger, Slot, read_ledger, write_ledger
from minkgen.workflows.cluster import open_client, run_tasks
from minkgen.workflows.progress import Progress, Silent

__all__ = ["DayTask", "IngestResult", "ingest", "ingest_day"]


@dataclass(frozen=True)
class DayTask:
    """What one task needs to know: the store, the source, the day and the period asked for."""

    store: Path
    source: FolderSource
    day: date
    period: Window

    def __str__(self) -> str:
        return f"{self.day} into {self.store}"


@dataclass(frozen=True)
class DayResult:
    """What a day's task did."""

    day: date
    states: dict[str, int]
    newly_ok: int
    newly_bad: tuple[str, ...]


@dataclass(frozen=True)
class IngestResult:
    """What an ingest did, and how the ledger of its period stands.

    Attributes
    ----------
    states : dict
        Number of slots of the period's days by state.
    newly_ok : int
        Slots that became ok in this run.
    newly_bad : tuple of str
        One line per slot that became failed or corrupt in this run, with the reason.
    """

    states: dict[str, int] = field(default_factory=dict)
    newly_ok: int = 0
    newly_bad: tuple[str, ...] = ()


def ingest(recipe: Recipe, progress: Progress | None = None) -> IngestResult:
    """Bring the composites of a recipe's period into its store.

    Slots that are ok already are left alone; all others are looked for again.

    Parameters
    ----------
    recipe : Recipe
    progress : Progress, optional

    Returns
    -------
    IngestResult

    Raises
    ------
    SourceError
        If the source folder is not there.
    StoreError
        If the store was made by another recipe.
    TaskError
        If a day could not be worked on for a reason that lies not in its files.
    """
    progress = progress or Silent()
    source = FolderSource(recipe.source.path.absolute())
    source.check()
    paths = StorePaths(recipe.store.absolute())
    days = recipe.period.days()
    create_composites(paths, GRIDS[recipe.grid], (days[0].year, days[-1].year))
    tasks = [DayTask(paths.root, source, day, recipe.period) for day in days]
    progress.stage("ingest", len(tasks))
    with open_client(recipe.cluster) as client:
        results = run_tasks(
            client,
            ingest_day,
            tasks,
            progress,
            what="a day could not be ingested",
            note=lambda done: f"{done.day}: {done.newly_ok} new",
        )
    states: Counter[str] = Counter(dict.fromkeys(STATES, 0))
    for result in results:
        states.update(result.states)
    return IngestResult(
        states=dict(states),
        newly_ok=sum(result.newly_ok for result in results),
        newly_bad=tuple(line for result in results for line in result.newly_bad),
    )


def ingest_day(task: DayTask) -> DayResult:
    """Ingest one day; the only writer of its shards, frame table and ledger."""
    paths = StorePaths(task.store)
    composites = open_composites(paths)
    ledger = read_ledger(paths, task.day)
    frames = read_frames(paths, task.day)
    listing = task.source.list_day(task.day)
    before = dict(ledger.slots)
    for times in composites.shards_of(task.day):
        pending = [time for time in times if time in task.period and not ledger.ok(time)]
        shard = _Shard(composites, times, ledger)
        for time in pending:
            slot, row = _ingest_slot(task, listing.get(time), shard, time, ledger.slots.get(time))
            ledger.slots[time] = slot
            if row is not None:
                frames[time] = row
        shard.write()
    if ledger.slots != before:
        # The ledger comes last: only what it calls ok is there for a reader.
        write_frames(paths, task.day, list(frames.values()))
        write_ledger(paths, ledger)
    return _summary(ledger, before)


def _ingest_slot(
    task: DayTask, key: ArchiveKey | None, shard: _Shard, time: datetime, known: Slot | None
) -> tuple[Slot, dict[str, object] | None]:
    attempts = 1 if known is None else known.attempts + 1
    checked = f"{datetime.now(UTC):%FT%TZ}"
    if key is None:
        return Slot("absent", attempts, checked, reason="no file of this time"), None
    path = task.source.path(key)
    size, sha256 = path.stat().st_size, sha256_of(path)
    try:
        composite = read_composite(path, key)
        if composite.grid != shard.composites.grid:
            raise SourceError(
                "the file is on another grid than the store",
                where=path,
                got=composite.grid.name,
                expected=shard.composites.grid.name,
            )
    except SourceError as error:
        reason = error.one_line()
        return Slot("corrupt", attempts, checked, key.path, size, sha256, reason), None
    shard.put(time, composite)
    slot = Slot("ok", attempts, checked, key.path, size, sha256)
    return slot, describe_frame(composite, sha256)


class _Shard:
    """The frames of six hours on their way into the store, one array in memory at a time.

    Rain rates are gathered in place. Quality waits compressed (about 1 MB a frame against 17) until
    the rain rates are written, because a whole-shard write peaks at twice the raw 400 MB.
    """

    _codec = Zstd(level=1)

    def __init__(self, composites: Composites, times: list[datetime], ledger: DayLedger) -> None:
        self.composites = composites
        self.times = times
        self._kept = {time for time in times if ledger.ok(time)}
        self._rates: npt.NDArray[np.float32] | None = None
        self._quality: dict[datetime, bytes | None] = {}

    def put(self, time: datetime, composite: Composite) -> None:
        """Add a frame."""
        if self._rates is None:
            self._rates = self._begin("rain_rate")
        self._rates[self.times.index(time)] = composite.values
        quality = composite.quality
        self._quality[time] = None if quality is None else self._codec.encode(quality)

    def write(self) -> None:
        """Write the shard, if a frame was added to it."""
        if self._rates is None:
            return
        self.composites.write_shard("rain_rate", self.times, self._rates)
        self._rates = None
        qualities = self._begin("quality")
        for time, encoded in self._quality.items():
            if encoded is not None:
                decoded = np.frombuffer(self._codec.decode(encoded), np.float32)
                qualities[self.times.index(time)] = decoded.reshape(self.composites.grid.shape)
        self.composites.write_shard("quality", self.times, qualities)

    def _begin(self, variable: str) -> npt.NDArray[np.float32]:
        """Return the frames of the shard that are ok already, and NaN in all other slots."""
        values = np.full((FRAMES_PER_SHARD, *self.composites.grid.shape), np.nan, dtype=np.float32)
        for time in self._kept:
            values[self.times.index(time)] = self.composites.read(variable, time)[0]
        return values


def _summary(ledger: DayLedger, before: dict[datetime, Slot]) -> DayResult:
    newly_ok = 0
    newly_bad = []
    for time, slot in sorted(ledger.slots.items()):
        known = before.get(time)
        if known is not None and (known.state, known.sha256) == (slot.state, slot.sha256):
            continue
        newly_ok += slot.state == "ok"
        if slot.state in ("failed", "corrupt"):
            newly_bad.append(f"{time:%FT%R} {slot.state}: {slot.reason}")
    states: dict[str, int] = {state: ledger.count(state) for state in STATES}
    return DayResult(ledger.day, states, newly_ok, tuple(newly_bad))
