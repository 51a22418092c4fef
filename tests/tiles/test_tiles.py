"""Eligibility, the tile table, coarsening and mix-up, against their definitions."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minkgen.errors import InputError
from minkgen.recipe import Recipe, Tiles
from minkgen.tiles.coarsening import cell_edges, coarsen, refine
from minkgen.tiles.eligibility import cut_tile, scan_frame, tile_corners
from minkgen.tiles.mixup import mix_tile
from minkgen.tiles.table import frame_rows, merge_rows, sample_keys, select_rows

FIELDS = arrays(np.float32, (128, 128), elements=st.floats(0, 100, width=32))


def composite() -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return 256 x 384 pixels: 2 x 3 tiles, of which each has something of its own."""
    rain_rate = np.zeros((256, 384), np.float32)
    rain_rate[10, 20] = 0.1  # tile (0, 0): exactly the drizzle threshold
    rain_rate[10, 200] = 0.09  # tile (0, 1): drizzle only
    rain_rate[0, 300] = np.nan  # tile (0, 2): one pixel missing
    rain_rate[5, 300] = 5.0
    rain_rate[200, 50:60] = 3.0  # tile (1, 0)
    rain_rate[128:, 128:256] = np.nan  # tile (1, 1): nothing
    return rain_rate


def test_tiles_start_in_the_north_west_and_never_overlap() -> None:
    corners = list(tile_corners((300, 400), Tiles()))
    assert corners == [(0, 0), (0, 128), (0, 256), (128, 0), (128, 128), (128, 256)]
    shifted = list(tile_corners((300, 400), Tiles(offset=(50, 10), stride=200)))
    assert shifted == [(50, 10), (50, 210)]


def test_only_covered_tiles_are_described() -> None:
    found = scan_frame(composite(), Tiles())
    places = list(zip(found.row.tolist(), found.column.tolist(), strict=True))
    assert places == [(0, 0), (0, 128), (128, 0), (128, 256)]
    assert found.wet_fraction.tolist() == [1 / 16384, 0.0, 10 / 16384, 0.0]
    assert found.max_rate.tolist() == [np.float32(0.1), np.float32(0.09), 3.0, 0.0]
    assert (found.covered_fraction == 1).all()


def test_lower_coverage_admits_tiles_with_gaps() -> None:
    found = scan_frame(composite(), Tiles(min_coverage=0.9))
    index = found.column.tolist().index(256)
    assert found.covered_fraction[index] == 1 - 1 / 16384
    assert found.max_rate[index] == 5.0


def test_drizzle_is_zeroed_in_tiles_only() -> None:
    frame = composite()
    tile = cut_tile(frame, 0, 128, Tiles())
    assert (tile == 0).all()
    assert frame[10, 200] == np.float32(0.09)
    assert cut_tile(frame, 0, 0, Tiles())[10, 20] == np.float32(0.1)
    assert np.isnan(cut_tile(frame, 0, 256, Tiles())[0, 44])


@pytest.fixture
def recipe(recipe_data: dict[str, Any]) -> Recipe:
    return Recipe.model_validate(recipe_data)


def table_of(hours: int, seed: int = 0, first: int = 0) -> pa.Table:
    """Return a table of hours of 20 tiles each, half of them dry."""
    random = np.random.default_rng(seed)
    start = datetime(2024, 7, 1, tzinfo=UTC)
    frames = []
    for step in range(first * 4, hours * 4):
        tiles = scan_frame(np.zeros((512, 640), np.float32), Tiles())
        wet = random.random(20) < 0.5
        object.__setattr__(tiles, "wet_fraction", wet * 0.25)
        frames.append(frame_rows(start + timedelta(minutes=15 * step), "ODYSSEY_RATE", tiles))
    return merge_rows(frames)


def test_no_sample_lies_in_two_splits_or_in_a_gap(recipe: Recipe) -> None:
    selected = select_rows(table_of(6), recipe)
    spans = {
        name: (rows["time"][0].as_py(), rows["time"][-1].as_py()) for name, rows in selected.items()
    }
    gap = timedelta(hours=recipe.splits.gap_hours)
    assert spans["validation"][0] - spans["train"][1] >= gap
    assert spans["test"][0] - spans["validation"][1] >= gap
    assert all(rows.num_rows for rows in selected.values())


def test_the_share_of_dry_tiles_is_that_of_the_recipe(recipe: Recipe) -> None:
    for rows in select_rows(table_of(6), recipe).values():
        dry = np.count_nonzero(rows["wet_fraction"].to_numpy() == 0)
        assert dry == round(0.1 / 0.9 * (rows.num_rows - dry))


