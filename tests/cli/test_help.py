"""The help of every command, word by word: run with UPDATE_GOLDEN=1 after a wanted change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from minkgen.cli.main import cli

GOLDEN = Path(__file__).parent / "golden"


def commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from commands(child, (*path, name))


PATHS = list(commands(cli, ("minkgen",)))


def test_all_verbs_are_there() -> None:
    verbs = {path[1] for path in PATHS if len(path) == 2}
    data, learning = "ingest compute rebuild inspect show report verify store", "train evaluate"
    others = "demo bench doctor completion"
    assert verbs == set(f"{data} {learning} {others}".split())


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_help_is_as_agreed(path: tuple[str, ...]) -> None:
    runner = CliRunner(env={"COLUMNS": "80"})
    result = runner.invoke(cli, [*path[1:], "--help"], prog_name="minkgen", terminal_width=80)
    assert result.exit_code == 0
    golden = GOLDEN / f"{'-'.join(path)}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        golden.write_text(result.output, encoding="utf-8")
    assert result.output == golden.read_text(encoding="utf-8")


def test_every_golden_file_belongs_to_a_command() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == {"-".join(path) for path in PATHS}
