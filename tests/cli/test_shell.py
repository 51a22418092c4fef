"""What a shell does for minkgen: versions, completion, the environment, two Ctrl-C."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

from minkgen.cli.main import cli
from minkgen.errors import StoreError

PROGRAM = [sys.executable, "-c", "from minkgen.cli.main import main; main()"]


def test_versions_begin_with_our_own_and_name_what_decides_numbers() -> None:
    result = CliRunner().invoke(cli, ["--version"])
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == f"minkgen {version('minkgen')}"
    assert f"numpy {version('numpy')}" in lines
    assert f"dask-jobqueue {version('dask-jobqueue')}" in lines


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell_names_the_command(shell: str) -> None:
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    assert "_MINKGEN_COMPLETE" in result.output


def test_bash_completes_verbs_and_options(tmp_path: Path) -> None:
    script = CliRunner().invoke(cli, ["completion", "bash"]).output
    command = tmp_path / "minkgen"
    command.write_text(f"#!/bin/sh\nexec '{PROGRAM[0]}' -c '{PROGRAM[2]}' \"$@\"\n")
    command.chmod(0o755)
    ask = f"""{script}
    COMP_WORDS=(minkgen ing); COMP_CWORD=1
    _minkgen_completion minkgen; echo "${{COMPREPLY[-1]}}"
    COMP_WORDS=(minkgen ingest recipe.yaml --qui); COMP_CWORD=3
    _minkgen_completion minkgen; echo "${{COMPREPLY[-1]}}"
    """
    done = subprocess.run(  # noqa: S603 - a script of click's, in bash
        ["bash", "--norc", "-c", ask],  # noqa: S607
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["ingest", "--quiet"]


def test_the_store_comes_from_the_environment_unless_it_is_named(tmp_path: Path) -> None:
    recipe = Path(__file__).parents[1] / "recipes/real-evening.yaml"
    runner = CliRunner(env={"MINKGEN_STORE": str(tmp_path / "from-environment")})
    for options, place in (
        ((), "from-environment"),
        (("--store", str(tmp_path / "named")), "named"),
    ):
        result = runner.invoke(cli, ["store", "list", str(recipe), *options])
        assert isinstance(result.exception, StoreError)
        assert str(result.exception.where) == str(tmp_path / place)


def test_a_cluster_of_the_environment_is_held_against_the_recipe(tmp_path: Path) -> None:
    recipe = Path(__file__).parents[1] / "recipes/real-evening.yaml"
    done = subprocess.run(  # noqa: S603 - our own interpreter and program
        [*PROGRAM, "compute", str(recipe), "--dry-run"],
        env=os.environ | {"MINKGEN_CLUSTER": "slurm", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "cluster" in done.stderr
