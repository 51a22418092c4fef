"""Rebuilding after new composites: what did not change is linked, by compute itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from minkgen.gamma.floors import given_floor
from minkgen.gamma.thresholds import physical_thresholds
from minkgen.opera.keys import ArchiveKey
from minkgen.recipe import PhysicalThresholds, Recipe
from minkgen.workflows.climate import Climate
from minkgen.workflows.compute import compute
from minkgen.workflows.ingest import ingest
from minkgen.workflows.plan import choices_by_array


def content_of(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def shared(first: Path, second: Path) -> set[str]:
    """Return the parts whose shards two snapshots share on disk."""
    return {
        f"{path.relative_to(second).parts[0]} {path.parts[-3]}"
        for path in second.glob("*/gamma/c/*/0/0")
        if os.path.samefile(path, first / path.relative_to(second))
    }


RAIN, MIXED = {"rain_rate"}, {"mixup_rain_rate", "mixup_gamma"}
GAMMA = {"gamma", "mixup_gamma"}


def climate(thresholds: Sequence[float] = (0.1, 1.0), floor: float = 0.5) -> Climate:
    floors = given_floor(floor), given_floor(0.25)
    return Climate(physical_thresholds(thresholds), floors, {"max_rate": 9.0, "log1p_max": 2.3})


@pytest.mark.parametrize(
    ("sections", "fitted", "changed"),
    [
        ({"tiles": {"size": 64}}, climate(), RAIN | GAMMA | MIXED),
        ({"tiles": {"drizzle_mm_h": 0.2}}, climate(), RAIN | GAMMA | MIXED),
        ({"product": "DBZH", "grid": "test_1km"}, climate(), RAIN | GAMMA | MIXED),
        ({"seed": 1}, climate(), MIXED),
        ({"mixup": {"alpha": 0.4}}, climate(), MIXED),
        ({"mixup": {"noise_mm_h": 0.4}}, climate(), MIXED),
        ({"mixup": {"upsampling": "nearest"}}, climate(), MIXED),
        ({"persistence": {"essential": "background"}}, climate(), GAMMA),
        ({}, climate(thresholds=(0.1, 2.0)), GAMMA),
        ({}, climate(floor=0.6), GAMMA),
        # These choose samples, or are known by the thresholds and floors that they lead to.
        ({"tiles": {"dry_fraction": 0.5, "min_coverage": 0.5, "offset": [8, 8]}}, climate(), set()),
        ({"thresholds": {"kind": "log", "low": 0.1, "high": 9, "count": 5}}, climate(), set()),
        ({"persistence": {"components": {"kind": "elbow"}}}, climate(), set()),
        ({"flags": {"spike": {"above_mm_h": 400}}, "exclude_flags": ["spike"]}, climate(), set()),
    ],
)
def test_every_choice_that_decides_a_shard_is_known(
    make_recipe: Callable[..., Recipe],
    sections: dict[str, Any],
    fitted: Climate,
    changed: set[str],
) -> None:
    def choices(recipe: Recipe, fitted: Climate) -> dict[str, dict[str, Any]]:
        versions = dict.fromkeys(("numba", "numcodecs", "numpy", "zarr", "dask"), "1")
        metadata = {
            "layout_version": 1,
            "code_version": "1",
            "grid": recipe.grid,
            "tile_size": recipe.tiles.size,
            "library_versions": versions,
        }
        return choices_by_array(recipe, fitted, metadata)

    usual = choices(make_recipe(), climate())
    found = choices(make_recipe(**sections), fitted)
    assert {array for array in usual if usual[array] != found[array]} == changed


def test_tiles_are_shared_by_snapshots_of_other_thresholds(recipe: Recipe) -> None:
    first = compute(recipe).snapshot
    thresholds = PhysicalThresholds(kind="physical", values=(0.1, 1.0))
    second = compute(recipe.model_copy(update={"thresholds": thresholds}), new_version=True)
    assert second.parts == 3
    for name, same in (("rain_rate", True), ("mixup_rain_rate", True), ("gamma", False)):
        shard = f"train/{name}/c/0/0/0"
        assert os.path.samefile(first / shard, second.snapshot / shard) == same


@pytest.mark.slow
def test_an_appended_hour_and_a_recovered_composite(
    make_recipe: Callable[..., Recipe], archive: Path, tmp_path: Path
) -> None:
    late = archive / ArchiveKey(datetime(2024, 7, 1, 2, 30, tzinfo=UTC), "RATE").path
    late.rename(archive / "aside.h5")
    sections: dict[str, Any] = {
        # 500 tiles a frame, wet or dry, are two parts of training samples: 25 pixels are the least
        # that mix-up takes.
        "tiles": {"size": 25, "stride": 25, "dry_fraction": 0.9, "min_coverage": 0.5},
        "thresholds": {"kind": "physical", "values": [0.1, 1.0, 5.0]},
        "persistence": {
            each: {"kind": "given", "value_mm_h": 0.1} for each in ("components", "holes")
        },
    }
    recipe = make_recipe(**sections)
    short = recipe.splits.model_copy(
        update={
            "test": recipe.splits.test.model_copy(
                update={"end": datetime(2024, 7, 1, 5, 30, tzinfo=UTC)}
            )
        }
    )
    ingest(recipe)
    first = compute(recipe.model_copy(update={"splits": short}))
    assert (first.parts, first.linked) == (4, 0)

    appended = compute(recipe, new_version=True)
    assert (appended.parts, appended.linked) == (1, 3)
    assert shared(first.snapshot, appended.snapshot) == {"train 0", "train 1", "validation 0"}

    (archive / "aside.h5").rename(late)
    ingest(recipe)
    recovered = compute(recipe)
    assert (recovered.parts, recovered.linked) == (1, 3)
    assert shared(appended.snapshot, recovered.snapshot) == {"train 0", "validation 0", "test 0"}

    elsewhere = recipe.model_copy(update={"store": tmp_path / "elsewhere"})
    ingest(elsewhere)
    from_scratch = compute(elsewhere)
    assert from_scratch.linked == 0
    assert content_of(recovered.snapshot) == content_of(from_scratch.snapshot)
