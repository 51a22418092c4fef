"""Ingest: composites into the store, one task per day, with a ledger of every slot."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from minkgen.errors import PlanRefused
from minkgen.grid import GRIDS, Grid
from minkgen.opera.fetching.http import close_clients
from minkgen.opera.fetching.sources import Source
from minkgen.opera.odim.decoding import Scaling
from minkgen.own.fields import OwnFields
from minkgen.products import PRODUCTS
from minkgen.recipe import Recipe, XarraySource
from minkgen.recipe.fetching import FolderSource
from minkgen.store.composites import create_composites, open_composites
from minkgen.store.layout import StorePaths
from minkgen.store.ledger import STATES, DayLedger, read_ledger
from minkgen.store.lock import hold_lock
from minkgen.store.static import create_static
from minkgen.workflows.cluster import local_workers, open_client, run_tasks
from minkgen.workflows.ingest_day import DayResult, DayTask, ingest_day
from minkgen.workflows.ingest_own import OwnDayTask, ingest_own_day, survey_source
from minkgen.workflows.progress import Progress, Silent
from minkgen.workflows.sources import source_of
from minkgen.workflows.transfer import transfer_recipe

__all__ = ["IngestResult", "bring_own_fields", "ingest"]

# Rain rate and quality of a pixel take 0.24 bytes in ODYSSEY's frames and 0.28 in NIMBUS's, the
# files themselves 0.27 and 0.37 (measured on 20 real ones, of a stormy and of a quiet night).
_BYTES_PER_PIXEL = 0.35
_RAW_BYTES_PER_PIXEL = 0.4
_RESERVE_BYTES = 1_000_000_000


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


def ingest(
    recipe: Recipe, progress: Progress | None = None, *, wait_seconds: float = 0.0
) -> IngestResult:
    """Bring the composites of a recipe's period into its store, and its terrain where it names one.

    It works on this node, whatever cluster the recipe names (see `minkgen.workflows.transfer`).
    Slots that are ok already are left alone. All others are asked for again, but for those of the
    future, and those that a server said to be absent longer than `recheck_absent_hours` after
    their time.

    Parameters
    ----------
    recipe : Recipe
    progress : Progress, optional
    wait_seconds : float, optional
        How long to wait for another process that ingests the same product into this store.

    Returns
    -------
    IngestResult

    Raises
    ------
    SourceError
        If the source cannot be used.
    InputError
        If the terrain cannot be used.
    TransferError
        If the server does not answer at all.
    StoreError
        If the store was made by another recipe, or a ledger is damaged.
    StoreLockedError
        If another process is still ingesting the same product.
    PlanRefused
        If what is missing would not fit on the disk.
    TasksFailed
        If a day could not be worked on for a reason that lies not in its files.
    """
    progress = progress or Silent()
    recipe = transfer_recipe(recipe)
    paths = StorePaths(recipe.store.absolute(), recipe.group)
    ledgers = [read_ledger(paths, day) for day in recipe.period.days()]
    series = _series(recipe, paths, ledgers)
    missing = _missing(ledgers, recipe, series.step, series.fields)
    asked_for = [day for day, times in missing.items() if times]
    workers = min(_workers(recipe), len(asked_for)) or 1
    tasks = _tasks(recipe, paths, series, workers, {day: missing[day] for day in asked_for})
    # Two ingests of a day would write its shards, and each its own half of them.
    with hold_lock(paths.lock(f"ingest-{paths.group}"), wait_seconds=wait_seconds):
        years = ledgers[0].day.year, ledgers[-1].day.year
        create_composites(paths, series.grid, years, series.own_minutes)
        if recipe.dem is not None:
            create_static(paths, series.grid, recipe.dem)
        results = _run(recipe, workers, tasks, progress) if tasks else []

    states: Counter[str] = Counter(dict.fromkeys(STATES, 0))
    for settled in (ledger for ledger in ledgers if not missing[ledger.day]):
        states.update({state: settled.count(state) for state in STATES})
    for result in results:
        states.update(result.states)
    return IngestResult(
        states=dict(states),
        newly_ok=sum(result.newly_ok for result in results),
        newly_bad=tuple(line for result in results for line in result.newly_bad),
    )


def bring_own_fields(
    recipe: Recipe, progress: Progress | None = None, *, wait_seconds: float = 0.0
) -> IngestResult | None:
    """Ingest what is missing of rain fields of one's own; of OPERA's composites, do nothing.

    What is downloaded is asked for by `minkgen ingest` alone; files that are here are not.

    Raises
    ------
    MinkgenError
        As from `ingest`.
    """
    return ingest(recipe, progress, wait_seconds=wait_seconds) if recipe.is_own else None


@dataclass(frozen=True)
class _Series:
    """On which grid composites are, and how often they come.

    Attributes
    ----------
    grid : Grid
    step : timedelta
    own_minutes : int, optional
        The step of one's own fields.
    fields : OwnFields, optional
        One's own fields; None also where all of them are in the store.
    """

    grid: Grid
    step: timedelta
    own_minutes: int | None = None
    fields: OwnFields | None = None


def _series(recipe: Recipe, paths: StorePaths, ledgers: Sequence[DayLedger]) -> _Series:
    """Return what is to be ingested; files of one's own are looked at if any of them is needed."""
    if not isinstance(recipe.source, XarraySource):
        return _Series(GRIDS[recipe.grid], PRODUCTS[recipe.product].step)
    if paths.identity.exists():
        held = open_composites(paths)
        if not any(_missing(ledgers, recipe, held.product.step).values()):
            return _Series(held.grid, held.product.step, held.product.minutes)
    fields = survey_source(recipe.source)
    return _Series(fields.grid, timedelta(minutes=fields.minutes), fields.minutes, fields)


