"""Every block of the documentation is executed, or says why it is not."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from minkgen.recipe import Recipe
from minkgen.recipe.site import Site
from minkgen.yaml_file import read_yaml, section_faults
from tests.docs.pages import ROOT, Block, blocks, faults, name_of, pages
from tests.docs.setups import SETUPS, Workshop

PAGES = pages()
DRIVER = Path(__file__).parent / "run_blocks.py"
# A YAML block whose first line is `# evening.yaml` becomes that file, for the commands below it.
_FILE_NAME = re.compile(r"^#\s*(?P<name>[\w-]+\.yaml)\s*$")
_LONGEST_FAST_S, _LONGEST_SLOW_S = 300.0, 580.0


def _params(*, slow: bool) -> list[Any]:
    """Return the pages that have blocks to run: all but the slow ones, or all if some are slow."""
    params = []
    for page in PAGES:
        found = [block for block in blocks(page) if block.runs]
        if any(block.slow for block in found) if slow else any(not block.slow for block in found):
            params.append(pytest.param(page, id=name_of(page)))
    return params


@pytest.mark.parametrize("page", _params(slow=False))
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path, workshop: Workshop) -> None:
    run_page(page, [block for block in blocks(page) if not block.slow], tmp_path, workshop)


@pytest.mark.slow
@pytest.mark.parametrize("page", _params(slow=True))
def test_the_slow_blocks_of_a_page_run_among_the_others(
    page: Path, tmp_path: Path, workshop: Workshop
) -> None:
    run_page(page, blocks(page), tmp_path, workshop, limit_s=_LONGEST_SLOW_S)


def run_page(
    page: Path,
    chosen: Sequence[Block],
    tmp_path: Path,
    workshop: Workshop,
    *,
    limit_s: float = _LONGEST_FAST_S,
) -> None:
    """Run blocks in a fresh process, folder and HOME; fail with page, line and output."""
    folder, home = tmp_path / "page" / "checkout", tmp_path / "home"
    folder.mkdir(parents=True)
    home.mkdir()
    setup = SETUPS.get(name_of(page))
    if setup is not None:
        setup(workshop, folder)
    steps = []
    for block in (block for block in chosen if block.runs):
        if block.language in ("python", "sh"):
            steps.append((block.language, block.line, block.code))
        else:
            _read(block)
            named = _FILE_NAME.match(block.code.split("\n", 1)[0])
            if named is not None:
                (folder / named["name"]).write_text(block.code, encoding="utf-8")
    if not steps:
        return
    listing = tmp_path / "blocks.json"
    listing.write_text(json.dumps(steps), encoding="utf-8")
    status, output = _run(
        [sys.executable, str(DRIVER), name_of(page), str(listing)], folder, home, limit_s
    )
    assert status == 0, f"{name_of(page)}: exit status {status}\n{output}"


def _run(command: list[str], folder: Path, home: Path, limit_s: float) -> tuple[int | None, str]:
    """Run a command as leader of its own group, which ends with it whatever happens."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MINKGEN_")
    }
    environment |= {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}",
        "OMP_NUM_THREADS": "1",
        "USER": "you",
    }
    output = home / "output.txt"
    with output.open("wb") as sink:
        process = subprocess.Popen(  # noqa: S603 - our own driver
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status: int | None = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            _end_group(process)
    text = output.read_text(encoding="utf-8", errors="replace")
    return status, text if status is not None else f"{text}\nnot done after {limit_s:.0f} s"


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End what a page may have left running; its group has the leader's id as long as any lives."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()


def _read(block: Block) -> None:
    """Hold a YAML block against the models of recipe and site; JSON must be JSON."""
    if block.language == "json":
        json.loads(block.code)
        return
    data = read_yaml(block.code, block.place)
    assert isinstance(data, dict), f"{block.place}: a recipe or a site profile is a mapping"
    is_site = set(data) <= set(Site.model_fields) and not set(data) <= set(Recipe.model_fields)
    is_whole = set(data) >= ({"queue", "shared"} if is_site else {"name", "period", "splits"})
    whole = data if is_whole else _merged(_SITE if is_site else _RECIPE, data)
    found = section_faults(Site if is_site else Recipe, whole)
    assert not found, "\n".join([f"{block.place}: as a {'site' if is_site else 'recipe'}", *found])


# What a fragment that a page shows is put into, so that its keys and values can be checked.
_RECIPE: dict[str, Any] = {
    "name": "shown",
    "store": "store",
    "source": {"path": "archive"},
    "grid": "test_2km",
    "period": {"start": "2024-07-01", "end": "2024-07-02"},
    "splits": {
        "train": {"start": "2024-07-01T00:00", "end": "2024-07-01T12:00"},
        "validation": {"start": "2024-07-01T14:00", "end": "2024-07-01T18:00"},
        "test": {"start": "2024-07-01T20:00", "end": "2024-07-02T00:00"},
        "gap_hours": 2,
    },
}
_SITE: dict[str, Any] = {
    "queue": "compute",
    "interface": "ib0",
    "scratch": "/scratch",
    "shared": "/home/you",
    "logs": "/home/you/logs",
}


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Put a fragment into a whole; a section that names its kind replaces the other."""
    merged = dict(base)
    for key, value in over.items():
        old = base.get(key)
        both = isinstance(old, dict) and isinstance(value, dict) and "kind" not in value
        merged[key] = _merged(old, value) if both and isinstance(old, dict) else value
    return merged


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_has_a_known_language_and_a_proper_mark(page: Path) -> None:
    assert faults(page) == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_that_are_not_run_are_at_least_well_formed(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            ast.parse("\n" * (block.line - 1) + block.code, name_of(page))
        elif block.language == "sh":
            done = subprocess.run(
                ["/bin/bash", "-n"], input=block.code, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{block.place}: {done.stderr}"
        elif block.language in ("yaml", "json"):
            _read(block)


def test_every_setup_belongs_to_a_page() -> None:
    assert set(SETUPS) <= {name_of(page) for page in PAGES}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("```python\n1\n```", []),
        ("<!-- run: slow -->\n```sh\nls\n```", []),
        ("<!-- not run: it takes two hours -->\n```sh\nls\n```", []),
        ("```{toctree}\nx\n```", []),
        ("```\nx\n```", ["no language"]),
        ("```console\n$ ls\n```", ["the language 'console'"]),
        ("<!-- not run: slow -->\n```sh\nls\n```", ["is no reason"]),
        ("<!-- run: later -->\n```sh\nls\n```", ["can be run `slow`"]),
        ("<!-- run: slow -->\n```text\nls\n```", ["needs no mark"]),
        ("<!-- run: slow -->\n\n```sh\nls\n```", ["no block on the next line"]),
    ],
)
def test_marks_and_languages_are_refused_with_their_place(text: str, expected: list[str]) -> None:
    found = faults(ROOT / "README.md", text)
    assert len(found) == len(expected)
    for fault, part in zip(found, expected, strict=True):
        assert fault.startswith("README.md:")
        assert part in fault


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("```python\nx = 1\n```\n```sh\ntouch a\n```\n```python\nopen('a'); assert x\n```", None),
        ('```sh\ntest -z "${MINKGEN_STORE-}"; minkgen --version > /dev/null\n```', None),
        ("```python\ny = 1\nassert y == 2\n```", 'File "CONTRIBUTING.md", line 3, in <module>'),
        ("```sh\necho seen; false | true\n```", "seen"),
        ("```python\nraise SystemExit(0)\n```", "FAILED CONTRIBUTING.md:2"),
    ],
)
def test_what_fails_in_a_page_is_told_with_its_line(
    text: str,
    expected: str | None,
    tmp_path: Path,
    workshop: Workshop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MINKGEN_STORE", "elsewhere")
    page = ROOT / "CONTRIBUTING.md"
    if expected is None:
        run_page(page, blocks(page, text), tmp_path, workshop)
        return
    with pytest.raises(AssertionError, match=r"FAILED CONTRIBUTING\.md:2") as failure:
        run_page(page, blocks(page, text), tmp_path, workshop)
    assert expected in str(failure.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("emulator: {epochs: 3}", None),
        ("source: {kind: archive}", None),
        ("emulator: {epoch: 3}", "unknown key; did you mean 'epochs'"),
        ("name: a\nperiod: {start: 2024-07-01, end: 2024-07-02}\nsplits: {}", "store: field"),
        ("queue: main\ntransfer: {core: 2}", "as a site"),
    ],
)
def test_yaml_is_held_against_the_models(text: str, expected: str | None) -> None:
    [block] = blocks(ROOT / "README.md", f"```yaml\n{text}\n```")
    if expected is None:
        _read(block)
        return
    with pytest.raises(AssertionError) as failure:
        _read(block)
    assert expected in str(failure.value)
