"""Plan: the rows of every split, the climate, and everything else that fixes a snapshot."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from distributed import Client

from minkgen.errors import EmptySplitError, StoreError
from minkgen.gamma.functionals import FUNCTIONALS
from minkgen.grid import OWN_GRID, Grid
from minkgen.recipe import Recipe, digest
from minkgen.store.build import Part, SnapshotPlan, is_begun, is_written, staging_path
from minkgen.store.composites import refuse_other_recipe
from minkgen.store.layout import LAYOUT_VERSION, StorePaths, attribution_of
from minkgen.store.linking import shard_digests
from minkgen.store.snapshot import open_snapshot
from minkgen.tiles.regions import corners_in_region
from minkgen.tiles.table import rows_digest, select_rows
from minkgen.workflows.climate import (
    Climate,
    climate_of_composites,
    fit_climate,
    frozen_climate,
    stored_climate,
)
from minkgen.workflows.parts import Making, PartTask
from minkgen.workflows.progress import Progress
from minkgen.workflows.rain import Frame, RainSource, rain_frames
from minkgen.workflows.scan import choose_frames, scan_tiles, stored_tiles
from minkgen.workflows.tile_sources import CutTiles

__all__ = [
    "Build",
    "OpenClient",
    "choices_by_array",
    "missing_on_disk",
    "plan_from_composites",
    "refuse_unasked_version",
    "snapshot_plan",
]

# Starts the cluster the first time it is called; None where no cluster may be started.
OpenClient = Callable[[], Client] | None

_RECORDED = ("dask", "gudhi", "numba", "numcodecs", "numpy", "pyproj", "scikit-image", "zarr")
# Shards are linked from snapshots that were made with the same of these: they make the bytes.
_MAKE_BYTES = ("numba", "numcodecs", "numpy", "zarr")


@dataclass(frozen=True)
class Build:
    """A snapshot that is fixed, and how its parts are made.

    Attributes
    ----------
    paths : StorePaths
    plan : SnapshotPlan
    making : Making
    """

    paths: StorePaths
    plan: SnapshotPlan
    making: Making

    @property
    def target(self) -> Path:
        """The folder of the published snapshot."""
        return self.paths.features / f"{self.plan.name}.zarr"

    @property
    def staging(self) -> Path:
        """The folder in which it grows."""
        return staging_path(self.paths, self.plan.name)

    def missing_parts(self) -> list[Part]:
        """Return the parts that are still to be computed, in order."""
        if self.target.exists():
            return []
        if not is_begun(self.staging, self.plan):
            return self.plan.parts()
        return [part for part in self.plan.parts() if not is_written(self.staging, part)]

    def tasks(self, staging: Path, parts: list[Part]) -> list[PartTask]:
        """Return the tasks of parts."""
        return [PartTask(staging, part, self.making) for part in parts]


def plan_from_composites(
    recipe: Recipe, client: OpenClient, progress: Progress, *, new_version: bool = False
) -> Build:
    """Plan the snapshot that a recipe describes; scan tiles and fit the climate where needed.

    Parameters
    ----------
    recipe : Recipe
    client : callable or None
        Called where tile table or climate are not in the store yet. None: they must be.
    progress : Progress
    new_version : bool, optional
        Let a recipe that differs from the current snapshot's replace it as `current`.

    Returns
    -------
    Build

    Raises
    ------
    StoreError
        If there is no store, it is on another grid, its current snapshot was made by another
        recipe, or no cluster may be started where one is needed.
    EmptySplitError
        If a split has no frame, or no eligible tile.
    TasksFailed
        If tasks failed for good.
    """
    source = RainSource.of(recipe)
    composites = source.open()
    refuse_other_recipe(source.paths, {"grid": composites.grid.name}, {"grid": recipe.grid})
    refuse_unasked_version(source.paths, recipe, new_version=new_version)
    found = rain_frames(source, recipe)
    frames, excluded = choose_frames(found, recipe)
    _require_frames(frames, found, recipe)
    corners_in_region(composites.grid, recipe.tiles)  # raises where there is none
    rows = select_rows(_tiles(client, source, recipe, frames, progress), recipe)
    _require_rows(rows, recipe)
    climate = _climate(client, source, recipe, rows["train"], frames, progress)
    attribution = attribution_of(frame.source for frame in frames.values())
    inputs = _inputs(recipe, frames, excluded)
    plan = snapshot_plan(
        recipe,
        rows,
        climate,
        inputs=inputs,
        attribution=attribution,
        grid=composites.grid,
        digests=partial(shard_digests, rows, {t: frame.sha256 for t, frame in frames.items()}),
    )
    tiles = CutTiles(source, recipe.tiles)
    return Build(source.paths, plan, Making(recipe, climate, composites.grid.pixel_km, tiles))


def missing_on_disk(what: str, paths: StorePaths, *, option: str = "") -> StoreError:
    """Return the error for what only a process with a cluster makes."""
    return StoreError(
        f"the {what} of this recipe is not in the store",
        where=paths.root,
        hint=f"run `minkgen compute RECIPE{option} --dry-run` first: it makes what all parts need",
    )


def _tiles(
    client: OpenClient,
    source: RainSource,
    recipe: Recipe,
    frames: Mapping[datetime, Frame],
    progress: Progress,
) -> pa.Table:
    tiles = stored_tiles(source, recipe, frames)
    if tiles is not None:
        return tiles
    if client is None:
        raise missing_on_disk("tile table", source.paths)
    return scan_tiles(client(), source, recipe, frames, progress)


def _climate(
    client: OpenClient,
    source: RainSource,
    recipe: Recipe,
    training: pa.Table,
    frames: Mapping[datetime, Frame],
    progress: Progress,
) -> Climate:
    if recipe.climate_from is not None:
        return frozen_climate(source.paths.root, recipe)
    fit = climate_of_composites(source, recipe, training, frames)
    climate = stored_climate(fit)
    if climate is not None:
        return climate
    if client is None:
        raise missing_on_disk("climate", source.paths)
    return fit_climate(client(), fit, progress)


def refuse_unasked_version(paths: StorePaths, recipe: Recipe, *, new_version: bool) -> None:
    """Refuse to replace the current snapshot by one of another recipe, unless asked to.

    Raises
    ------
    StoreError
        Naming all that differs.
    """
    if not new_version and paths.current.exists():
        found = open_snapshot(paths.root).metadata
        refuse_other_recipe(
            paths,
            {"name": found["name"], **found["recipe"]},
            {"name": recipe.name, **recipe.numeric()},
            hint="give --new-version to replace its current snapshot, or ",
        )


def _require_frames(
    frames: Mapping[datetime, Frame], found: Mapping[datetime, Frame], recipe: Recipe
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


def _require_rows(rows: Mapping[str, pa.Table], recipe: Recipe) -> None:
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


def _inputs(
    recipe: Recipe,
    frames: Mapping[datetime, Frame],
    excluded: Mapping[datetime, tuple[str, ...]],
) -> dict[str, Any]:
    windows = recipe.splits.trimmed().values()
    used = {
        f"{time:%FT%R}": frame.sha256
        for time, frame in frames.items()
        if any(time in window for window in windows)
    }
    left_out = [flags for t, flags in excluded.items() if any(t in window for window in windows)]
    return {
        "composites": len(used),
        "digest": digest(used),
        "excluded": {
            "composites": len(left_out),
            **{flag: sum(flag in flags for flags in left_out) for flag in recipe.exclude_flags},
        },
    }


def snapshot_plan(
    recipe: Recipe,
    rows: Mapping[str, pa.Table],
    climate: Climate,
    *,
    inputs: Mapping[str, Any],
    attribution: str,
    grid: Grid,
    digests: Callable[[Mapping[str, Any]], Mapping[str, str]],
) -> SnapshotPlan:
    """Fix everything that decides a snapshot's numbers, and name it by their hash.

    Parameters
    ----------
    recipe : Recipe
    rows : mapping of str to pyarrow.Table
        The samples of every split, in order.
    climate : Climate
    inputs : mapping
        Number and digest of the composites, and how many were excluded.
    attribution : str
        Source and licence of the data.
    grid : Grid
        That the tiles are cut from; one's own is a part of what decides the numbers.
    digests : callable
        Returns the digest of what decides each shard, for the choices behind each array.

    Returns
    -------
    SnapshotPlan
    """
    decided: dict[str, Any] = {
        "recipe": recipe.numeric(),
        "thresholds": climate.thresholds.as_dict(),
        "floors": climate.floors_as_dict(),
        "normalisation": climate.normalisation,
        "rows": {split: rows_digest(table) for split, table in rows.items()},
        "inputs": dict(inputs),
    }
    if grid.name == OWN_GRID:
        decided["own_grid"] = grid.as_dict()
    full_hash = digest(decided)
    metadata: dict[str, Any] = {
        "layout_version": LAYOUT_VERSION,
        "name": recipe.name,
        "hash": full_hash,
        **decided,
        "grid": grid.name,
        "pixel_km": grid.pixel_km,
        "tile_size": recipe.tiles.size,
        "functionals": list(FUNCTIONALS),
        "code_version": version("minkgen"),
        "library_versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in _RECORDED},
        },
        "climate_from": recipe.climate_from,
        "attribution": attribution,
    }
    return SnapshotPlan(
        name=f"{recipe.name}-{full_hash[:12]}",
        metadata=metadata,
        rows=rows,
        grid=grid,
        tile_size=recipe.tiles.size,
        thresholds=climate.thresholds,
        decided_by=digests(choices_by_array(recipe, climate, metadata)),
    )


def choices_by_array(
    recipe: Recipe, climate: Climate, metadata: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return what decides the values of each array, besides its samples and their composites."""
    versions = metadata["library_versions"]
    cut = {
        **{key: metadata[key] for key in ("layout_version", "code_version", "tile_size")},
        "library_versions": {name: versions[name] for name in _MAKE_BYTES},
        "rain": recipe.rain(),
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
