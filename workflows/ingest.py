"""Ingest: composites into the store, one task per day, with a ledger of every slot."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from minkgen.errors import PlanRefused
from minkgen.grid import GRIDS
from minkgen.opera.fetching.http import close_clients
from minkgen.opera.fetching.sources import Source
from minkgen.opera.odim.decoding import Scaling
from minkgen.recipe import Recipe
from minkgen.recipe.fetching import FolderSource
from minkgen.store.composites import create_composites
from minkgen.store.layout import StorePaths
from minkgen.store.ledger import STATES, DayLedger, read_ledger
from minkgen.store.lock import hold_lock
from minkgen.store.static import create_static
from minkgen.workflows.cluster import local_workers, open_client, run_tasks
from minkgen.workflows.ingest_day import DayResult, DayTask, ingest_day
from minkgen.workflows.progress import Progress, Silent
from minkgen.workflows.sources import source_of
from minkgen.workflows.transfer import transfer_recipe

__all__ = ["IngestResult", "ingest"]

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
    paths = StorePaths(recipe.store.absolute(), recipe.composites.group)
    ledgers = [read_ledger(paths, day) for day in recipe.period.days()]
    now = datetime.now(UTC)
    missing = {ledger.day: _missing(ledger, recipe, now) for ledger in ledgers}
    asked_for = [ledger.day for ledger in ledgers if missing[ledger.day]]
    workers = min(_workers(recipe), len(asked_for)) or 1
    source = source_of(recipe, workers)
    if asked_for:
        _check(source)
        _refuse_full_disk(recipe, paths, _frames(recipe, missing))
    # Two ingests of a day would write its shards, and each its own half of them.
    with hold_lock(paths.lock(f"ingest-{paths.group}"), wait_seconds=wait_seconds):
        create_composites(paths, GRIDS[recipe.grid], (ledgers[0].day.year, ledgers[-1].day.year))
        if recipe.dem is not None:
            create_static(paths, GRIDS[recipe.grid], recipe.dem)
        tasks = [_task(paths, recipe, source, workers, day, missing[day]) for day in asked_for]
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


def _run(recipe: Recipe, workers: int, tasks: list[DayTask], progress: Progress) -> list[DayResult]:
    progress.stage("ingest", len(tasks))
    with open_client(recipe.cluster.model_copy(update={"workers": workers})) as client:
        return run_tasks(
            client,
            ingest_day,
            tasks,
            progress,
            what="a day could not be ingested",
            note=lambda done: f"{done.day}: {done.newly_ok} new",
        )


def _workers(recipe: Recipe) -> int:
    """Return how many processes may work; each needs a connection of its own."""
    workers = local_workers(recipe.cluster)
    if isinstance(recipe.source, FolderSource):
        return workers
    return min(workers, recipe.download.connections)


def _missing(ledger: DayLedger, recipe: Recipe, now: datetime) -> tuple[datetime, ...]:
    """Return the slots of a day that are to be asked for, in order."""
    midnight = datetime(ledger.day.year, ledger.day.month, ledger.day.day, tzinfo=UTC)
    product = recipe.composites
    times = [midnight + index * product.step for index in range(product.slots_per_day)]
    settled = now - timedelta(hours=recipe.download.recheck_absent_hours)
    asks_again = isinstance(recipe.source, FolderSource)

    def is_missing(time: datetime) -> bool:
        if time not in recipe.period or time > now or ledger.ok(time):
            return False
        slot = ledger.slots.get(time)
        return slot is None or slot.state != "absent" or asks_again or time > settled

    return tuple(time for time in times if is_missing(time))


def _frames(recipe: Recipe, missing: Mapping[date, Sequence[datetime]]) -> int:
    """Return how many composites there may be; a folder has none of days that it does not have."""
    source = recipe.source
    return sum(
        len(times)
        for day, times in missing.items()
        if not isinstance(source, FolderSource) or (source.path / f"{day:%Y/%m/%d}").is_dir()
    )


def _refuse_full_disk(recipe: Recipe, paths: StorePaths, frames: int) -> None:
    height, width = GRIDS[recipe.grid].shape
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
