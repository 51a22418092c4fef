"""Rain fields of many files as one series: surveyed once, and read some at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from minkgen.errors import SourceError, TransferError
from minkgen.grid import Grid
from minkgen.own.coordinates import Layout, layout_of
from minkgen.own.files import READING_ERRORS, find_files, open_file

__all__ = ["OwnFields", "Position", "survey"]

# Read at once, 100 MB of float32: files are often compressed in pieces of several fields.
_PIXELS_AT_ONCE = 25_000_000
# Of one's own rates as of OPERA's: thresholds, floors and histograms count in such steps.
DECIMALS = 2

Float32 = npt.NDArray[np.float32]


class Position(NamedTuple):
    """Where a field stands: the file, and its number on the file's time axis."""

    place: str
    number: int


@dataclass(frozen=True)
class OwnFields:
    """Rain fields of one's own. Travels to the workers.

    Attributes
    ----------
    grid : Grid
    minutes : int
        From one field to the next; gaps are some of these steps.
    positions : mapping of datetime to Position
        In the order of the times.
    variable, crs : str or None
        As the recipe says.
    """

    grid: Grid
    minutes: int
    positions: Mapping[datetime, Position]
    variable: str | None
    crs: str | None

    def of_day(self, day: date) -> OwnFields:
        """Return the fields of a UTC day."""
        kept = {time: each for time, each in self.positions.items() if time.date() == day}
        return replace(self, positions=kept)

    def read(
        self, times: Sequence[datetime]
    ) -> Iterator[tuple[datetime, Float32 | TransferError | SourceError]]:
        """Yield fields in the order of their times, some read at once.

        Parameters
        ----------
        times : sequence of datetime
            In order, each of `positions`.

        Yields
        ------
        time : datetime
        field : ndarray of float32, shape (H, W), or an error
            mm/h rounded to 0.01, north first, NaN without coverage. A SourceError where the field
            holds what is no rain rate, a TransferError where its file cannot be read now.
        """
        for block in self._blocks(times):
            try:
                fields: Float32 = self._read_block(block)
            except (SourceError, TransferError) as error:
                yield from ((time, error) for time in block)
                continue
            for time, values in zip(block, fields, strict=True):
                fault = _fault(values, f"{self.positions[time].place}, {time:%FT%R}")
                yield time, values if fault is None else fault

    def _blocks(self, times: Sequence[datetime]) -> Iterator[list[datetime]]:
        """Yield neighbours on the time axis of one file, as many as may be read at once."""
        most = max(1, _PIXELS_AT_ONCE // (self.grid.height * self.grid.width))
        block: list[datetime] = []
        for time in times:
            if block:
                before, here = self.positions[block[-1]], self.positions[time]
                follows = here == (before.place, before.number + 1)
                if not follows or len(block) == most:
                    yield block
                    block = []
            block.append(time)
        if block:
            yield block

    def _read_block(self, times: Sequence[datetime]) -> Float32:
        place, first = self.positions[times[0]]
        chosen = slice(first, first + len(times))
        with open_file(place) as dataset:
            layout = layout_of(dataset, self.variable, self.crs, place)
            if layout.grid != self.grid or list(layout.times[chosen]) != list(times):
                raise TransferError(
                    "the file has changed since it was surveyed",
                    where=place,
                    hint="run the same command again",
                )
            try:
                return _decoded(dataset, layout, chosen)
            except READING_ERRORS as error:
                raise TransferError(
                    "the fields cannot be read",
                    where=f"{place}, {times[0]:%FT%R}",
                    got=f"{type(error).__name__}: {error}",
                ) from error


def _decoded(dataset: xr.Dataset, layout: Layout, chosen: slice) -> Float32:
    """Return fields in mm/h, north first, shape (n, H, W)."""
    time, y, x = layout.dimensions
    found = dataset[layout.variable].isel({time: chosen}).transpose(time, y, x).values
    turned_y, turned_x = layout.turned
    found = found[:, :: -1 if turned_y else 1, :: -1 if turned_x else 1]
    if layout.factor != 1.0:
        found = found.astype(np.float64) * layout.factor
    with np.errstate(over="ignore"):
        rates = found.astype(np.float32).round(DECIMALS)
    rates += 0.0  # no -0 of what was rounded away
    decoded: Float32 = rates
    return decoded


def _fault(values: Float32, where: str) -> SourceError | None:
    """Return what makes a field no rain rate; NaN is a pixel without coverage."""
    for what, strange in (("negative", values < 0), ("infinite", np.isinf(values))):
        if strange.any():
            row, column = (int(index[0]) for index in np.nonzero(strange))
            return SourceError(
                f"a rain rate is {what}",
                where=where,
                got=f"{values[row, column]:g} mm/h at row {row}, column {column} (from the north "
                f"and the west), {int(strange.sum())} such pixels",
                expected="0 mm/h and more, NaN without coverage",
            )
    return None


def survey(places: Sequence[str], variable: str | None = None, crs: str | None = None) -> OwnFields:
    """Look at the coordinates of files, and refuse what is no regular series on one grid.

    Parameters
    ----------
    places : sequence of str
        Paths, patterns and URLs.
    variable : str, optional
        The rain rate, where a file has several candidates.
    crs : str, optional
        Projection, where a file has no grid mapping.

    Returns
    -------
    OwnFields

    Raises
    ------
    SourceError
        If a file cannot be used, grids differ, or times are irregular or come twice.
    """
    grid: Grid | None = None
    positions: dict[datetime, Position] = {}
    first = ""
    for place in find_files(places):
        with open_file(place) as dataset:
            layout = layout_of(dataset, variable, crs, place)
        if grid is None:
            grid, first = layout.grid, place
        elif layout.grid != grid:
            raise _other_grid(place, layout.grid, first, grid)
        for index, time in enumerate(layout.times):
            if time in positions:
                raise SourceError(
                    "a time comes twice",
                    where=place,
                    got=f"{time:%FT%R}, also in {positions[time].place}",
                    expected="each time once in all files",
                    hint="leave one of the files out of source.path",
                )
            positions[time] = Position(place, index)
    assert grid is not None  # noqa: S101 - find_files gives at least one
    in_order = dict(sorted(positions.items()))
    return OwnFields(grid, _minutes(list(in_order), first), in_order, variable, crs)


def _other_grid(place: str, found: Grid, first: str, grid: Grid) -> SourceError:
    def text(each: Grid) -> str:
        corner = f"north-west corner at {each.west:.0f}, {each.north:.0f} m"
        return f"{each.height} x {each.width} pixels of {each.pixel_m:g} m, {corner}"

    same = text(found) == text(grid)
    return SourceError(
        "two files are on different grids",
        where=place,
        got=f"{text(found)}{', in another projection' if same else ''}",
        expected=f"{text(grid)}, as {first}",
        hint="bring them onto one grid, or give each grid a recipe and a store of its own",
    )


def _minutes(times: Sequence[datetime], where: str) -> int:
    """Return the step of a series, the most frequent one; refuse times that lie off it."""
    if len(times) < 2:
        raise SourceError(
            "a time step needs two fields", where=where, got=f"{len(times)}", expected="2 or more"
        )
    counts = Counter(
        (later - earlier) // timedelta(minutes=1) for earlier, later in pairwise(times)
    )
    step = min(counts, key=lambda minutes: (-counts[minutes], minutes))
    if timedelta(days=1) % timedelta(minutes=step):
        raise SourceError(
            "the time step does not divide a day",
            where=where,
            got=f"{step} minutes",
            expected="1, 5, 10, 15, 30, 60 minutes, or another step that does",
            hint="resample the fields in time first",
        )
    for time in times:
        if (time - datetime(time.year, time.month, time.day, tzinfo=UTC)) % timedelta(minutes=step):
            raise SourceError(
                "a time lies off the time step",
                where=where,
                got=f"{time:%FT%R}",
                expected=f"every {step} minutes from midnight (UTC), the most frequent step; "
                "fields may be missing",
                hint="move it to the nearest step, or leave it out",
            )
    return step
