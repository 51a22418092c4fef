"""Progress in logs: few lines, each with what is done, the time left and the latest figure."""

from __future__ import annotations

import pytest

from minkgen.cli import render


class Clock:
    """Stands in for the time module's clock, one second a look."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1.0
        return self.now


def test_lines_are_few_and_say_how_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(render, "time", Clock())
    with render.show_progress(quiet=False) as progress:
        progress.stage("count", 25)
        for step in range(25):
            progress.advance(1, f"at {step}")
        progress.advance(0, "validated")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "count: 25 steps",
        "count: 10/25 in 10 s, 15 s left (at 9)",
        "count: 20/25 in 20 s, 5 s left (at 19)",
        "count: 25/25 in 25 s, 0 s left (at 24)",
    ]


def test_nothing_done_yet_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(render, "time", Clock())
    with render.show_progress(quiet=False) as progress:
        progress.stage("count", 2)
        for _ in range(20):
            progress.advance(0)
    assert capsys.readouterr().err == "count: 2 steps\n"


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with render.show_progress(quiet=True) as progress:
        progress.stage("count", 1)
        progress.advance()
    assert capsys.readouterr() == ("", "")


def test_json_leaves_stdout_to_programs(capsys: pytest.CaptureFixture[str]) -> None:
    render.show_result({"rows": 3}, lambda: "three rows", as_json=True)
    assert capsys.readouterr() == ('{"rows": 3}\n', "three rows\n")
    render.show_result({"rows": 3}, lambda: "three rows", as_json=False)
    assert capsys.readouterr() == ("three rows\n", "")
