"""One day's ingest of rain fields of one's own: the only writer of the day, as for OPERA's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from minkgen.errors import SourceError, TransferError
from minkgen.opera.odim import Composite
from minkgen.own.fields import OwnFields, survey
from minkgen.recipe import XarraySource
from minkgen.store.composites import Composites, open_composites
from minkgen.store.frames import describe_frame
from minkgen.store.layout import StorePaths, own_source
from minkgen.store.ledger import DayLedger, Slot
from minkgen.workflows.ingest_day import Brought, DayResult, ShardWriter, fill_day

__all__ = ["OwnDayTask", "ingest_own_day", "survey_source"]


@dataclass(frozen=True)
class OwnDayTask:
    """What one task needs to know.

    Attributes
    ----------
    paths : StorePaths
    fields : OwnFields
        Those of the day.
    day : date
    times : tuple of datetime
        The slots to ask for, in order.
    source : str
        Who made the fields, and their licence, for the frame table.
    """

    paths: StorePaths
    fields: OwnFields
    day: date
    times: tuple[datetime, ...]
    source: str

    def __str__(self) -> str:
        return f"{self.day} into {self.paths.root}"

    @classmethod
    def of(
        cls,
        paths: StorePaths,
        source: XarraySource,
        fields: OwnFields,
        day: date,
        times: tuple[datetime, ...],
    ) -> OwnDayTask:
        """Return the task of a day."""
        said = own_source(source.attribution, source.licence)
        return cls(paths, fields.of_day(day), day, times, said)


def survey_source(source: XarraySource) -> OwnFields:
    """Look at the coordinates of the files that a recipe names; see `minkgen.own.fields`."""
    return survey(source.places, source.variable, source.crs)


def ingest_own_day(task: OwnDayTask) -> DayResult:
    """Ingest one day."""
    composites = open_composites(task.paths)
    day = _OwnDay(task, composites)
    return fill_day(composites, task.day, task.times, day.bring)


class _OwnDay:
    """A day's fields, and what becomes of each of them."""

    def __init__(self, task: OwnDayTask, composites: Composites) -> None:
        self.task = task
        self.product = composites.product
        self.checked = f"{datetime.now(UTC):%FT%TZ}"

    def bring(self, times: Sequence[datetime], ledger: DayLedger, shard: ShardWriter) -> Brought:
        """Yield the new state of slots, and the row of the frame table of those that are ok."""
        fields = self.task.fields
        for time in times:
            if time not in fields.positions:
                reason = "the files have no field of this time"
                yield time, self._slot("absent", time, ledger, reason=reason), None
        for time, found in fields.read([time for time in times if time in fields.positions]):
            place = fields.positions[time].place
            if isinstance(found, TransferError | SourceError):
                state = "failed" if isinstance(found, TransferError) else "corrupt"
                reason = found.one_line()
                yield time, self._slot(state, time, ledger, url=place, reason=reason), None
                continue
            sha256 = _digest(found)
            composite = self._composite(time, found)
            shard.put(time, composite)
            slot = self._slot("ok", time, ledger, url=place, sha256=sha256)
            yield time, slot, describe_frame(composite, sha256)

    def _slot(self, state: Any, time: datetime, ledger: DayLedger, **known: Any) -> Slot:
        before = ledger.slots.get(time)
        return Slot(state, 1 if before is None else before.attempts + 1, self.checked, **known)

    def _composite(self, time: datetime, rates: npt.NDArray[np.float32]) -> Composite:
        return Composite(
            quantity="RATE",
            era=self.product.quantity,
            odim_version="",
            grid=self.task.fields.grid,
            time=time,
            window=(time, time),
            values=rates,
            quality=None,
            source=self.task.source,
            radars=(),
            not_finite=0,
        )


def _digest(rates: npt.NDArray[np.float32]) -> str:
    """Return the SHA-256 of the pixels, whatever the bits of their NaN."""
    same = np.where(np.isnan(rates), np.float32(np.nan), rates)
    return hashlib.sha256(np.ascontiguousarray(same, "<f4").tobytes()).hexdigest()
