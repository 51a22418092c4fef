"""Compute: from composites, or from the tiles of a snapshot, to a published snapshot."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zarr
from distributed import Client

from minkgen.errors import InputError
from minkgen.gamma.warm_up import warm_up
from minkgen.recipe import Cluster, Recipe, SlurmJobs
from minkgen.site_file import load_site
from minkgen.store.build import create_staging
from minkgen.store.files import explain_os_errors
from minkgen.store.layout import StorePaths
from minkgen.store.linking import Linked, link_shards
from minkgen.store.lock import hold_lock
from minkgen.store.permissions import permissions_of
from minkgen.store.publishing import publish
from minkgen.store.snapshot import open_snapshot
from minkgen.workflows.cluster import open_client, run_tasks, warm_up_workers
from minkgen.workflows.cluster.job_script import job_script
from minkgen.workflows.cost import (
    Cost,
    estimate_cost,
    refuse_crowded_workers,
    refuse_what_does_not_fit,
)
from minkgen.workflows.derived import plan_from_snapshot
from minkgen.workflows.parts import compute_part
from minkgen.workflows.plan import Build, OpenClient, plan_from_composites
from minkgen.workflows.progress import Progress, Silent
from minkgen.workflows.rain import RainSource
from minkgen.workflows.stopwatch import add_up

__all__ = [
    "ComputeResult",
    "Planned",
    "Share",
    "ShareResult",
    "compute",
    "compute_share",
    "plan_compute",
]


@dataclass(frozen=True)
class Contents:
    """What is in a snapshot that is there, or that would be.

    Attributes
    ----------
    snapshot : Path
        The published snapshot.
    rows : dict
        Samples by split; `dry` of them by split.
    thresholds : tuple of float
        mm/h.
    floors : dict
        Persistence floors in mm/h, for components and holes.
    """

    snapshot: Path
    rows: dict[str, int]
    dry: dict[str, int]
    thresholds: tuple[float, ...]
    floors: dict[str, float]


@dataclass(frozen=True)
class ComputeResult(Contents):
    """What a compute run made.

    Attributes
    ----------
    parts : int
        Parts that were computed in this run; 0 where all were there already.
    linked : int
        Parts that were linked from earlier snapshots in this run, instead of computed.
    damaged : tuple of Path
        Files of earlier snapshots that could have been linked, but are damaged.
    """

    parts: int
    linked: int = 0
    damaged: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Planned(Contents):
    """What a compute run would make.

    Attributes
    ----------
    is_published : bool
        Whether the snapshot is there already.
    parts : int
        All parts.
    cost : Cost
        Of the parts that are still to be computed.
    job_script : str or None
        Of the worker jobs, where the recipe's cluster is SLURM.
    """

    is_published: bool
    parts: int
    cost: Cost
    job_script: str | None


class Share(NamedTuple):
    """The n-th of so many shares of the parts, from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass(frozen=True)
class ShareResult:
    """What the run of a share made.

    Attributes
    ----------
    snapshot : Path
        Where all parts will be published, or are.
    computed : int
        Parts that were computed in this run.
    written : int
        Parts that are there now, of this share or another.
    parts : int
        All parts.
    seconds : dict of str to float
        What this run spent on its parts, by stage, and `other`.
    """

    snapshot: Path
    computed: int
    written: int
    parts: int
    seconds: dict[str, float]


def compute(
    recipe: Recipe,
    progress: Progress | None = None,
    *,
    new_version: bool = False,
    origin: str | None = None,
    wait_seconds: float = 0.0,
) -> ComputeResult:
    """Build and publish the snapshot that a recipe describes.

    Parameters
    ----------
    recipe : Recipe
    progress : Progress, optional
    new_version : bool, optional
        Let a recipe that differs from the current snapshot's replace it as `current`.
    origin : str, optional
        Name of a snapshot whose tiles are taken; by default they are cut from composites.
    wait_seconds : float, optional
        How long to wait for another process that builds a snapshot in this store.

    Returns
    -------
    ComputeResult

    Raises
    ------
    StoreError
        If there is no store, it is on another grid, its current snapshot was made by another
        recipe, the tiles of `origin` are not those of the recipe, or it cannot be written.
    StoreLockedError
        If another process is still building a snapshot.
    EmptySplitError
        If a split has no frame, or no eligible tile.
    PlanRefused
        If the parts do not fit the disk or the memory; none was begun.
    TasksFailed
        If tasks failed for good; nothing is published, and finished parts are kept.
    """
    progress = progress or Silent()
    paths = _existing_store(recipe, origin)
    with (
        explain_os_errors(paths.root),
        hold_lock(paths.lock("build"), wait_seconds=wait_seconds) as lock,
        _cluster(recipe) as client,
    ):
        build = _plan(recipe, client, progress, new_version=new_version, origin=origin)
        linked, missing = Linked(frozenset(), ()), build.missing_parts()
        if missing:
            linked = link_shards(paths, create_staging(paths, build.plan))
            missing = build.missing_parts()
        if missing:
            warm_up()
            refuse_what_does_not_fit(estimate_cost(build, missing), paths)
            progress.stage("compute γ", len(missing))
            run_tasks(
                client(),
                compute_part,
                build.tasks(build.staging, missing),
                progress,
                what="a part of the snapshot could not be computed",
                note=lambda done: f"{done.samples} tiles",
            )
        lock.check()
        publish(paths, build.plan.name, permissions_of(recipe.sharing))
    return ComputeResult(
        **_contents(build),
        parts=len(missing),
        linked=sum(
            all(part.shard(name) in linked.shards for name in part.arrays)
            for part in build.plan.parts()
        ),
        damaged=linked.damaged,
    )


