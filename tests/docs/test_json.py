"""What commands print with `--json` is one object, and the one that the reference describes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic import ValidationError

from minkgen.cli.main import cli, main
from minkgen.cli.outputs import OUTPUTS, Failure
from minkgen.store.history import read_history
from minkgen.store.layout import StorePaths
from tests.docs.setups import Workshop, put_recipe

RECIPE = "evening.yaml"
OTHER = ("--new-version", "--set", "persistence.essential=background")


@pytest.fixture(scope="module")
def folder(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the ready store and its recipe, which the commands share in order."""
    folder = tmp_path_factory.mktemp("json")
    workshop.put_store(folder / "store")
    workshop.put_archive(folder / "archive")
    put_recipe(folder / RECIPE)
    return folder


@pytest.fixture(autouse=True)
def _in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs a command in this process and returns the object it prints."""

    def run(*words: str) -> Any:
        capsys.readouterr()
        cli.main([*words, "--json"], prog_name="minkgen", standalone_mode=False)
        [line] = capsys.readouterr().out.splitlines()
        return json.loads(line)

    return run


def snapshots() -> list[str]:
    """Return the names of the snapshots in the order of their publication."""
    published = read_history(StorePaths(Path("store")))
    return list(dict.fromkeys(each.snapshot for each in published))


# One after the other: later ones need what earlier ones publish.
QUICK = [
    ("ingest", ("ingest", RECIPE)),
    ("compute", ("compute", RECIPE)),
    ("compute --dry-run", ("compute", RECIPE, "--dry-run")),
    ("compute --dry-run", ("compute", RECIPE, "--dry-run", "--from", "current", *OTHER)),
    ("compute --parts", ("compute", RECIPE, "--parts", "1/1", "--from", "current", *OTHER)),
    ("compute", ("compute", RECIPE, "--from", "current", *OTHER)),
    ("store list", ("store", "list", RECIPE)),
    ("store diff", ("store", "diff", RECIPE, "FIRST", "SECOND")),
    ("store rollback", ("store", "rollback", RECIPE)),
    ("store publish", ("store", "publish", RECIPE, "FIRST")),
    ("store prune", ("store", "prune", RECIPE, "--keep", "1", "--dry-run")),
    ("rebuild", ("rebuild", RECIPE)),
    ("inspect", ("inspect", "store")),
    ("show", ("show", "store", "--time", "2024-07-01T03:00")),
    ("show", ("show", "store", "--time", "2024-07-01T03:00", "--tile", "256,256")),
    ("report", ("report", "store")),
    ("verify", ("verify", "store", "--only", "store", "--only", "thresholds")),
    ("train emulator", ("train", "emulator", RECIPE)),
    ("doctor", ("doctor", "--store", "store")),
]
SLOW = [
    ("train emulator --tune", ("train", "emulator", RECIPE, "--tune", "2")),
    ("train sr", ("train", "sr", RECIPE)),
    ("evaluate emulator", ("evaluate", "emulator", RECIPE, "--surrogate", "exact")),
    ("evaluate inversion", ("evaluate", "inversion", RECIPE, "--surrogate", "exact")),
    ("evaluate mechanism", ("evaluate", "mechanism", RECIPE, "--surrogate", "exact")),
    ("evaluate sr", ("evaluate", "sr", RECIPE)),
    ("demo", ("demo", "--recipe", RECIPE, "--folder", "demo-run")),
]


def test_what_is_printed_is_what_the_reference_says(printed: Any) -> None:
    for name, words in QUICK:
        names = dict(zip(("FIRST", "SECOND"), snapshots(), strict=False))
        said = printed(*(names.get(word, word) for word in words))
        try:
            OUTPUTS[name].model_validate(said)
        except ValidationError as error:
            pytest.fail(f"minkgen {' '.join(words)}: {error}")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the store has no terrain:UserWarning")
@pytest.mark.parametrize(("name", "words"), SLOW, ids=lambda value: str(value)[:40])
def test_what_slow_commands_print_is_what_the_reference_says(
    name: str, words: tuple[str, ...], printed: Any
) -> None:
    OUTPUTS[name].model_validate(printed(*words))


def commands(group: click.Group = cli, path: str = "") -> Iterator[str]:
    """Yield the commands that take `--json`."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} ")
        elif command is not None and any("--json" in each.opts for each in command.params):
            yield f"{path}{name}"


def test_every_command_is_described_and_tried() -> None:
    assert set(commands()) <= set(OUTPUTS)
    # tests/workflows/test_bench.py has the benchmark's, which takes minutes.
    tried = {name for name, _ in [*QUICK, *SLOW]} | {"bench"}
    assert {name for name in OUTPUTS if name.split(" --")[0] in set(commands())} == tried


@pytest.mark.parametrize(
    ("words", "status", "kind", "expected"),
    [
        (("compute", RECIPE, "--store", "nowhere"), 1, "StoreError", {"next": "minkgen ingest"}),
        (("compute", RECIPE, "--set", "colour=1"), 2, "RecipeError", {"what": "colour: unknown"}),
        (("compute", RECIPE, "--frobnicate"), 2, "NoSuchOption", {"what": "--frobnicate"}),
        (("store", "publish", RECIPE, "none"), 1, "StoreError", {}),
        (("evaluate", "sr", RECIPE, "--model", "nix"), 2, "InputError", {"got": "nix"}),
        (("inspect",), 2, "MissingParameter", {"what": "STORE"}),
    ],
)
def test_a_command_that_fails_prints_what_and_the_exit_status(
    words: tuple[str, ...],
    status: int,
    kind: str,
    expected: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(sys, "argv", ["minkgen", *words, "--json"])
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    [line] = capsys.readouterr().out.splitlines()
    said = Failure.model_validate(json.loads(line))
    assert (ended.value.code, said.status, said.error.kind) == (status, status, kind)
    for key, part in expected.items():
        assert part in getattr(said.error, key)


def test_an_interrupted_command_prints_that(folder: Path) -> None:
    program = (
        "import os, signal, click; from minkgen.cli import main as m\n"
        "m.cli.get_command = lambda *_: click.Command('x', callback=lambda **_: "
        "os.kill(os.getpid(), signal.SIGINT), params=[click.Option(['--json'], is_flag=True)])\n"
        "m.main()"
    )
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", program, "inspect", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 130, done.stderr
    said = Failure.model_validate(json.loads(done.stdout))
    assert (said.status, said.error.kind) == (130, "Interrupted")
