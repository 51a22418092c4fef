"""Recipes: what is accepted, and that every fault is reported at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from minkgen.errors import RecipeError
from minkgen.recipe import Recipe, digest
from minkgen.recipe_file import load_recipe, shipped_recipes

Data = dict[str, Any]


def load(data: Data, tmp_path: Path, *overrides: str) -> Recipe:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return load_recipe(path, overrides)


def faults(data: Data, tmp_path: Path, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(RecipeError) as caught:
        load(data, tmp_path, *overrides)
    return caught.value.faults


def test_a_valid_recipe_has_the_papers_defaults(recipe_data: Data, tmp_path: Path) -> None:
    recipe = load(recipe_data, tmp_path)
    assert recipe.tiles.size == recipe.tiles.stride == 128
    assert recipe.tiles.drizzle_mm_h == 0.1
    assert recipe.thresholds.kind == "quantile"
    assert len(recipe.thresholds.levels) == 21
    assert recipe.thresholds.levels[:3] == (0.01, 0.05, 0.1)
    assert recipe.thresholds.levels[-2:] == (0.95, 0.99)
    assert recipe.emulator.widths == (32, 64, 128, 256)
    assert recipe.period.start == datetime(2024, 7, 1, tzinfo=UTC)


def test_the_gap_is_cut_from_the_start_of_the_later_split(
    recipe_data: Data, tmp_path: Path
) -> None:
    trimmed = load(recipe_data, tmp_path).splits.trimmed()
    assert trimmed["train"].start == datetime(2024, 7, 1, 0, 0, tzinfo=UTC)
    assert trimmed["train"].end == datetime(2024, 7, 1, 3, 0, tzinfo=UTC)
    assert trimmed["validation"].start == datetime(2024, 7, 1, 3, 30, tzinfo=UTC)
    assert trimmed["test"].start == datetime(2024, 7, 1, 5, 0, tzinfo=UTC)


def test_a_gap_that_is_there_already_is_not_cut_again(recipe_data: Data, tmp_path: Path) -> None:
    recipe_data["splits"]["validation"]["start"] = "2024-07-01T03:45"
    trimmed = load(recipe_data, tmp_path).splits.trimmed()
    assert trimmed["validation"].start == datetime(2024, 7, 1, 3, 45, tzinfo=UTC)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("tiles.drizle_mm_h", 0.1, "tiles.drizle_mm_h: unknown key; did you mean 'drizzle_mm_h'?"),
        ("colour", "blue", "colour: unknown key"),
        ("seed", "x", "seed: input should be a valid integer"),
        ("name", "Two Words", "name: string should match"),
        ("grid", "opera_3km", "grid: must be one of opera_2km, opera_1km, test_2km"),
        ("period.end", "2024-07-01T00:00", "period: is empty"),
        ("period.start", "2024-07-01T00:07", "period.start: must lie on a multiple of 15 minutes"),
        ("tiles.stride", 64, "tiles: overlap: stride 64 is below size 128"),
        ("tiles.offset", [400, 0], "tiles: no tile of 128 pixels at offset [400, 0]"),
        ("splits.validation.start", "2024-07-01T02:00", "train and validation overlap"),
        ("splits.gap_hours", 2.0, "the gap of 2 h after train leaves validation empty"),
        ("splits.test.end", "2024-07-02T00:00", "splits.test: lies outside the period"),
        ("thresholds", {"kind": "physical", "values": [1, 1]}, "strictly increasing"),
        ("thresholds", {"kind": "quantile", "levels": [0.5, 0.1]}, "strictly increasing"),
        ("thresholds", {"kind": "log", "low": 2, "high": 1, "count": 3}, "strictly increasing"),
        ("thresholds", {"kind": "physical", "values": [-1, 1]}, "greater than 0"),
        ("persistence.components", {"kind": "median"}, "persistence.components: input tag"),
        ("emulator.widths", [12], "emulator.widths.0: input should be a multiple of 8"),
    ],
)
def test_each_fault_is_named_with_its_path(
    recipe_data: Data, tmp_path: Path, path: str, value: object, expected: str
) -> None:
    *parents, last = path.split(".")
    section = recipe_data
    for parent in parents:
        section = section.setdefault(parent, {})
    section[last] = value
    found = faults(recipe_data, tmp_path)
    assert len(found) == 1, found
    assert expected in found[0]


def test_all_faults_are_listed_at_once(recipe_data: Data, tmp_path: Path) -> None:
    recipe_data["colour"] = "blue"
    recipe_data["seed"] = -1
    recipe_data["period"]["end"] = recipe_data["period"]["start"]
    recipe_data["tiles"] = {"stride": 64, "drizle_mm_h": 1}
    recipe_data["thresholds"] = {"kind": "physical", "values": [2, 1]}
    recipe_data["splits"]["validation"]["start"] = "2024-07-01T02:00"
    recipe_data["splits"]["test"]["start"] = "2024-07-01T02:07"
    del recipe_data["source"]["path"]
    found = "\n".join(faults(recipe_data, tmp_path, "nonsense"))
    for part in (
        "--set nonsense",
        "colour: unknown key",
        "seed:",
        "period: is empty",
        "tiles.drizle_mm_h: unknown key",
        "tiles: overlap",
        "thresholds.physical: values must be strictly increasing",
        "train and validation overlap",
        "splits.test.start",
        "source.path: field required",
    ):
        assert part in found


def test_overrides_replace_and_add_keys(recipe_data: Data, tmp_path: Path) -> None:
    recipe = load(recipe_data, tmp_path, "tiles.min_coverage=0.9", "seed=3", "mixup.alpha=1e-1")
    assert recipe.tiles.min_coverage == 0.9
    assert recipe.seed == 3
    assert recipe.mixup.alpha == 0.1


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("name: a\nname: b\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="'name' is given twice"):
        load_recipe(path)


@pytest.mark.parametrize(
    "text", ["- a list", "3", "", "a: [", "!!python/object/apply:os.getcwd []"]
)
def test_what_is_no_recipe_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError):
        load_recipe(path)


def test_a_missing_file_names_the_shipped_recipes(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"shipped recipes are .*demo.*paper"):
        load_recipe(tmp_path / "none.yaml")


@pytest.mark.parametrize("name", ["demo", "paper"])
def test_shipped_recipes_are_valid(name: str) -> None:
    assert name in shipped_recipes()
    assert load_recipe(name).name


def test_the_paper_recipe_is_the_papers_dataset() -> None:
    recipe = load_recipe("paper")
    splits = recipe.splits
    assert splits.train.start == datetime(2023, 8, 1, tzinfo=UTC)
    assert splits.train.end == splits.validation.start == datetime(2024, 7, 1, tzinfo=UTC)
    assert splits.test.start == splits.validation.end == datetime(2024, 8, 1, tzinfo=UTC)
    assert recipe.persistence.components.kind == recipe.persistence.holes.kind == "elbow"
    assert recipe.persistence.essential == "background"


def test_only_what_decides_numbers_is_in_the_digest(recipe_data: Data, tmp_path: Path) -> None:
    base = digest(load(recipe_data, tmp_path).numeric())
    same = ("store=elsewhere", "source.path=elsewhere", "cluster.workers=2", "emulator.seed=5")
    for override in same:
        assert digest(load(recipe_data, tmp_path, override).numeric()) == base
    other = (
        "seed=1",
        "tiles.dry_fraction=0",
        "mixup.alpha=0.3",
        "persistence.essential=background",
    )
    for override in other:
        assert digest(load(recipe_data, tmp_path, override).numeric()) != base


def test_windows_know_their_days(recipe_data: Data, tmp_path: Path) -> None:
    recipe = load(recipe_data, tmp_path, "period.end=2024-07-03T00:00")
    days = recipe.period.days()
    assert [str(day) for day in days] == ["2024-07-01", "2024-07-02"]
    assert recipe.period.end not in recipe.period
    assert recipe.period.end - timedelta(minutes=15) in recipe.period


def test_a_folder_of_the_same_name_hides_no_shipped_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_recipe("demo").name == "demo"
