"""Compute: composites to a published snapshot of tiles and γ-matrices."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from distributed import Client

from minkgen.errors import EmptySplitError
from minkgen.gamma.functionals import FUNCTIONALS
from minkgen.gamma.matrix import gamma_matrix
from minkgen.gamma.warm_up import warm_up
from minkgen.opera.odim import SYNTHETIC_MARK
from minkgen.recipe import Recipe, digest
from minkgen.store.build import (
    Part,
    SnapshotPlan,
    create_staging,
    is_written,
    snapshot_path,
    write_part,
)
from minkgen.store.composites import Composites, open_composites, refuse_other_recipe
from minkgen.store.files import explain_os_errors
from minkgen.store.layout import (
    LAYOUT_VERSION,
    StorePaths,
    attribution_of,
)
from minkgen.store.linking import Linked, link_shards, shard_digests
from minkgen.store.lock import Lock, hold_lock
from minkgen.store.permissions import permissions_of
from minkgen.store.publishing import publish
from minkgen.store.snapshot import open_snapshot
from minkgen.tiles.eligibility import cut_tile
from minkgen.tiles.mixup import mix_tile
from minkgen.tiles.table import minutes, select_rows
from minkgen.workflows.climate import Climate, fit_climate
from minkgen.workflows.cluster import open_client, run_tasks
from minkgen.workflows.progress import Progress, Silent
from minkgen.workflows.scan import Frame, choose_frames, ok_frames, scan_tiles, tiles_by_time

__all__ = ["ComputeResult", "compute"]

_RECORDED = ("dask", "gudhi", "numba", "numcodecs", "numpy", "pyproj", "scikit-image", "zarr")
# Shards are linked from snapshots that were made with the same of these: they make the bytes.
_MAKE_BYTES = ("numba", "numcodecs", "numpy", "zarr")


@dataclass(frozen=True)
class ComputeResult:
    """What a compute run made.

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
    parts : int
        Parts that were computed in this run; 0 where the snapshot was there already.
    linked : int
        Parts that were linked from earlier snapshots in this run, instead of computed.
    damaged : tuple of Path
        Files of earlier snapshots that could have been linked, but are damaged.
    """

    snapshot: Path
    rows: dict[str, int]
    dry: dict[str, int]
    thresholds: tuple[float, ...]
    floors: dict[str, float]
    parts: int
    linked: int = 0
    damaged: tuple[Path, ...] = ()


@dataclass(frozen=True)
class PartTask:
    """What the task of one part needs to know."""

    staging: Path
    store: Path
    part: Part
    rows: pa.Table
    recipe: Recipe
    climate: Climate

    def __str__(self) -> str:
        return f"{self.part} of {self.staging}"


def compute(
    recipe: Recipe,
    progress: Progress | None = None,
    *,
    new_version: bool = False,
    wait_seconds: float = 0.0,
) -> ComputeResult:
    """Build and publish the snapshot that a recipe describes.

    Parameters
    ----------
    recipe : Recipe
    progress : Progress, optional
    new_version : bool, optional
        Let a recipe that differs from the current snapshot's replace it as `current`.
    wait_seconds : float, optional
        How long to wait for another process that builds a snapshot in this store.

    Returns
    -------
    ComputeResult

    Raises
    ------
    StoreError
        If there is no store, it is on another grid, its current snapshot was made by another
        recipe, or it cannot be written.
    StoreLockedError
        If another process is still building a snapshot.
    EmptySplitError
        If a split has no frame, or no eligible tile.
    TaskError
        If a task failed; nothing is published, and finished parts are kept.
    """
    progress = progress or Silent()
    paths = StorePaths(recipe.store.absolute())
    composites = open_composites(paths)
    _refuse_other_recipe(paths, composites, recipe, new_version)
    with (
        explain_os_errors(paths.root),
        hold_lock(paths.lock("build"), wait_seconds=wait_seconds) as lock,
    ):
        return _build(paths, composites, recipe, progress, lock)


def _build(
    paths: StorePaths, composites: Composites, recipe: Recipe, progress: Progress, lock: Lock
) -> ComputeResult:
    permissions = permissions_of(recipe.sharing)
    found = ok_frames(paths, recipe.period, recipe.flags)
    frames, excluded = choose_frames(found, recipe)
    _require_frames(frames, found, recipe)
    warm_up()  # once, before several processes would each compile the kernel
    with open_client(recipe.cluster) as client:
        tiles = scan_tiles(client, paths, recipe, frames, progress)
        rows = select_rows(tiles, recipe)
        _require_rows(rows, recipe)
        climate = fit_climate(client, paths, recipe, rows["train"], frames, progress)
        plan = _plan(composites, recipe, rows, climate, frames, excluded)
        done, linked = 0, Linked(frozenset(), ())
        if not snapshot_path(paths, plan.name).exists():
            staging = create_staging(paths, plan)
            linked = link_shards(paths, staging)
            done = _compute_parts(client, paths, staging, plan, recipe, climate, progress)
        lock.check()
        target = publish(paths, plan.name, permissions)
    return ComputeResult(
        snapshot=target,
        rows={split: table.num_rows for split, table in rows.items()},
        dry={
            split: int(np.count_nonzero(table["wet_fraction"].to_numpy() == 0))
            for split, table in rows.items()
        },
        thresholds=tuple(climate.thresholds.values.tolist()),
        floors={"components": climate.floors[0].epsilon, "holes": climate.floors[1].epsilon},
        parts=done,
        linked=sum(
            all(part.shard(name) in linked.shards for name in part.arrays) for part in plan.parts()
        ),
        damaged=linked.damaged,
    )


def _refuse_other_recipe(
    paths: StorePaths, composites: Composites, recipe: Recipe, new_version: bool
) -> None:
    refuse_other_recipe(paths, {"grid": composites.grid.name}, {"grid": recipe.grid})
    if not new_version and paths.current.exists():
        found = open_snapshot(paths.root).metadata
        refuse_other_recipe(
            paths,
            {"name": found["name"], **found["recipe"]},
            {"name": recipe.name, **recipe.numeric()},
            hint="give --new-version to replace its current snapshot, or ",
        )


def _require_frames(
    frames: dict[datetime, Frame], found: dict[datetime, Frame], recipe: Recipe
) -> None:
    for split, window in recipe.splits.trimmed().items():
        if not any(time in window for time in frames):
            raise EmptySplitError(
                f"the {split} split has no composite",
                where=recipe.store,
                got=f"{len(found)} composites in the whole period, {len(frames)} of them chosen by "
                "tiles.months, tiles.hours and exclude_flags",
                expected=f"at least one from {window.start:%FT%R} to {window.end:%FT%R}",
                hint="run `minkgen ingest` for these times, move the split, or choose more frames",
            )


def _require_rows(rows: dict[str, pa.Table], recipe: Recipe) -> None:
    for split, table in rows.items():
        if not np.any(table["wet_fraction"].to_numpy() > 0):
            raise EmptySplitError(
                f"the {split} split has no eligible tile",
                where=recipe.store,
                got=f"{table.num_rows} tiles, none with rain",
                expected=f"tiles covered to {recipe.tiles.min_coverage:g} with a pixel of at "
                f"least {recipe.tiles.drizzle_mm_h:g} mm/h",
                hint="lower tiles.min_coverage, or choose a longer or wetter period",
            )


def _plan(
    composites: Composites,
    recipe: Recipe,
    rows: dict[str, pa.Table],
    climate: Climate,
    frames: dict[datetime, Frame],
    excluded: dict[datetime, tuple[str, ...]],
) -> SnapshotPlan:
    """Fix everything that decides the snapshot's numbers, and name it by their hash."""
    windows = recipe.splits.trimmed().values()
    used = {
        f"{time:%FT%R}": frame.sha256
        for time, frame in frames.items()
        if any(time in window for window in windows)
    }
    left_out = [flags for t, flags in excluded.items() if any(t in window for window in windows)]
    decided: dict[str, Any] = {
        "recipe": recipe.numeric(),
        "thresholds": climate.thresholds.as_dict(),
        "floors": climate.floors_as_dict(),
        "normalisation": climate.normalisation,
        "rows": {split: _rows_digest(table) for split, table in rows.items()},
        "inputs": {
            "composites": len(used),
            "digest": digest(used),
            "excluded": {
                "composites": len(left_out),
                **{flag: sum(flag in flags for flags in left_out) for flag in recipe.exclude_flags},
            },
        },
    }
    full_hash = digest(decided)
    metadata: dict[str, Any] = {
        "layout_version": LAYOUT_VERSION,
        "name": recipe.name,
        "hash": full_hash,
        **decided,
        "grid": composites.grid.name,
        "pixel_km": composites.grid.pixel_km,
        "tile_size": recipe.tiles.size,
        "functionals": list(FUNCTIONALS),
        "code_version": version("minkgen"),
        "library_versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in _RECORDED},
        },
        "attribution": attribution_of(SYNTHETIC_MARK in frame.source for frame in frames.values()),
    }
    return SnapshotPlan(
        name=f"{recipe.name}-{full_hash[:12]}",
        metadata=metadata,
        rows=rows,
        grid=composites.grid,
        tile_size=recipe.tiles.size,
        thresholds=climate.thresholds,
        decided_by=shard_digests(
            rows,
            {time: frame.sha256 for time, frame in frames.items()},
            _choices_by_array(recipe, climate, metadata),
        ),
    )


