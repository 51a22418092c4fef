"""A snapshot made from another one: new thresholds, floors or mix-up on the tiles that it holds."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from minkgen.errors import StoreError
from minkgen.recipe import Recipe, differences, digest
from minkgen.store.layout import StorePaths
from minkgen.store.linking import kept_digests
from minkgen.store.rows import read_rows
from minkgen.store.snapshot import SPLITS, Snapshot, open_snapshot
from minkgen.tiles.table import rows_digest
from minkgen.workflows.climate import (
    Climate,
    ClimateFit,
    fit_climate,
    frozen_climate,
    given_climate,
    stored_climate,
)
from minkgen.workflows.parts import Making
from minkgen.workflows.plan import (
    Build,
    OpenClient,
    missing_on_disk,
    refuse_unasked_version,
    snapshot_plan,
)
from minkgen.workflows.progress import Progress
from minkgen.workflows.tile_sources import KeptTiles

__all__ = ["plan_from_snapshot"]

# The sections of a recipe that leave the tiles as they are.
_MAY_DIFFER = ("thresholds", "persistence", "mixup")


def plan_from_snapshot(
    recipe: Recipe,
    origin: str,
    client: OpenClient,
    progress: Progress,
    *,
    new_version: bool = False,
) -> Build:
    """Plan the snapshot that a recipe describes from the tiles of another one; cut none.

    The composites need not be there any more. What comes out is what `plan_from_composites` would
    have planned with them.

    Parameters
    ----------
    recipe : Recipe
        As the other snapshot's, but for thresholds, persistence and mix-up.
    origin : str
        Name of the other snapshot in the recipe's store, or `current`.
    client : callable or None
        Called where thresholds or floors are to be estimated and are not in the store yet. None:
        they must be.
    progress : Progress
    new_version : bool, optional
        Let a recipe that differs from the current snapshot's replace it as `current`.

    Returns
    -------
    Build

    Raises
    ------
    StoreError
        If there is no such snapshot, it is damaged, its tiles are not those of the recipe, or no
        cluster may be started where one is needed.
    TaskError
        If a task failed.
    """
    paths = StorePaths(recipe.store.absolute(), recipe.group)
    snapshot = open_snapshot(paths.root, origin)
    _refuse_other_tiles(snapshot, recipe)
    refuse_unasked_version(paths, recipe, new_version=new_version)
    rows = {split: read_rows(snapshot.path, split) for split in SPLITS}
    found = {split: rows_digest(table) for split, table in rows.items()}
    if found != snapshot.metadata["rows"]:
        raise StoreError(
            "the columns of the snapshot are not those that it was published with",
            where=snapshot.path,
            hint="compute it again",
        )
    climate = _climate(paths, snapshot, recipe, rows["train"], client, progress)
    kept = ["rain_rate"]
    if snapshot.metadata["recipe"]["mixup"] == recipe.numeric()["mixup"]:
        kept.append("mixup_rain_rate")
    plan = snapshot_plan(
        recipe,
        rows,
        climate,
        inputs=snapshot.metadata["inputs"],
        attribution=snapshot.metadata["attribution"],
        grid=snapshot.grid,
        digests=lambda choices: kept_digests(snapshot.path, rows, choices, kept),
    )
    making = Making(
        recipe,
        climate,
        snapshot.pixel_km,
        KeptTiles(snapshot.path),
        {name: KeptTiles(snapshot.path, name) for name in kept},
    )
    return Build(paths, plan, making)


def _refuse_other_tiles(snapshot: Snapshot, recipe: Recipe) -> None:
    differing = differences(_of_tiles(snapshot.metadata["recipe"]), _of_tiles(recipe.numeric()))
    if differing is not None:
        raise StoreError(
            "the snapshot holds other tiles than the recipe describes",
            where=snapshot.path,
            got=differing[0],
            expected=differing[1],
            hint=f"with --from, only {', '.join(_MAY_DIFFER)} may differ; compute from composites",
        )


def _of_tiles(sections: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in sections.items() if key not in _MAY_DIFFER}


def _climate(
    paths: StorePaths,
    snapshot: Snapshot,
    recipe: Recipe,
    training: pa.Table,
    client: OpenClient,
    progress: Progress,
) -> Climate:
    if recipe.climate_from is not None:
        return frozen_climate(paths.root, recipe)
    # The largest rate of frames without a flag: flags were judged with the composites.
    given = given_climate(recipe, snapshot.metadata["normalisation"])
    if given is not None:
        return given
    fit = _fit(paths, snapshot, recipe, training)
    climate = stored_climate(fit)
    if climate is not None:
        return climate
    if client is None:
        raise missing_on_disk("climate", paths, option=f" --from {snapshot.name}")
    return fit_climate(client(), fit, progress)


def _fit(paths: StorePaths, snapshot: Snapshot, recipe: Recipe, training: pa.Table) -> ClimateFit:
    """Return how thresholds and floors follow from the tiles of a snapshot."""
    decided = {
        "recipe": recipe.model_dump(mode="json", include={"thresholds", "persistence"}),
        "tiles": _of_tiles(recipe.numeric()),
        "rows": snapshot.metadata["rows"]["train"],
        "inputs": snapshot.metadata["inputs"],
        "normalisation": snapshot.metadata["normalisation"],
    }
    return ClimateFit(
        recipe=recipe,
        training=training,
        tiles=KeptTiles(snapshot.path),
        normalisation=snapshot.metadata["normalisation"],
        decided_by=decided,
        path=paths.climate(digest(decided)[:16]),
    )