def _existing_store(recipe: Recipe, origin: str | None) -> StorePaths:
    """Return the paths of a store that has what tiles are made of: no lock is taken elsewhere."""
    source = RainSource.of(recipe)
    if origin is None:
        source.open()
    else:
        open_snapshot(source.paths.root, origin)
    return source.paths


def plan_compute(
    recipe: Recipe,
    progress: Progress | None = None,
    *,
    new_version: bool = False,
    origin: str | None = None,
) -> Planned:
    """Return what `compute` would make, and at what cost; nothing but tables is written.

    Tiles are scanned and the climate is fitted where that was not done before.

    Parameters
    ----------
    recipe, progress, new_version, origin
        As in `compute`.

    Returns
    -------
    Planned

    Raises
    ------
    StoreError, EmptySplitError, PlanRefused, TaskError
        As in `compute`.
    """
    progress = progress or Silent()
    with _cluster(recipe) as client:
        build = _plan(recipe, client, progress, new_version=new_version, origin=origin)
    warm_up()
    cost = estimate_cost(build, build.missing_parts())
    refuse_what_does_not_fit(cost, build.paths)
    return Planned(
        **_contents(build),
        is_published=build.target.exists(),
        parts=len(build.plan.parts()),
        cost=cost,
        job_script=_job_script(recipe.cluster),
    )


def _job_script(cluster: Cluster) -> str | None:
    return job_script(load_site(cluster.site), cluster) if isinstance(cluster, SlurmJobs) else None


def compute_share(
    recipe: Recipe,
    share: Share,
    progress: Progress | None = None,
    *,
    new_version: bool = False,
    origin: str | None = None,
) -> ShareResult:
    """Compute a share of the parts in this process, without a cluster; publish nothing.

    All shares may run at once, on any nodes. When all are done, `compute` publishes.

    Parameters
    ----------
    recipe, progress, new_version, origin
        As in `compute`.
    share : Share

    Returns
    -------
    ShareResult

    Raises
    ------
    InputError
        If there is no such share.
    StoreError
        As in `compute`, or if tile table or climate are not in the store: `plan_compute` makes
        them.
    EmptySplitError
        As in `compute`.
    """
    if not 1 <= share.number <= share.of:
        raise InputError("there is no such share", got=share, expected="from 1/n to n/n")
    progress = progress or Silent()
    # Whoever runs many shares gives each of them one core.
    with (
        explain_os_errors(recipe.store.absolute()),
        zarr.config.set({"threading.max_workers": 1}),
    ):
        build = _plan(recipe, None, progress, new_version=new_version, origin=origin)
        parts, missing = build.plan.parts(), set(build.missing_parts())
        mine = [part for part in parts[share.number - 1 :: share.of] if part in missing]
        seconds = []
        if mine:
            tasks = build.tasks(create_staging(build.paths, build.plan, shared=True), mine)
            warm_up()
            progress.stage(f"compute γ, share {share}", len(tasks))
            for task in tasks:
                done = compute_part(task)
                seconds.append(done.seconds)
                progress.advance(1, f"{done.samples} tiles")
    return ShareResult(
        snapshot=build.target,
        computed=len(mine),
        written=len(parts) - len(build.missing_parts()),
        parts=len(parts),
        seconds=add_up(seconds),
    )


@contextmanager
def _cluster(recipe: Recipe) -> Iterator[Callable[[], Client]]:
    """Yield what starts the recipe's cluster when it is first called."""
    with ExitStack() as stack:

        @functools.cache
        def client() -> Client:
            refuse_crowded_workers(recipe.cluster)
            opened: Client = stack.enter_context(open_client(recipe.cluster))
            warm_up_workers(opened)
            return opened

        yield client


def _plan(
    recipe: Recipe, client: OpenClient, progress: Progress, *, new_version: bool, origin: str | None
) -> Build:
    if origin is None:
        return plan_from_composites(recipe, client, progress, new_version=new_version)
    return plan_from_snapshot(recipe, origin, client, progress, new_version=new_version)


def _contents(build: Build) -> dict[str, Any]:
    rows, climate = build.plan.rows, build.making.climate
    components, holes = climate.floors
    return {
        "snapshot": build.target,
        "rows": {split: table.num_rows for split, table in rows.items()},
        "dry": {
            split: int(np.count_nonzero(table["wet_fraction"].to_numpy() == 0))
            for split, table in rows.items()
        },
        "thresholds": tuple(climate.thresholds.values.tolist()),
        "floors": {"components": components.epsilon, "holes": holes.epsilon},
    }