def test_an_appended_day_leaves_earlier_samples_alone(recipe_data: dict[str, Any]) -> None:
    recipe_data["period"]["end"] = "2024-07-03T00:00"
    recipe_data["splits"]["test"]["end"] = "2024-07-03T00:00"
    recipe = Recipe.model_validate(recipe_data)
    both = table_of(40)
    one_day = both.slice(0, 24 * 4 * 20)
    before, after = (select_rows(rows, recipe)["test"] for rows in (one_day, both))
    assert after.num_rows > before.num_rows
    assert after.slice(0, before.num_rows).equals(before)


def test_rows_come_in_one_order_whatever_order_days_arrive_in(recipe: Recipe) -> None:
    rows = table_of(6)
    pieces = [rows.slice(start, 100) for start in range(0, rows.num_rows, 100)]
    assert merge_rows(pieces[::-1]).equals(rows)


@settings(max_examples=20)
@given(random=st.randoms(use_true_random=False))
def test_rows_are_a_function_of_the_tile_table_alone(
    recipe_data_in: Callable[[Path], dict[str, Any]], random: Random
) -> None:
    """Whatever order its rows come in, and however they are split into chunks."""
    table, recipe = table_of(6), Recipe.model_validate(recipe_data_in(Path("nowhere")))
    order = list(range(table.num_rows))
    random.shuffle(order)
    shuffled, cut = table.take(order), random.randrange(table.num_rows)
    shuffled = pa.concat_tables([shuffled.slice(0, cut), shuffled.slice(cut)])
    expected = select_rows(table, recipe)
    for split, rows in select_rows(shuffled, recipe).items():
        assert rows.equals(expected[split]), split


def test_keys_depend_on_seed_and_tile_alone() -> None:
    rows = table_of(2)
    keys = sample_keys(rows, seed=1)
    assert len(set(keys.tolist())) == rows.num_rows
    assert np.array_equal(sample_keys(rows.slice(30, 10), seed=1), keys[30:40])
    assert not np.array_equal(sample_keys(rows, seed=2), keys)


def test_cells_are_those_of_the_definition() -> None:
    edges = cell_edges(128, 2.0)
    assert np.diff(edges).tolist() == [14.0, *[12.5] * 8, 14.0]
    assert (np.diff(cell_edges(256, 1.0)) >= 25).all()
    with pytest.raises(InputError, match="too small"):
        cell_edges(20, 2.0)


@given(FIELDS)
def test_coarsening_conserves_mass_and_commutes_with_flips(field: Any) -> None:
    coarse = coarsen(field, 2.0)
    area = np.outer(np.diff(cell_edges(128, 2.0)), np.diff(cell_edges(128, 2.0)))
    assert coarse.shape == (10, 10)
    assert np.sum(coarse * area) == pytest.approx(np.sum(field, dtype=np.float64), rel=1e-9)
    for axis in (0, 1):
        assert np.allclose(coarsen(np.flip(field, axis), 2.0), np.flip(coarse, axis), rtol=1e-12)
    assert np.allclose(coarsen(field.T, 2.0), coarse.T, rtol=1e-12)


@pytest.mark.parametrize("method", ["bicubic", "nearest"])
def test_a_constant_survives_coarsening_and_refining(method: Any) -> None:
    field = np.full((128, 128), 3.7)
    assert np.allclose(refine(coarsen(field, 2.0), (128, 128), 2.0, method), 3.7, rtol=1e-12)


def test_bicubic_refining_restores_a_ramp_between_the_outer_centres() -> None:
    ramp = np.broadcast_to(np.arange(128) + 0.5, (128, 128))
    fine = refine(coarsen(ramp, 2.0), (128, 128), 2.0)
    # A pixel cut by a cell's edge carries one value in both halves: 0.01 of a pixel's step.
    assert np.abs(fine[:, 7:121] - ramp[:, 7:121]).max() < 0.015
    assert (fine[:, :7] == fine[:, :1]).all()


def test_cell_means_of_a_ramp_are_those_worked_out_by_hand() -> None:
    ramp = np.broadcast_to(np.arange(128) + 0.5, (64, 128))
    # Outer cells: 0.5 to 13.5. The next: 14.5 to 25.5 and half of 26.5; half of it and 27.5 to
    # 38.5; then the same again 25 pixels further east.
    first = [7.0, (12 * 20.0 + 0.5 * 26.5) / 12.5, (0.5 * 26.5 + 12 * 33.0) / 12.5]
    inner = np.add.outer([0.0, 25.0, 50.0, 75.0], first[1:]).ravel()
    expected = np.array([first[0], *inner, 121.0])
    found = coarsen(ramp, 2.0)
    assert found.shape == (5, 10)
    assert np.allclose(found, expected, rtol=1e-12)
    assert np.allclose(coarsen(ramp.T, 2.0), expected[:, None], rtol=1e-12)


