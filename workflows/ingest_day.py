"""One day's ingest: the only writer of the day's shards, frame table and ledger."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numcodecs import Zstd

from minkgen.errors import SourceError, TransferError
from minkgen.opera.fetching.sources import Fetched, Listed, Source
from minkgen.opera.odim import Composite
from minkgen.opera.odim.decoding import Scaling
from minkgen.opera.odim.isolated import IsolatedReader
from minkgen.store.composites import QUALITY, Composites, open_composites, variables_of
from minkgen.store.files import remove_partials
from minkgen.store.frames import describe_frame, read_frames, write_frames
from minkgen.store.layout import StorePaths
from minkgen.store.ledger import STATES, DayLedger, Slot, State, read_ledger, write_ledger

__all__ = ["DayResult", "DayTask", "ShardWriter", "fill_day", "ingest_day"]

# What became of some slots: their new state, and the row of the frame table of those that are ok.
Brought = Iterator[tuple[datetime, Slot, dict[str, Any] | None]]


@dataclass(frozen=True)
class DayTask:
    """What one task needs to know.

    Attributes
    ----------
    paths : StorePaths
        The store, and the group of the product.
    source : Source
    day : date
    times : tuple of datetime
        The slots to ask for, in order.
    transfers : int
        Files to fetch at the same time.
    scalings : tuple of Scaling
        Accepted besides the products' own.
    keep_raw : bool
        Keep fetched files in the store.
    """

    paths: StorePaths
    source: Source
    day: date
    times: tuple[datetime, ...]
    transfers: int = 1
    scalings: tuple[Scaling, ...] = ()
    keep_raw: bool = False

    def __str__(self) -> str:
        return f"{self.day} into {self.paths.root}"


@dataclass(frozen=True)
class DayResult:
    """What a day's task did.

    Attributes
    ----------
    day : date
    states : dict
        Number of the day's slots by state.
    newly_ok : int
        Slots that became ok.
    newly_bad : tuple of str
        One line per slot that became failed or corrupt, with the reason.
    """

    day: date
    states: dict[str, int]
    newly_ok: int
    newly_bad: tuple[str, ...]


def ingest_day(task: DayTask) -> DayResult:
    """Ingest one day."""
    composites = open_composites(task.paths)
    with _incoming(task.paths, task.day) as folder, IsolatedReader() as reader:
        day = _Day(task, composites, folder, reader)
        return fill_day(composites, task.day, task.times, day.bring)


def fill_day(
    composites: Composites,
    day: date,
    wanted: Sequence[datetime],
    bring: Callable[[Sequence[datetime], DayLedger, ShardWriter], Brought],
) -> DayResult:
    """Bring slots of a day into the store, shard by shard, wherever they come from.

    Parameters
    ----------
    composites : Composites
    day : date
    wanted : sequence of datetime
        The slots to ask for; those that are ok already are left alone.
    bring : callable
        Puts frames of a shard into the writer, and yields what became of each slot.

    Returns
    -------
    DayResult
    """
    paths = composites.paths
    _remove_partials(composites, day)
    ledger, frames = read_ledger(paths, day), read_frames(paths, day)
    before, asked_for = dict(ledger.slots), set(wanted)
    shard = ShardWriter(composites, ledger)
    for times in composites.shards_of(day):
        missing = [time for time in times if time in asked_for and not ledger.ok(time)]
        shard.begin(times)
        for time, slot, row in bring(missing, ledger, shard):
            ledger.slots[time] = slot
            if row is not None:
                frames[time] = row
        shard.write()
    if ledger.slots != before:
        # The ledger comes last: only what it calls ok is there for a reader.
        write_frames(paths, day, list(frames.values()))
        write_ledger(paths, ledger)
    return _summary(ledger, before)


def _remove_partials(composites: Composites, day: date) -> None:
    """Remove what a killed run left beside the day's files."""
    paths = composites.paths
    remove_partials(paths.ledger(day))
    remove_partials(paths.frames(day))
    for times in composites.shards_of(day):
        for variable in variables_of(composites.product):
            remove_partials(composites.shard_file(variable, times[0]))


