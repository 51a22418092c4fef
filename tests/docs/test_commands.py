"""Every `minkgen ...` command line of the documentation is one that the command would accept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.commands import command_lines, fault
from tests.docs.pages import ROOT, name_of, pages


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_command_line_of_a_page_parses(page: Path) -> None:
    found = [(line, fault(line.words)) for line in command_lines(page)]
    wrong = [f"{line.place}: minkgen {' '.join(line.words)}: {why}" for line, why in found if why]
    assert not wrong, "\n".join(wrong)


def test_the_readme_has_command_lines_that_were_found() -> None:
    verbs = {line.words[0] for line in command_lines(ROOT / "README.md") if line.words}
    assert {"ingest", "compute", "train", "evaluate"} <= verbs


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("```sh\nminkgen inspect store --json | jq .states\n```", None),
        ("```sh\nA=1 minkgen compute a.yaml \\\n  --set emulator.epochs=3 # few\n```", None),
        ("`minkgen inspect STORE` and `minkgen COMMAND --help`", None),
        ("`minkgen evaluate emulator | inversion`", None),
        ("```sh\nx && minkgen digest store\n```", "no command 'digest'"),
        ("```text\nminkgen compute a.yaml \\\n  --works 3\n```", "No such option"),
        ("```sh\nminkgen train gan a.yaml\n```", "no command 'gan'"),
        ("```sh\nminkgen compute a --set emulator.epoch=3\n```", "no key 'emulator.epoch'"),
        ("so `minkgen rebuild a --cron 3` it is", "No such option"),
        ("```sh\nminkgen compute a --store\n```", "requires an argument"),
    ],
)
def test_wrong_command_lines_are_found(text: str, expected: str | None) -> None:
    line = next(command_lines(ROOT / "README.md", text))
    why = fault(line.words)
    assert (why is None) if expected is None else (why is not None and expected in why)