def _tasks(
    recipe: Recipe,
    paths: StorePaths,
    series: _Series,
    workers: int,
    missing: Mapping[date, tuple[datetime, ...]],
) -> list[DayTask] | list[OwnDayTask]:
    """Return a task for each day, unless the source cannot be used or the disk is too small."""
    if not missing:
        return []
    if isinstance(recipe.source, XarraySource):
        own, fields = recipe.source, series.fields or survey_source(recipe.source)
        frames = sum(time in fields.positions for times in missing.values() for time in times)
        _refuse_full_disk(recipe, paths, series.grid, frames)
        return [OwnDayTask.of(paths, own, fields, day, times) for day, times in missing.items()]
    source = source_of(recipe.source, recipe.download, workers)
    _check(source)
    _refuse_full_disk(recipe, paths, series.grid, _frames(recipe, missing))
    return [_task(paths, recipe, source, workers, day, times) for day, times in missing.items()]


def _check(source: Source) -> None:
    try:
        source.check()
    finally:
        close_clients()


def _task(
    paths: StorePaths,
    recipe: Recipe,
    source: Source,
    workers: int,
    day: date,
    times: tuple[datetime, ...],
) -> DayTask:
    is_remote = not isinstance(recipe.source, FolderSource)
    return DayTask(
        paths=paths,
        source=source,
        day=day,
        times=times,
        transfers=recipe.download.connections // workers if is_remote else 1,
        scalings=tuple(Scaling(**scaling.model_dump()) for scaling in recipe.reading.scalings),
        keep_raw=recipe.download.keep_raw,
    )


def _run(
    recipe: Recipe, workers: int, tasks: list[DayTask] | list[OwnDayTask], progress: Progress
) -> list[DayResult]:
    progress.stage("ingest", len(tasks))
    with open_client(recipe.cluster.model_copy(update={"workers": workers})) as client:
        return run_tasks(
            client,
            ingest_own_day if recipe.is_own else ingest_day,
            tasks,
            progress,
            what="a day could not be ingested",
            note=lambda done: f"{done.day}: {done.newly_ok} new",
        )


def _workers(recipe: Recipe) -> int:
    """Return how many processes may work; each needs a connection of its own."""
    workers = local_workers(recipe.cluster)
    if _is_here(recipe):
        return workers
    return min(workers, recipe.download.connections)


def _is_here(recipe: Recipe) -> bool:
    """Return whether the source is a folder or files, which may be asked again at no cost."""
    return isinstance(recipe.source, FolderSource | XarraySource)


def _missing(
    ledgers: Sequence[DayLedger],
    recipe: Recipe,
    step: timedelta,
    fields: OwnFields | None = None,
) -> dict[date, tuple[datetime, ...]]:
    """Return the slots of every day that are to be asked for, in order."""
    now = datetime.now(UTC)
    settled = now - timedelta(hours=recipe.download.recheck_absent_hours)
    # Fields of one's own may be those of a forecast.
    latest = None if recipe.is_own else now

    def is_missing(ledger: DayLedger, time: datetime) -> bool:
        is_later = latest is not None and time > latest
        if time not in recipe.period or is_later or ledger.ok(time):
            return False
        slot = ledger.slots.get(time)
        if slot is None or slot.state != "absent":
            return True
        if fields is not None:
            return time in fields.positions
        return _is_here(recipe) or time > settled

    missing = {}
    for ledger in ledgers:
        midnight = datetime(ledger.day.year, ledger.day.month, ledger.day.day, tzinfo=UTC)
        times = [midnight + index * step for index in range(timedelta(days=1) // step)]
        missing[ledger.day] = tuple(time for time in times if is_missing(ledger, time))
    return missing


def _frames(recipe: Recipe, missing: Mapping[date, Sequence[datetime]]) -> int:
    """Return how many composites there may be; a folder has none of days that it does not have."""
    source = recipe.source
    return sum(
        len(times)
        for day, times in missing.items()
        if not isinstance(source, FolderSource) or (source.path / f"{day:%Y/%m/%d}").is_dir()
    )


def _refuse_full_disk(recipe: Recipe, paths: StorePaths, grid: Grid, frames: int) -> None:
    height, width = grid.shape
    per_pixel = _BYTES_PER_PIXEL + (_RAW_BYTES_PER_PIXEL if recipe.download.keep_raw else 0.0)
    needed = int(frames * height * width * per_pixel) + _RESERVE_BYTES
    existing = next(path for path in (paths.root, *paths.root.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise PlanRefused(
            "the composites would not fit on the disk",
            where=paths.root,
            got=f"{free / 1e9:.1f} GB free",
            expected=f"about {needed / 1e9:.1f} GB for {frames} composites, 1 GB of it in reserve",
            hint="make room, shorten the period, or put the store elsewhere (--store)",
        )
