"""What a shell does for minkgen: versions, completion, the environment, two Ctrl-C."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
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


@pytest.mark.parametrize(
    ("verb", "variables", "told"),
    [
        ("ingest", {"MINKGEN_SITE": "nowhere"}, "shipped profiles are generic-slurm"),
        ("compute", {"MINKGEN_WORKERS": "0"}, "0 is not in the range"),
        ("compute", {"MINKGEN_CLUSTER": "slurm"}, "cluster.slurm.site: field required"),
        (
            "compute",
            {"MINKGEN_CLUSTER": "slurm", "MINKGEN_SITE": "testbed"},
            "cluster.slurm.workers: ",
        ),
    ],
)
def test_site_workers_and_cluster_come_from_the_environment(
    verb: str, variables: dict[str, str], told: str, tmp_path: Path
) -> None:
    done = subprocess.run(  # noqa: S603 - our own interpreter and program
        [*PROGRAM, verb, "demo"],
        env=os.environ | variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert told in done.stderr


def variables_of(command: click.Command) -> set[str]:
    """Return the environment variables that a command and those below it read."""
    found = {str(each.envvar) for each in command.params if each.envvar is not None}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            found |= variables_of(below)
    return found


def test_the_page_of_the_environment_names_what_commands_read() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "environment.md"
    text = page.read_text(encoding="utf-8")
    read = variables_of(cli)
    assert len(read) >= 4
    assert [name for name in sorted(read) if f"`{name}`" not in text] == []


def test_a_misspelt_verb_is_told_the_nearest() -> None:
    result = CliRunner().invoke(cli, ["compote", "demo"])
    assert result.exit_code == 2
    assert "did you mean 'compute'?" in result.output


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
