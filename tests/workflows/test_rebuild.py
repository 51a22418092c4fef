"""Rebuild: nothing new publishes nothing, a new day does, and each run leaves one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from minkgen.errors import SourceError, StoreError
from minkgen.opera.keys import ArchiveKey
from minkgen.recipe import Recipe
from minkgen.store.snapshot import open_snapshot
from minkgen.workflows.compute import compute
from minkgen.workflows.rebuild import rebuild
from minkgen.workflows.verify.run import verify_store

Make = Callable[..., Recipe]
START = datetime(2024, 7, 1, tzinfo=UTC)


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def test_only_what_is_new_is_published(make_recipe: Make, archive: Path, tmp_path: Path) -> None:
    late = [
        archive / ArchiveKey(START + timedelta(hours=5, minutes=m), "RATE").path for m in (0, 45)
    ]
    for path in late:
        shutil.move(path, tmp_path / path.name)
    recipe, log = make_recipe(), tmp_path / "log" / "rebuilds.jsonl"
    first = rebuild(recipe, log)
    again = rebuild(recipe, log)
    assert (first.published, again.published) == (True, False)
    assert again.compute.parts == again.ingest.newly_ok == 0
    for path in late:
        shutil.move(tmp_path / path.name, path)
    third = rebuild(recipe, log)
    assert third.published
    assert third.ingest.newly_ok == 2
    assert open_snapshot(recipe.store).path == third.compute.snapshot
    told = lines(log)
    assert [line["status"] for line in told] == ["published", "nothing new", "published"]
    assert [line["newly_ok"] for line in told] == [22, 0, 2]
    assert told[2]["snapshot"] == third.compute.snapshot.stem
    assert all(line["seconds"] > 0 and line["newly_bad"] == 0 for line in told)


def test_a_frozen_climate_stays(make_recipe: Make, archive: Path, tmp_path: Path) -> None:
    """New composites of the training split change the rows, and neither thresholds nor floors."""
    early = archive / ArchiveKey(START + timedelta(hours=1), "RATE").path
    shutil.move(early, tmp_path / early.name)
    first = rebuild(make_recipe()).compute
    shutil.move(tmp_path / early.name, early)
    frozen = rebuild(make_recipe(climate_from=first.snapshot.stem)).compute
    assert frozen.rows["train"] > first.rows["train"]
    assert (frozen.thresholds, frozen.floors) == (first.thresholds, first.floors)
    report = verify_store(frozen.snapshot.parents[1], samples=1)
    assert report.failed("MUST") == ()
    refitted = rebuild(make_recipe()).compute
    assert refitted.rows == frozen.rows
    assert (refitted.thresholds, refitted.floors) != (first.thresholds, first.floors)
    thresholds = {"kind": "physical", "values": [1.0, 2.0]}
    other = make_recipe(climate_from=first.snapshot.stem, thresholds=thresholds)
    with pytest.raises(StoreError, match="of another kind") as caught:
        compute(other, new_version=True)
    assert "thresholds.kind: quantile" in str(caught.value)


def test_a_failed_run_leaves_its_line(make_recipe: Make, tmp_path: Path) -> None:
    recipe = make_recipe(source={"path": str(tmp_path / "nowhere")})
    with pytest.raises(SourceError):
        rebuild(recipe)
    (line,) = lines(recipe.store / "rebuilds.jsonl")
    assert line["status"] == "failed"
    assert "the source folder is not there" in line["error"]


def test_a_log_that_cannot_be_written_is_named(make_recipe: Make, tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    recipe = make_recipe()
    with pytest.raises(StoreError, match="cannot be written") as caught:
        rebuild(recipe, tmp_path / "log")
    assert "--log" in str(caught.value)
    assert not recipe.store.exists()
