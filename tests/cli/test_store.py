"""`minkgen store` as an operator uses it, on tiny snapshots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from minkgen.cli.main import cli
from minkgen.errors import StoreError
from minkgen.grid import TEST_2KM
from minkgen.store import build
from minkgen.store.composites import create_composites
from minkgen.store.layout import StorePaths
from minkgen.store.publishing import publish
from tests.store.tiny import SAMPLES_PER_PART, Tiny

NAMES = ("first", "second", "third")


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StorePaths:
    monkeypatch.setattr(build, "SAMPLES_PER_SHARD", SAMPLES_PER_PART)
    paths = StorePaths(tmp_path / "store")
    create_composites(paths, TEST_2KM, (2024, 2024))
    for number, name in enumerate(NAMES):
        Tiny(name, rain=number).write(paths)
        publish(paths, name)
    Tiny("growing").write(paths, parts=[0])
    return paths


@pytest.fixture
def run(recipe_data: dict[str, Any], tmp_path: Path) -> Any:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(recipe_data), encoding="utf-8")

    def run(kind: str, *arguments: str) -> Result:
        return CliRunner().invoke(
            cli, ["store", kind, str(recipe), *arguments], standalone_mode=False
        )

    return run


def test_an_operator_lists_compares_rolls_back_publishes_and_prunes(
    paths: StorePaths, run: Any
) -> None:
    listed = run("list")
    assert listed.exit_code == 0
    assert "third: current, published 20" in listed.output
    assert "growing: not published, 4 of 12 shards written" in listed.output
    told = json.loads(run("list", "--json").stdout)
    assert [each["name"] for each in told["snapshots"]] == list(NAMES)
    assert [each["current"] for each in told["snapshots"]] == [False, False, True]
    assert told["unfinished"] == [{"name": "growing", "shards": 12, "written": 4}]

    assert "recipe.seed: 0 and 2" in run("diff", "first").stdout
    assert "same settings" in run("diff", "first", "first").stdout
    different = json.loads(run("diff", "first", "second", "--json").stdout)
    assert different["settings"] == {"recipe.seed": [0, 1]}
    assert different["samples"]["train"] == {"only_first": 0, "only_second": 0, "both": 20}

    assert json.loads(run("rollback", "--json").stdout)["snapshot"].endswith("second.zarr")
    assert run("rollback", "first.zarr").exit_code == 0
    assert paths.current.resolve().stem == "first"
    assert run("publish", "third").exit_code == 0
    assert paths.current.resolve().stem == "third"
    refused = run("publish", "growing")
    assert isinstance(refused.exception, StoreError)
    assert "8 missing shards" in str(refused.exception)

    recent = json.loads(run("prune", "--keep", "1", "--json").stdout)
    assert recent["removed"] == []
    assert set(recent["kept"]) == set(NAMES)
    shown = run("prune", "--keep", "1", "--grace-days", "0", "--dry-run")
    assert "second: would be removed" in shown.stdout
    assert (paths.features / "second.zarr").exists()
    assert run("prune", "--keep", "1", "--set", "sharing.grace_days=0").exit_code == 0
    assert [path.stem for path in paths.features.glob("[!.]*.zarr")] == ["third"]


def test_a_store_that_is_not_there_is_said_so(run: Any) -> None:
    for arguments in (["list"], ["rollback"], ["publish", "a"], ["prune", "--keep", "1"]):
        assert "there is no store here" in str(run(*arguments).exception)