@pytest.mark.parametrize("method", ["bicubic", "nearest"])
def test_refining_commutes_with_flips(method: Any) -> None:
    coarse = np.random.default_rng(0).lognormal(0.0, 1.0, (10, 10))
    fine = refine(coarse, (128, 128), 2.0, method)
    # Nearest: a pixel that a cell's edge halves takes its value from the south or the east.
    halved = np.isin(np.arange(128), [26, 51, 76, 101]) & (method == "nearest")
    whole = ~(halved | halved[::-1])
    for axis in (0, 1):
        flipped = np.flip(refine(np.flip(coarse, axis), (128, 128), 2.0, method), axis)
        assert np.allclose(flipped[whole][:, whole], fine[whole][:, whole], rtol=1e-12)
    transposed = refine(coarse.T, (128, 128), 2.0, method)
    assert np.allclose(transposed, fine.T, rtol=1e-12)


def test_nearest_refining_keeps_the_values_of_the_cells() -> None:
    coarse = np.arange(100.0).reshape(10, 10)
    fine = refine(coarse, (128, 128), 2.0, "nearest")
    assert fine[0, [0, 13, 14, 25, 26, 38, 39, 127]].tolist() == [0, 0, 1, 1, 2, 2, 3, 9]
    assert fine[[0, 13, 14, 127], 0].tolist() == [0, 0, 10, 90]


def test_refining_never_goes_below_zero() -> None:
    coarse = np.zeros((10, 10))
    coarse[5, 5] = 10.0
    assert refine(coarse, (128, 128), 2.0).min() == 0.0


def tile() -> np.ndarray[Any, np.dtype[np.float32]]:
    random = np.random.default_rng(1)
    field = np.round(random.lognormal(0, 1, (128, 128)), 2).astype(np.float32)
    field[field < np.float32(0.8)] = 0
    return field


def test_mixing_is_seeded_by_what_the_tile_is(recipe: Recipe) -> None:
    identity = (28_000_000, 128, 256)
    mixed = mix_tile(tile(), identity, recipe, 2.0)
    assert np.array_equal(mixed, mix_tile(tile(), identity, recipe, 2.0))
    assert not np.array_equal(mixed, mix_tile(tile(), (28_000_015, 128, 256), recipe, 2.0))
    other = recipe.model_copy(update={"seed": 1})
    assert not np.array_equal(mixed, mix_tile(tile(), identity, other, 2.0))


def test_mixed_tiles_follow_the_formula(recipe: Recipe) -> None:
    identity = (28_000_000, 0, 0)
    mixed = mix_tile(tile(), identity, recipe, 2.0)
    random = np.random.default_rng(np.random.SeedSequence((recipe.seed, *identity)))
    blend, noise = random.beta(0.2, 0.2), random.normal(0, 0.05, (128, 128))
    smooth = refine(coarsen(tile(), 2.0), (128, 128), 2.0)
    exact = blend * tile().astype(np.float64) + (1 - blend) * np.maximum(smooth + noise, 0)
    wet = mixed > 0
    assert np.abs(mixed - exact)[wet].max() <= 0.005 + 1e-6
    assert exact[~wet].max() < 0.1 + 0.005


def test_mixed_tiles_lie_on_the_value_grid_without_drizzle(recipe: Recipe) -> None:
    mixed = mix_tile(tile(), (28_000_000, 0, 0), recipe, 2.0)
    assert np.array_equal(mixed, (np.round(mixed.astype(np.float64), 2)).astype(np.float32))
    assert mixed[mixed > 0].min() >= np.float32(0.1)


def test_missing_pixels_mix_as_dry_ones(recipe: Recipe) -> None:
    holed, dry = tile(), tile()
    holed[3, 4], dry[3, 4] = np.nan, 0.0
    identity = (28_000_000, 0, 0)
    assert np.array_equal(
        mix_tile(holed, identity, recipe, 2.0), mix_tile(dry, identity, recipe, 2.0)
    )


def test_recipes_reach_tasks_unchanged(recipe: Recipe) -> None:
    assert pickle.loads(pickle.dumps(recipe)) == recipe  # noqa: S301 - our own bytes
