"""Compute: from composites to a published snapshot, exact, repeatable, and only if whole."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from pyproj import Transformer

import minkgen
from minkgen.errors import EmptySplitError, StoreError, StoreLockedError, TaskError
from minkgen.gamma.oracle import oracle_gamma
from minkgen.grid import TEST_2KM
from minkgen.opera.keys import ArchiveKey
from minkgen.opera.synthetic import write_composite
from minkgen.recipe import Recipe
from minkgen.store.frames import read_frames
from minkgen.store.layout import StorePaths
from minkgen.store.lock import hold_lock
from minkgen.store.snapshot import open_snapshot
from minkgen.tiles.mixup import mix_tile
from minkgen.workflows import compute as compute_module
from minkgen.workflows.compute import compute
from minkgen.workflows.ingest import ingest

Make = Callable[..., Recipe]
# For fields too simple to have persistence pairs that floors could be estimated from.
NO_FLOORS = {key: {"kind": "given", "value_mm_h": 0.0} for key in ("components", "holes")}


def tree(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_a_snapshot_holds_what_the_definitions_say(recipe: Recipe) -> None:
    result = compute(recipe)
    metadata = open_snapshot(recipe.store).metadata
    thresholds = np.array(result.thresholds, np.float32)
    floors = tuple(metadata["floors"][name]["epsilon"] for name in ("components", "holes"))
    assert len(thresholds) >= 15
    wet_values = []
    for split in ("train", "validation", "test"):
        dataset = minkgen.open_features(recipe.store, split)
        assert dataset.sizes["sample"] == result.rows[split] > 0
        rain_rate, gamma = dataset["rain_rate"].values, dataset["gamma"].values
        wet = dataset["wet"].values
        assert np.array_equal((rain_rate > 0).any(axis=(1, 2)), wet)
        assert (gamma[~wet] == 0).all()
        assert not ((rain_rate > 0) & (rain_rate < np.float32(0.1))).any()
        assert np.isfinite(gamma).all()
        for sample in range(0, len(wet), 40):
            expected = oracle_gamma(
                rain_rate[sample], thresholds, pixel_km=2.0, min_persistence=floors
            )
            counts = [0, 2, 3, 6, 7]
            assert np.array_equal(gamma[sample, counts], expected[counts])
            assert np.allclose(gamma[sample], expected, rtol=2e-6)
        if split == "train":
            wet_values = np.sort(rain_rate[rain_rate > 0])
            sample = dataset.isel(sample=3)
            minutes = (sample["time"].values - np.datetime64("1970-01-01")) // np.timedelta64(
                1, "m"
            )
            identity = int(minutes), int(sample["row"]), int(sample["column"])
            mixed = sample["mixup_rain_rate"].values
            assert np.array_equal(mixed, mix_tile(rain_rate[3], identity, recipe, 2.0))
            again = minkgen.gamma_matrix(mixed, thresholds, pixel_km=2.0, min_persistence=floors)
            assert np.array_equal(dataset["mixup_gamma"].values[3], again)
    rank = int(np.ceil(0.95 * len(wet_values))) - 1
    assert wet_values[rank] in thresholds  # from the training split alone, by the inverted CDF


def test_flagged_frames_are_left_out_only_if_the_recipe_says_so(recipe: Recipe) -> None:
    paths = StorePaths(recipe.store)
    largest = {time: row["max_rate"] for time, row in read_frames(paths, date(2024, 7, 1)).items()}
    limit = float(np.quantile(list(largest.values()), 0.75))
    flagged = {time for time, rate in largest.items() if rate > limit}
    assert flagged
    rules = recipe.flags.model_copy(
        update={"spike": recipe.flags.spike.model_copy(update={"above_mm_h": limit})}
    )
    judged = recipe.model_copy(update={"flags": rules})
    kept = compute(judged)
    usual = compute(recipe, new_version=True)
    assert kept.rows == usual.rows
    assert (kept.parts, kept.linked) == (3, 0)
    assert (usual.parts, usual.linked) == (0, 3)  # other flags alone change no tile
    assert usual.snapshot != kept.snapshot
    metadata = open_snapshot(recipe.store, kept.snapshot.name).metadata
    assert metadata["inputs"]["excluded"] == {"composites": 0}
    assert metadata["normalisation"]["max_rate"] <= limit

    excluding = judged.model_copy(update={"exclude_flags": ("spike",)})
    result = compute(excluding, new_version=True)
    excluded = open_snapshot(recipe.store, result.snapshot.name).metadata["inputs"]["excluded"]
    assert excluded["spike"] == excluded["composites"] > 0
    for split in ("train", "validation", "test"):
        times = minkgen.open_features(recipe.store, split)["time"].values
        assert not {np.datetime64(time.replace(tzinfo=None)) for time in flagged} & set(times)


def test_splits_keep_their_gap(recipe: Recipe) -> None:
    compute(recipe)
    times = {
        split: minkgen.open_features(recipe.store, split)["time"].values
        for split in ("train", "validation", "test")
    }
    gap = np.timedelta64(30, "m")
    assert times["validation"].min() - times["train"].max() >= gap
    assert times["test"].min() - times["validation"].max() >= gap
    assert all((np.diff(each) >= np.timedelta64(0)).all() for each in times.values())


def test_the_same_recipe_makes_the_same_bytes_wherever_it_runs(
    recipe: Recipe, make_recipe: Make, tmp_path: Path
) -> None:
    first = compute(recipe)
    store = tmp_path / "anderswo, über Land" / "Niederschläge #1"
    elsewhere = make_recipe(store=str(store), source=recipe.source, cluster={"workers": 2})
    ingest(elsewhere)
    second = compute(elsewhere)
    assert second.snapshot.parent == store / "features"
    assert first.snapshot.name == second.snapshot.name
    assert tree(first.snapshot) == tree(second.snapshot)
    assert np.isfinite(minkgen.open_features(store, "test")["gamma"].values).all()


def test_a_second_run_computes_nothing(recipe: Recipe) -> None:
    first = compute(recipe)
    second = compute(recipe)
    assert first.parts == 3
    assert second.parts == 0
    assert second.snapshot == first.snapshot


def test_a_run_killed_between_parts_is_taken_up(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(compute_module, "publish", killed)
        with pytest.raises(KeyboardInterrupt):
            compute(recipe)
    with pytest.raises(StoreError):
        open_snapshot(recipe.store)
    staging = next((recipe.store / "features").glob(".building-*.zarr"))
    (staging / "validation/gamma/c/0/0/0").unlink()
    assert compute(recipe).parts == 1
    assert open_snapshot(recipe.store).rows("train") > 0


def test_two_builds_at_once_are_refused(recipe: Recipe) -> None:
    with (
        hold_lock(StorePaths(recipe.store).lock("build")),
        pytest.raises(StoreLockedError, match=f"pid {os.getpid()}"),
    ):
        compute(recipe)
    assert not (recipe.store / "tiles").exists()


def test_a_failed_part_publishes_nothing(recipe: Recipe) -> None:
    compute(recipe)
    current = open_snapshot(recipe.store).name
    shard = next((recipe.store / "composites.zarr/rain_rate/rain_rate/c").rglob("0/0"))
    data = shard.read_bytes()
    shard.write_bytes(data[:1000] + bytes(len(data) - 1000))
    # The climate and the tile table are there already: only parts meet the damage.
    with pytest.raises(TaskError, match="could not be computed"):
        compute(
            recipe.model_copy(update={"mixup": recipe.mixup.model_copy(update={"alpha": 0.3})}),
            new_version=True,
        )
    assert open_snapshot(recipe.store).name == current


def test_a_recipe_that_differs_is_refused_with_what_differs(recipe: Recipe) -> None:
    compute(recipe)
    other = Recipe.model_validate(
        {**recipe.model_dump(mode="json"), "seed": 5, "mixup": {"alpha": 0.4}}
    )
    with pytest.raises(StoreError, match="made by another recipe") as caught:
        compute(other)
    assert caught.value.got == "mixup.alpha: 0.2; seed: 0"
    assert caught.value.expected == "mixup.alpha: 0.4; seed: 5"
    replaced = compute(other, new_version=True)
    assert open_snapshot(recipe.store).path == replaced.snapshot
    assert len(list((recipe.store / "features").glob("*.zarr"))) == 2


def test_new_composites_make_a_new_version_without_asking(make_recipe: Make, archive: Path) -> None:
    missing = archive / ArchiveKey(datetime(2024, 7, 1, 1, tzinfo=UTC), "RATE").path
    missing.rename(archive / "aside.h5")
    recipe = make_recipe()
    ingest(recipe)
    first = compute(recipe)
    (archive / "aside.h5").rename(missing)
    ingest(recipe)
    second = compute(recipe)
    assert second.snapshot != first.snapshot
    assert second.rows["train"] > first.rows["train"]
    assert open_snapshot(recipe.store).path == second.snapshot


def test_no_store_says_what_to_do(make_recipe: Make) -> None:
    with pytest.raises(StoreError, match="minkgen ingest"):
        compute(make_recipe())


def test_a_split_without_composites_is_refused_before_any_work(
    make_recipe: Make, archive: Path
) -> None:
    for path in (archive / "2024/07/01/OPERA/COMP").glob("*T0[3-4]*"):
        path.unlink()
    recipe = make_recipe()
    ingest(recipe)
    with pytest.raises(EmptySplitError, match="the validation split has no composite"):
        compute(recipe)
    assert not (recipe.store / "tiles").exists()


def dry_archive(root: Path, wet_hours: tuple[int, ...]) -> None:
    for hour in range(6):
        time = datetime(2024, 7, 1, hour, 45, tzinfo=UTC)
        rain_rate = np.zeros(TEST_2KM.shape, np.float32)
        if hour in wet_hours:
            rain_rate[200:220, 200:230] = np.linspace(0.1, 5, 600).round(2).reshape(20, 30)
        write_composite(
            root / ArchiveKey(time, "RATE").path,
            rain_rate,
            np.ones(TEST_2KM.shape, np.float32),
            time=time,
            grid=TEST_2KM,
            layout="nimbus",
        )


def test_a_split_without_rain_is_refused_before_any_work(make_recipe: Make, tmp_path: Path) -> None:
    dry_archive(tmp_path / "archive", wet_hours=(0, 1, 2, 5))
    recipe = make_recipe()
    ingest(recipe)
    with pytest.raises(EmptySplitError, match="the validation split has no eligible tile"):
        compute(recipe)
    assert not (recipe.store / "features").exists()


def test_the_kept_dry_tiles_have_zero_gamma(make_recipe: Make, tmp_path: Path) -> None:
    dry_archive(tmp_path / "archive", wet_hours=tuple(range(6)))
    recipe = make_recipe(tiles={"dry_fraction": 0.5}, persistence=NO_FLOORS)
    ingest(recipe)
    result = compute(recipe)
    assert result.rows["train"] == 2 * result.dry["train"]
    dataset = minkgen.open_features(recipe.store, "train")
    dry = ~dataset["wet"].values
    assert (dataset["gamma"].values[dry] == 0).all()
    assert (dataset["rain_rate"].values[dry] == 0).all()


def test_a_known_place_is_in_the_right_tile_and_pixel(make_recipe: Make, tmp_path: Path) -> None:
    """One wet pixel over Hamburg: found in the snapshot, it lies over Hamburg again."""
    longitude, latitude = 9.99, 53.55
    for hour in range(6):
        time = datetime(2024, 7, 1, hour, 45, tzinfo=UTC)
        rain_rate = np.zeros(TEST_2KM.shape, np.float32)
        rain_rate[TEST_2KM.pixel_of(longitude, latitude)] = 7.0
        rain_rate[500, 600] = 3.0  # a second rate: one threshold alone is none
        path = tmp_path / "archive" / ArchiveKey(time, "QIND_RATE").path
        quality = np.ones(TEST_2KM.shape, np.float32)
        write_composite(path, rain_rate, quality, time=time, grid=TEST_2KM, layout="odyssey")
    with h5py.File(path) as file:
        projection = file["where"].attrs["projdef"].decode()
    recipe = make_recipe(persistence=NO_FLOORS)
    ingest(recipe)
    compute(recipe)
    dataset = xr.open_zarr(recipe.store / "features" / "current", group="train")
    wettest = dataset.isel(sample=int(np.argmax(dataset["max_rate"].values)))
    row, column = np.unravel_index(int(wettest["rain_rate"].values.argmax()), (128, 128))
    x = float(wettest["x0"] + wettest["x"][column])
    y = float(wettest["y0"] + wettest["y"][row])
    to_lonlat = Transformer.from_crs(projection, "EPSG:4326", always_xy=True)
    there = to_lonlat.transform(x, y)
    assert there[0] == pytest.approx(longitude, abs=0.02)
    assert there[1] == pytest.approx(latitude, abs=0.012)


def test_what_decides_numbers_is_recorded_and_nothing_of_this_machine(recipe: Recipe) -> None:
    compute(recipe)
    metadata = open_snapshot(recipe.store).metadata
    for key in ("recipe", "thresholds", "floors", "normalisation", "inputs", "library_versions"):
        assert metadata[key]
    assert "not a measurement" in metadata["attribution"]
    assert metadata["inputs"]["composites"] == 12 + 4 + 4
    text = json.dumps(metadata)
    assert str(recipe.store) not in text
    assert str(recipe.source.path) not in text
