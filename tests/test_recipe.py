"""Recipes: what is accepted, and that every fault is reported at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from minkgen.errors import RecipeError
from minkgen.recipe import Dem, FlagRules, Recipe, digest
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
        ("dem", {"path": "a.tif", "sea_level": 1}, "dem.sea_level: unknown key"),
        ("dem", {"variable": "ROSE"}, "dem.path: field required"),
        ("dem", {"path": "a.nc", "variable": 'a":b'}, "dem.variable: string should match pattern"),
        ("dem", {"path": "a.nc", "sea_level_m": float("nan")}, "dem.sea_level_m: input should be"),
        ("tiles.region.bax", [0, 50, 1, 51], "tiles.region.bax: unknown key; did you mean 'box'?"),
        (
            "tiles.region.box",
            [12, 50, 5, 56],
            "tiles.region.box: must be [west, south, east, north",
        ),
        ("tiles.region.box", [170, 50, -170, 56], "across the antimeridian"),
        ("tiles.region.box", [5, 56, 12, 50], "south < north"),
        ("tiles.region.box", [5, 50, 12, 91], "tiles.region.box.3: input should be less than"),
        ("tiles.region.box", [5, 50, 12, float("nan")], "tiles.region.box.3: input should be"),
        ("tiles.region.box", [5, 50, 12], "tiles.region.box.3: field required"),
        ("tiles.region.polygon", [[5, 50], [6, 51]], "at least 3 corners, each given once"),
        ("tiles.region.polygon", [[5, 50], [6, 51], [5, 50]], "at least 3 corners"),
        ("tiles.region.polygon", [[5, 50], [6, 51], [6, 51], [5, 51]], "each given once"),
        ("tiles.region.polygon", [[0, 0], [2, 2], [2, 0], [0, 2]], "the edges [0.0, 0.0] to [2"),
        ("tiles.region.polygon", [[0, 0], [3, 0], [2, 0], [2, 2]], "crosses itself"),
        ("tiles.region.polygon", [[0, 0], [1, 1], [2, 2]], "encloses no area"),
        ("tiles.region.polygon", [[-170, 0], [170, 0], [0, 9]], "across the antimeridian"),
        ("tiles.region.polygon", [[5, float("nan")], [6, 51], [5, 51]], "polygon.0.1: input"),
        (
            "tiles.region",
            {"box": [5, 50, 12, 56], "polygon": [[5, 50], [6, 51], [5, 51]]},
            "tiles.region: has a box and a polygon: give one of them",
        ),
        ("tiles.months", [0], "tiles.months.0: input should be greater than or equal to 1"),
        ("tiles.months", [6, 7, 6], "tiles.months: must name each of them once"),
        ("tiles.months", [], "tiles.months: tuple should have at least 1 item"),
        ("tiles.hours", [24], "tiles.hours.0: input should be less than or equal to 23"),
        ("exclude_flags", ["spikes"], "exclude_flags.0: input should be 'ceiling', 'spike'"),
        ("exclude_flags", ["spike", "spike"], "exclude_flags: must name each of them once"),
        ("flags.ceiling.rates_mm_h", [30.0], "flags.ceiling.rates_mm_h.0: input should be"),
        ("flags.spike.version", 2, "flags.spike.version: input should be 1"),
        ("product", "DBZH", "grid: DBZH comes on opera_1km, test_1km"),
        ("hourly", True, "splits.gap_hours: 0.5 lets two splits share frames of an hour's rain"),
        ("z_r", {"a": 300}, "z_r: RATE needs none, only DBZH does"),
        ("dem", {"path": "x", "sea_level": 1}, "dem.sea_level: unknown key; did you mean 'sea_l"),
        ("thresholds", {"kind": "quantile", "level": []}, "did you mean 'levels'?"),
        ("flags.spikes", {}, "flags.spikes: unknown key; did you mean 'spike'?"),
        ("splits.validation.start", "2024-07-01T02:00", "train and validation overlap"),
        ("splits.gap_hours", 2.0, "the gap of 2 h after train leaves validation empty"),
        ("splits.test.end", "2024-07-02T00:00", "splits.test: lies outside the period"),
        ("thresholds", {"kind": "physical", "values": [1, 1]}, "strictly increasing"),
        ("thresholds", {"kind": "quantile", "levels": [0.5, 0.1]}, "strictly increasing"),
        ("thresholds", {"kind": "log", "low": 2, "high": 1, "count": 3}, "strictly increasing"),
        ("thresholds", {"kind": "physical", "values": [-1, 1]}, "greater than 0"),
        ("persistence.components", {"kind": "median"}, "persistence.components: input tag"),
        ("emulator.widths", [12], "emulator.widths.0: input should be a multiple of 8"),
        ("cluster.kind", "cloud", "cluster: input tag 'cloud'"),
        ("cluster.wokers", 2, "cluster.local.wokers: unknown key; did you mean 'workers'?"),
        ("cluster", {"kind": "slurm", "site": "x"}, "cluster.slurm.workers: field required"),
        ("cluster", {"kind": "slurm", "workers": 1}, "cluster.slurm.site: field required"),
        (
            "cluster",
            {"kind": "slurm", "site": "x", "workers": 1, "wall_time": "01:00:00"},
            "cluster.slurm.wall_time: unknown key; did you mean 'walltime'?",
        ),
        *(
            (
                "cluster",
                {"kind": "slurm", "site": "x", "workers": 1, "walltime": walltime},
                f"cluster.slurm.walltime: {expected}",
            )
            for walltime, expected in (
                (43200, 'must be text like "04:00:00", in quotes, got 43200'),
                ("4:00:00", "must be hours, minutes and seconds"),
                ("01:60:00", "must be hours, minutes and seconds"),
                ("00:00:00", "must be hours, minutes and seconds"),
            )
        ),
        ("cluster", {"kind": "address"}, "cluster.address.address: field required"),
        ("cluster", {"kind": "address", "address": "host:1"}, "cluster.address.address: string"),
        (
            "cluster",
            {
                "kind": "address",
                "address": "tls://host:1",
                "certificates": {"ca_file": "a", "cert": "b", "key": "c", "kye": "d"},
            },
            "cluster.address.certificates.kye: unknown key; did you mean 'key'?",
        ),
        (
            "reading.scalings",
            [{"gain": 1, "offset": 0, "nodata": 1, "undetect": 2, "gian": 3}],
            "reading.scalings.0.gian: unknown key; did you mean 'gain'?",
        ),
        ("source", {"path": "a", "pth": "b"}, "source.folder.pth: unknown key; did you mean"),
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
        "source.folder.path: field required",
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


@pytest.mark.parametrize("name", ["archive", "demo", "emulator-small", "paper", "sr-small"])
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


def test_regions_months_and_hours_are_the_same_however_they_are_written(
    recipe_data: Data, tmp_path: Path
) -> None:
    def same(*overrides: str) -> str:
        return digest(load(recipe_data, tmp_path, *overrides).numeric())

    assert same("tiles.months=[8, 6]") == same("tiles.months=[6, 8]") != same()
    assert same(f"tiles.hours={list(range(24))}") == same() != same("tiles.hours=[0]")
    assert same("tiles.region.box=[5, 50, 12, 56]") == same("tiles.region.box=[5.0, 50, 12, 56]")
    ring = "[[5, 50], [12, 50], [12, 56]"
    closed = same(f"tiles.region.polygon={ring}, [5, 50]]")
    assert closed == same(f"tiles.region.polygon={ring}]") != same()


def test_flag_rules_decide_numbers(recipe_data: Data, tmp_path: Path) -> None:
    """They exclude frames, and choose those whose largest rate normalises what networks see."""

    def numbers(*overrides: str) -> Data:
        return load(recipe_data, tmp_path, *overrides).numeric()

    assert numbers("flags.spike.above_mm_h=300") != numbers()
    assert numbers()["flags"]["spike"] == {"version": 1, "above_mm_h": 500.0}
    excluding = numbers("exclude_flags=[spike, ceiling]")
    assert excluding == numbers("exclude_flags=[ceiling, spike]", "flags.spike.version=1")
    assert excluding["exclude_flags"] == ["ceiling", "spike"]


def test_a_default_of_a_flag_rule_changes_only_with_its_version() -> None:
    """Snapshots record these versions: whoever changes a default gives the rule a new one."""
    assert FlagRules().model_dump(mode="json") == {
        "ceiling": {"version": 1, "rates_mm_h": [48.62, 364.63], "pixels": 25},
        "spike": {"version": 1, "above_mm_h": 500.0},
        "coverage_drop": {"version": 1, "share": 0.05},
        "repeated_value": {"version": 1, "pixels": 25, "share": 0.5},
    }


def test_a_dem_decides_no_number_of_a_snapshot(recipe_data: Data, tmp_path: Path) -> None:
    without = load(recipe_data, tmp_path)
    assert without.dem is None
    recipe_data["dem"] = {"path": "etopo20.cdf", "variable": "ROSE"}
    recipe = load(recipe_data, tmp_path)
    assert recipe.dem == Dem(path=Path("etopo20.cdf"), variable="ROSE")
    assert (recipe.dem.sea_level_m, recipe.dem.nodata_is_sea) == (0.0, False)
    assert recipe.numeric() == without.numeric()


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