@contextmanager
def _incoming(paths: StorePaths, day: date) -> Iterator[Path]:
    """Give a folder for files on their way; what a killed run left in it is removed."""
    folder = paths.incoming(day)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Day:
    """A day's listing, and what becomes of each of its files."""

    def __init__(
        self, task: DayTask, composites: Composites, folder: Path, reader: IsolatedReader
    ) -> None:
        self.task = task
        self.paths = composites.paths
        self.folder = folder
        self.reader = reader
        self.checked = f"{datetime.now(UTC):%FT%TZ}"
        self.listing: dict[datetime, Listed] = {}
        self.listing_failed: str | None = None
        try:
            self.listing = task.source.list_day(task.day, composites.product.quantity)
        except (TransferError, SourceError) as error:
            self.listing_failed = error.one_line()

    def bring(self, times: Sequence[datetime], ledger: DayLedger, shard: ShardWriter) -> Brought:
        """Yield the new state of slots, and the row of the frame table of those that are ok.

        Files of a shard are fetched side by side, and decoded in the order of their times.
        """
        with ThreadPoolExecutor(self.task.transfers) as transfers:
            coming = {
                time: transfers.submit(_fetch, self.task.source, self.listing[time], self.folder)
                for time in times
                if time in self.listing
                and not _is_known(self.listing[time], ledger.slots.get(time))
            }
            for time in times:
                known = ledger.slots.get(time)
                attempts = 1 if known is None else known.attempts + 1
                if time in coming:
                    listed, fetched = self.listing[time], coming.pop(time).result()
                    yield time, *self._fetched(time, listed, fetched, attempts, shard)
                elif time not in self.listing:
                    yield time, self._unlisted(time, known, attempts), None

    def _unlisted(self, time: datetime, known: Slot | None, attempts: int) -> Slot:
        if self.listing_failed is not None:
            # A failed listing is no empty day: it leaves what is known as it is.
            if known is not None and known.state != "failed":
                return known
            return Slot("failed", attempts, self.checked, reason=self.listing_failed)
        if self.task.source.can_tell_absence(time):
            return Slot("absent", attempts, self.checked, reason="no file of this time")
        reason = "the source does not reach back to this time; the archive may have it"
        return Slot("failed", attempts, self.checked, reason=reason)

    def _fetched(
        self,
        time: datetime,
        listed: Listed,
        fetched: Fetched | TransferError | SourceError,
        attempts: int,
        shard: ShardWriter,
    ) -> tuple[Slot, dict[str, Any] | None]:
        slot = Slot("ok", attempts, self.checked, listed.key.path, listed.url)
        if isinstance(fetched, TransferError | SourceError):
            state: State = "failed" if isinstance(fetched, TransferError) else "corrupt"
            reason = fetched.one_line()
            return replace(
                slot, state=state, size=listed.size, etag=listed.etag, reason=reason
            ), None
        etag = fetched.etag or listed.etag
        slot = replace(slot, size=fetched.size, sha256=fetched.sha256, etag=etag)
        try:
            composite = self.reader.read(fetched.path, listed.key, self.task.scalings)
            _refuse_other_grid(composite, shard.composites, fetched.path)
        except SourceError as error:
            self._put_aside(fetched, self.paths.corrupt / listed.key.path)
            return replace(slot, state="corrupt", reason=error.one_line()), None
        shard.put(time, composite)
        row = describe_frame(composite, fetched.sha256)
        if self.task.keep_raw:
            self._put_aside(fetched, self.paths.raw / listed.key.path)
        elif fetched.temporary:
            fetched.path.unlink()
        return slot, row

    @staticmethod
    def _put_aside(fetched: Fetched, target: Path) -> None:
        """Move a fetched file to where it is kept; a local source's own file stays where it is."""
        if fetched.temporary:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(fetched.path, target)


def _is_known(listed: Listed, known: Slot | None) -> bool:
    """Tell whether the very bytes that are listed were found corrupt before."""
    if known is None or known.state != "corrupt" or listed.etag is None:
        return False
    return (known.etag, known.size) == (listed.etag, listed.size)


def _fetch(source: Source, listed: Listed, folder: Path) -> Fetched | TransferError | SourceError:
    try:
        return source.fetch(listed, folder)
    except (TransferError, SourceError) as error:
        return error


def _refuse_other_grid(composite: Composite, composites: Composites, path: Path) -> None:
    if composite.grid != composites.grid:
        raise SourceError(
            "the file is on another grid than the store",
            where=path,
            got=composite.grid.name,
            expected=composites.grid.name,
        )


class ShardWriter:
    """Gathers the frames of one shard after the other, and writes each as a whole.

    One array is used for all of them: fresh pages for 400 MB cost as much as decoding the frames
    (0.5 s, measured). It holds the values first; quality waits compressed (about 1 MB a frame
    against 17) until they are written.

    Parameters
    ----------
    composites : Composites
    ledger : DayLedger
        Says which frames of a shard are in the store already; they are kept.
    """

    _codec = Zstd(level=1)

    def __init__(self, composites: Composites, ledger: DayLedger) -> None:
        self.composites = composites
        self.product = composites.product
        self._ledger = ledger
        self.begin([])

    @cached_property
    def _frames(self) -> npt.NDArray[np.float32]:
        return np.empty((self.product.frames_per_shard, *self.composites.grid.shape), np.float32)

    def begin(self, times: list[datetime]) -> None:
        """Begin a shard with these slots."""
        self._times = times
        self._quality: dict[datetime, bytes | None] = {}
        self._kept = [time for time in times if self._ledger.ok(time)]

    def put(self, time: datetime, composite: Composite) -> None:
        """Add a frame."""
        if not self._quality:
            self._fill(self.product.variable)
        self._frame(time)[:] = composite.values
        quality = composite.quality
        self._quality[time] = None if quality is None else self._codec.encode(quality)

    def write(self) -> None:
        """Write the shard, if a frame was added to it."""
        if not self._quality:
            return
        self._write(self.product.variable)
        if QUALITY not in variables_of(self.product):
            return
        self._fill(QUALITY)
        for time, encoded in self._quality.items():
            if encoded is not None:
                frame = self._frame(time)
                frame[:] = np.frombuffer(self._codec.decode(encoded), np.float32).reshape(
                    frame.shape
                )
        self._write(QUALITY)

    def _frame(self, time: datetime) -> npt.NDArray[np.float32]:
        frame: npt.NDArray[np.float32] = self._frames[self._times.index(time)]
        return frame

    def _fill(self, variable: str) -> None:
        """Put the frames that are in the store already in place, and NaN into all other slots."""
        self._frames.fill(np.nan)
        for time in self._kept:
            self._frame(time)[:] = self.composites.read(variable, time)[0]

    def _write(self, variable: str) -> None:
        self.composites.write_shard(variable, self._times, self._frames)


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
