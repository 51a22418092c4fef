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
from minkgen.opera.odim import SYNTHETIC_MARK
from minkgen.recipe import Recipe, digest
from minkgen.store.build import (
    Part,
    SnapshotPlan,
    create_staging,
    is_written,
    make_current,
    publish,
    write_part,
)
from minkgen.store.composites import Composites, refuse_other_recipe
from minkgen.store.layout import (
    LAYOUT_VERSION,
    StorePaths,
    attribution_of,
)
from minkgen.store.snapshot import open_snapshot
from minkgen.tiles.eligibility import cut_tile
from minkgen.tiles.mixup import mix_tile
from minkgen.tiles.table import minutes, rows_digest, select_rows
from minkgen.workflows.climate import Climate, fit_climate
from minkgen.workflows.cluster import open_client, run_tasks, warm_up_workers
from minkgen.workflows.progress import Progress, Silent
from minkgen.workflows.rain import Frame, RainSource, rain_frames
from minkgen.workflows.scan import choose_frames, scan_tiles, tiles_by_time

__all__ = ["ComputeResult", "compute"]

_RECORDED = ("dask", "gudhi", "numba", "numcodecs", "numpy", "pyproj", "scikit-image", "zarr")


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
        Shards that were computed in this run; 0 where the snapshot was there already.
    """

    snapshot: Path
    rows: dict[str, int]
    dry: dict[str, int]
    thresholds: tuple[float, ...]
    floors: dict[str, float]
    parts: int


@dataclass(frozen=True)
class PartTask:
    """What the task of one part needs to know."""

    staging: Path
    source: RainSource
    part: Part
    rows: pa.Table
    recipe: Recipe
    climate: Climate

    def __str__(self) -> str:
        return f"{self.part} of {self.staging}"


def compute(
    recipe: Recipe, progress: Progress | None = None, *, new_version: bool = False
) -> ComputeResult:
    """Build and publish the snapshot that a recipe describes.

    Parameters
    ----------
    recipe : Recipe
    progress : Progress, optional
    new_version : bool, optional
        Let a recipe that differs from the current snapshot's replace it as `current`.

    Returns
    -------
    ComputeResult

    Raises
    ------
    StoreError
        If there is no store, it is on another grid, or its current snapshot was made by another
        recipe.
    EmptySplitError
        If a split has no frame, or no eligible tile.
    TasksFailed
        If tasks failed for good; nothing is published, and finished parts are kept.
    """
    progress = progress or Silent()
    source = RainSource.of(recipe)
    paths, composites = source.paths, source.open()
    _refuse_other_recipe(paths, composites, recipe, new_version)
    found = rain_frames(source, recipe)
    frames, excluded = choose_frames(found, recipe)
    _require_frames(frames, found, recipe)
    with open_client(recipe.cluster) as client:
        warm_up_workers(client)
        tiles = scan_tiles(client, source, recipe, frames, progress)
        rows = select_rows(tiles, recipe)
        _require_rows(rows, recipe)
        climate = fit_climate(client, source, recipe, rows["train"], frames, progress)
        plan = _plan(composites, recipe, rows, climate, frames, excluded)
        target = paths.features / f"{plan.name}.zarr"
        done = 0
        if target.exists():
            make_current(paths, target)
        else:
            staging = create_staging(paths, plan)
            done = _compute_parts(client, source, staging, plan, recipe, climate, progress)
            publish(paths, staging, plan)
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
        "rows": {split: rows_digest(table) for split, table in rows.items()},
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
        "climate_from": recipe.climate_from,
        "attribution": attribution_of(SYNTHETIC_MARK in frame.source for frame in frames.values()),
    }
    return SnapshotPlan(
        name=f"{recipe.name}-{full_hash[:12]}",
        metadata=metadata,
        rows=rows,
        grid=composites.grid,
        tile_size=recipe.tiles.size,
        thresholds=climate.thresholds,
    )


def _compute_parts(
    client: Client,
    source: RainSource,
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
            source,
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
    composites = task.source.open()
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
        frame = task.source.read(composites, time)
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
