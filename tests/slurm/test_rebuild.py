"""The scheduled rebuild on the test bed: it comes again on its own, and publishes what is new."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from minkgen.opera.keys import ArchiveKey
from minkgen.opera.synthetic import write_archive
from minkgen.recipe import Recipe
from minkgen.workflows.compute import compute
from minkgen.workflows.ingest import ingest
from tests.slurm.bed import Bed, wait_until

pytestmark = pytest.mark.slurm

SCHEDULE = Path(__file__).parents[2] / "deploy" / "slurm" / "schedule-rebuild.sh"
START = datetime(2024, 7, 1, tzinfo=UTC)
LATE = START + timedelta(hours=5)


@pytest.fixture
def recipe(recipe_data: dict[str, Any], tmp_path: Path) -> Recipe:
    end = START + timedelta(hours=6)
    write_archive(tmp_path / "archive", start=START, end=end, layout="nimbus", seed=1)
    return Recipe.model_validate(recipe_data)


@pytest.fixture
def scheduled(
    inside_bed: Bed, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Start a schedule, return its log, and end it."""
    monkeypatch.setenv("MINKGEN", str(Path(sys.executable).with_name("minkgen")))
    monkeypatch.setenv("MINKGEN_SBATCH_OPTIONS", "--cpus-per-task=1 --mem=3G")
    file, log = tmp_path / "recipe.yaml", tmp_path / "rebuilds.jsonl"
    file.write_text(recipe.model_dump_json(), encoding="utf-8")
    command = [str(SCHEDULE), "2seconds", str(file), "--log", str(log)]
    subprocess.run(command, cwd=inside_bed.jobs, check=True, capture_output=True)  # noqa: S603
    yield log
    inside_bed.run("scancel", "--name=minkgen-rebuild")


def runs(log: Path) -> list[dict[str, Any]]:
    text = log.read_text(encoding="utf-8") if log.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def snapshot_of(store: Path) -> dict[str, bytes]:
    folder = (store / "features" / "current").resolve()
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_it_runs_again_on_its_own_and_publishes_what_is_new(
    recipe: Recipe, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    late = tmp_path / "archive" / ArchiveKey(LATE, "RATE").path
    shutil.move(late, tmp_path / late.name)
    log = request.getfixturevalue("scheduled")
    wait_until("the first rebuild", lambda: runs(log), 120)
    shutil.move(tmp_path / late.name, late)
    wait_until("the late composite", lambda: sum(run["newly_ok"] for run in runs(log)) == 24, 120)
    count = len(runs(log))
    wait_until("a rebuild after it", lambda: len(runs(log)) > count, 120)
    told = runs(log)
    assert [run["status"] for run in told if run["status"] != "nothing new"] == ["published"] * 2
    assert told[-1]["status"] == "nothing new"
    assert told[-1]["snapshot"] == next(run["snapshot"] for run in told if run["newly_ok"] == 1)

    alone = recipe.model_copy(update={"store": tmp_path / "alone"})
    ingest(alone)
    compute(alone)
    assert snapshot_of(recipe.store) == snapshot_of(alone.store)