def _choices_by_array(
    recipe: Recipe, climate: Climate, metadata: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return what decides the values of each array, besides its samples and their composites."""
    versions = metadata["library_versions"]
    cut = {
        **{key: metadata[key] for key in ("layout_version", "code_version", "grid", "tile_size")},
        "library_versions": {name: versions[name] for name in _MAKE_BYTES},
        "drizzle_mm_h": recipe.tiles.drizzle_mm_h,
    }
    measured = {
        "thresholds": climate.thresholds.values.tolist(),
        "floors": [floor.epsilon for floor in climate.floors],
        "essential": recipe.persistence.essential,
    }
    mixed = {"seed": recipe.seed, "mixup": recipe.mixup.model_dump(mode="json")}
    return {
        "rain_rate": cut,
        "gamma": {**cut, **measured},
        "mixup_rain_rate": {**cut, **mixed},
        "mixup_gamma": {**cut, **mixed, **measured},
    }


def _rows_digest(table: pa.Table) -> str:
    columns = (minutes(table), table["row"].to_numpy(), table["column"].to_numpy())
    return digest([column.tolist() for column in columns])


def _compute_parts(
    client: Client,
    paths: StorePaths,
    staging: Path,
    plan: SnapshotPlan,
    recipe: Recipe,
    climate: Climate,
    progress: Progress,
) -> int:
    parts = [part for part in plan.parts() if not is_written(staging, part)]
    tasks = [
        PartTask(
            staging,
            paths.root,
            part,
            plan.rows[part.split].slice(part.start, part.count).combine_chunks(),
            recipe,
            climate,
        )
        for part in parts
    ]
    progress.stage("compute γ", len(tasks))
    run_tasks(
        client,
        compute_part,
        tasks,
        progress,
        what="a part of the snapshot could not be computed",
        note=lambda count: f"{count} tiles",
    )
    return len(tasks)


def compute_part(task: PartTask) -> int:
    """Cut, measure and mix the tiles of one part, and write its shards; return their number."""
    composites = open_composites(StorePaths(task.store))
    pixel_km = composites.grid.pixel_km
    tiles = _cut_tiles(composites, task)
    write_part(task.staging, task.part, "rain_rate", tiles)
    write_part(task.staging, task.part, "gamma", _gamma(tiles, task, pixel_km))
    if task.part.split == "train":
        columns = minutes(task.rows), task.rows["row"].to_numpy(), task.rows["column"].to_numpy()
        for index, (minute, row, column) in enumerate(zip(*columns, strict=True)):
            identity = int(minute), int(row), int(column)
            tiles[index] = mix_tile(tiles[index], identity, task.recipe, pixel_km)
        write_part(task.staging, task.part, "mixup_rain_rate", tiles)
        write_part(task.staging, task.part, "mixup_gamma", _gamma(tiles, task, pixel_km))
    return task.part.count


def _cut_tiles(composites: Composites, task: PartTask) -> npt.NDArray[np.float32]:
    size = task.recipe.tiles.size
    tiles = np.empty((task.part.count, size, size), np.float32)
    for time, index, corners in tiles_by_time(task.rows):
        frame = composites.read("rain_rate", time)[0]
        for offset, (row, column) in enumerate(corners):
            tiles[index + offset] = cut_tile(frame, row, column, task.recipe.tiles)
    return tiles


def _gamma(
    tiles: npt.NDArray[np.float32], task: PartTask, pixel_km: float
) -> npt.NDArray[np.float32]:
    components, holes = task.climate.floors
    gamma: npt.NDArray[np.float32] = gamma_matrix(
        tiles,
        task.climate.thresholds.values,
        pixel_km=pixel_km,
        min_persistence=(components.epsilon, holes.epsilon),
        essential=task.recipe.persistence.essential,
    )
    return gamma
