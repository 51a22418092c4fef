"""Commands as a user meets them: exit status, stdout, stderr, and what is on disk after."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from minkgen.opera.synthetic import write_archive


def minkgen(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from minkgen.cli.main import main; main()"]
    return subprocess.run(  # noqa: S603 - our own command
        [*command, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.fixture
def recipe_file(recipe_data: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe_data), encoding="utf-8")
    return path


def test_a_faulty_recipe_exits_2_and_writes_nothing(recipe_file: Path, tmp_path: Path) -> None:
    done = minkgen("ingest", recipe_file, "--set", "colour=blue", "--set", "seed=x", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "colour: unknown key" in done.stderr
    assert "seed: input should be a valid integer" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["ingest"], "Missing argument 'RECIPE'"),
        (["ingest", "none.yaml"], "shipped recipes are"),
        (["ingest", "a", "b"], "unexpected extra argument"),
        (["digest"], "No such command 'digest'"),
        (["train", "gan", "a.yaml"], "No such command 'gan'"),
        (["compute", "a.yaml", "--workers", "0"], "0 is not in the range"),
    ],
)
def test_wrong_usage_exits_2(tmp_path: Path, arguments: list[str], expected: str) -> None:
    done = minkgen(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_what_cannot_be_done_exits_1_and_says_what_next(recipe_file: Path, tmp_path: Path) -> None:
    for verb, expected in (("ingest", "give --source"), ("compute", "minkgen ingest")):
        done = minkgen(verb, recipe_file, cwd=tmp_path)
        assert done.returncode == 1
        assert expected in done.stderr
        assert "Traceback" not in done.stderr


def test_ingest_and_compute_with_a_corrupt_file(recipe_file: Path, tmp_path: Path) -> None:
    start = datetime(2024, 7, 1, tzinfo=UTC)
    paths = write_archive(
        tmp_path / "other", start=start, end=start.replace(hour=6), layout="odyssey", seed=3
    )
    paths[3].write_bytes(b"not HDF5")
    source = ("--source", tmp_path / "other")
    done = minkgen("ingest", recipe_file, *source, "--json", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    result = json.loads(done.stdout)
    assert result["states"] == {"ok": 23, "absent": 0, "failed": 0, "corrupt": 1}
    assert "00:45 corrupt: the file is not HDF5" in result["newly_bad"][0]
    assert "ingest: 1/1" in done.stderr
    again = minkgen("ingest", recipe_file, *source, "--quiet", cwd=tmp_path)
    assert again.returncode == 0
    assert again.stderr == ""
    assert "23 ok, 0 absent, 0 failed, 1 corrupt; 0 new in this run" in again.stdout
    computed = minkgen("compute", recipe_file, "--json", cwd=tmp_path)
    assert computed.returncode == 0, computed.stderr
    assert Path(json.loads(computed.stdout)["snapshot"]).is_dir()
    refused = minkgen("compute", recipe_file, "--set", "tiles.dry_fraction=0", cwd=tmp_path)
    assert refused.returncode == 1
    assert "tiles.dry_fraction: 0.1" in refused.stderr
    assert "--new-version" in refused.stderr


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    assert minkgen("--version", cwd=tmp_path).stdout.startswith("minkgen 0.")
