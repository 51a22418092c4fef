"""`compute --from`: a snapshot made of another one's tiles is the one that composites make."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from minkgen.errors import StoreError
from minkgen.recipe import Recipe
from minkgen.store import linking
from minkgen.store.rows import read_rows
from minkgen.store.snapshot import open_snapshot
from minkgen.tiles.table import TILE_SCHEMA
from minkgen.workflows.compute import Share, compute, compute_share, plan_compute
from minkgen.workflows.plan import plan_from_composites
from minkgen.workflows.progress import Silent
from tests.workflows.trees import tree

GIVEN = {
    "thresholds": {"kind": "physical", "values": [0.2, 1.0, 5.0]},
    "persistence": {
        "components": {"kind": "given", "value_mm_h": 0.3},
        "holes": {"kind": "given", "value_mm_h": 0.1},
        "essential": "background",
    },
}
ESTIMATED = {
    "thresholds": {"kind": "quantile", "levels": [0.1, 0.4, 0.8], "max_pixels": 5000},
    "persistence": {
        "components": {"kind": "percentile", "percentile": 80},
        "holes": {"kind": "elbow"},
        "sample_tiles": 50,
    },
    "mixup": {"alpha": 0.4},
}


def changed(recipe: Recipe, sections: dict[str, Any], store: Path | None = None) -> Recipe:
    plain = recipe.model_dump(mode="json")
    return Recipe.model_validate({**plain, **sections, "store": str(store or recipe.store)})


def compute_here(recipe: Recipe, origin: str | None = None) -> Path:
    """Compute all parts in this process, and publish."""
    compute_share(recipe, Share(1, 1), new_version=True, origin=origin)
    return compute(recipe, new_version=True, origin=origin).snapshot


def forget_composites(store: Path) -> None:
    for name in ("composites.zarr", "tiles", "climate", "frames", "ledger"):
        shutil.rmtree(store / name)
    (store / "rain_rate.json").unlink()


def shard(snapshot: Path, name: str, split: str = "train") -> Path:
    return snapshot / split / name / "c/0/0/0"


@pytest.mark.parametrize("sections", [GIVEN, ESTIMATED], ids=["given", "estimated"])
def test_the_tiles_of_a_snapshot_make_what_composites_make(
    computed: Recipe, planned_store: Path, sections: dict[str, Any]
) -> None:
    recipe = changed(computed, sections)
    elsewhere = changed(computed, sections, computed.store.with_name("elsewhere"))
    shutil.copytree(planned_store, elsewhere.store)
    plan_compute(elsewhere)
    expected = compute_here(elsewhere)

    forget_composites(recipe.store)
    origin = open_snapshot(recipe.store)
    before = tree(origin.path)
    plan = plan_compute(recipe, new_version=True, origin=origin.name)
    made = compute_here(recipe, origin.name)
    assert plan.snapshot == made != origin.path
    assert made.name == expected.name
    assert tree(made) == tree(expected)
    linked = {
        name
        for name in ("rain_rate", "gamma", "mixup_rain_rate", "mixup_gamma")
        if shard(made, name).samefile(shard(origin.path, name))
    }
    assert linked == ({"rain_rate"} if "mixup" in sections else {"rain_rate", "mixup_rain_rate"})
    assert open_snapshot(recipe.store).path == made
    assert tree(origin.path) == before


def test_what_is_linked_takes_no_room(computed: Recipe) -> None:
    plan = plan_compute(changed(computed, GIVEN), new_version=True, origin="current")
    made = compute_here(changed(computed, GIVEN), "current")
    sizes = {name: shard(made, name).stat().st_size for name in ("gamma", "rain_rate")}
    assert plan.cost.write_bytes < 3 * sizes["gamma"] + 20_000 < sizes["rain_rate"]


@pytest.mark.slow
def test_a_cluster_counts_and_computes(computed: Recipe) -> None:
    recipe = changed(computed, ESTIMATED)
    done = compute(recipe, new_version=True, origin="current")
    assert done.parts == 3
    assert len(done.thresholds) == 3


@pytest.mark.slow
def test_the_same_recipe_makes_nothing(computed: Recipe) -> None:
    before = tree(computed.store / "features")
    assert plan_compute(computed, origin="current").is_published
    assert compute_share(computed, Share(1, 1), origin="current").computed == 0
    assert tree(computed.store / "features") == before


def test_a_share_needs_the_climate(computed: Recipe) -> None:
    recipe = changed(computed, ESTIMATED)
    with pytest.raises(StoreError, match="the climate of this recipe is not") as caught:
        compute_share(recipe, Share(1, 2), new_version=True, origin="current")
    assert "--from" in str(caught.value)


@pytest.mark.parametrize(
    ("sections", "got", "expected"),
    [
        ({"seed": 5}, "seed: 0", "seed: 5"),
        ({"hourly": True, "tiles": {"dry_fraction": 0.2}}, "hourly: False;", "dry_fraction: 0.2"),
        ({"tiles": {"months": [7]}}, "tiles.months: [1, 2, ", "tiles.months: [7]"),
        ({"exclude_flags": ["spike"]}, "exclude_flags: []", "exclude_flags: ['spike']"),
    ],
)
def test_other_tiles_are_refused_with_what_differs(
    computed: Recipe, sections: dict[str, Any], got: str, expected: str
) -> None:
    splits = {"splits": {**computed.splits.model_dump(mode="json"), "gap_hours": 1}}
    with pytest.raises(StoreError, match="holds other tiles") as caught:
        compute(changed(computed, sections | splits), new_version=True, origin="current")
    assert got in str(caught.value.got)
    assert expected in str(caught.value.expected)
    assert "splits.gap_hours: 0.5" in str(caught.value.got)
    assert "thresholds, persistence, mixup" in str(caught.value)


def test_another_current_snapshot_is_replaced_only_if_asked(computed: Recipe) -> None:
    with pytest.raises(StoreError, match="made by another recipe"):
        plan_compute(changed(computed, GIVEN), origin="current")
    with pytest.raises(StoreError, match="no snapshot 'other'"):
        plan_compute(computed, origin="other")


def test_where_links_are_impossible_shards_are_copied(
    computed: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin, link = open_snapshot(computed.store).path, os.link

    def refuse(source: Path, target: Path) -> None:
        if Path(source).is_relative_to(origin):
            raise PermissionError("no links across here")
        link(source, target)  # as zarr creates files

    monkeypatch.setattr(linking.os, "link", refuse)
    made = compute_here(changed(computed, GIVEN), "current")
    for name in ("rain_rate", "mixup_rain_rate"):
        assert not shard(made, name).samefile(shard(origin, name))
        assert shard(made, name).read_bytes() == shard(origin, name).read_bytes()


def test_a_link_that_was_made_before_is_no_fault(computed: Recipe) -> None:
    """A share that is killed and done again finds its own links."""
    recipe, origin = changed(computed, GIVEN), open_snapshot(computed.store).path
    compute_share(recipe, Share(1, 1), new_version=True, origin="current")
    (staging,) = (computed.store / "features").glob(".building-*.zarr")
    shard(staging, "gamma").unlink()
    again = compute_share(recipe, Share(1, 1), new_version=True, origin="current")
    assert again.computed == 1
    assert shard(staging, "rain_rate").samefile(shard(origin, "rain_rate"))
    assert not [name for name in os.listdir(staging / "train/rain_rate/c/0/0") if name != "0"]


def test_a_snapshot_with_other_columns_than_it_was_published_with(computed: Recipe) -> None:
    snapshot = open_snapshot(computed.store).path
    path = snapshot / "validation/row/c/0"
    path.chmod(0o600)
    path.parent.parent.joinpath("zarr.json").chmod(0o600)
    rows = zarr.open_array(snapshot / "validation/row", mode="r+")
    rows[:] = np.asarray(rows[:]) + 1
    with pytest.raises(StoreError, match="not those that it was published with"):
        compute(changed(computed, GIVEN), new_version=True, origin="current")


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_rows_are_read_back_as_they_were_planned(computed: Recipe, split: str) -> None:
    planned = plan_from_composites(computed, None, Silent()).plan.rows[split]
    snapshot = open_snapshot(computed.store).path
    assert read_rows(snapshot, split).equals(planned.combine_chunks())
    some = read_rows(snapshot, split, slice(3, 9), ("row", "time"))
    assert some.equals(planned.slice(3, 6).select(["row", "time"]).combine_chunks())
    assert read_rows(snapshot, split).schema == TILE_SCHEMA
    with pytest.raises(StoreError, match="no such split"):
        read_rows(snapshot, "evaluation")
