"""On a terminal: bars with rate and time left, colours only where they are wanted, Ctrl-C."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minkgen.cli.render import _rate

BARS = """
import time
from minkgen.cli.render import show_progress

with show_progress(quiet=False) as progress:
    progress.stage("count", 4)
    for step in range(4):
        time.sleep(0.05)
        progress.advance(1, f"at {step}")
"""
COUNTING = f"""
import minkgen.cli.main as program

def endless():
{re.sub("^", "    ", BARS.replace("range(4)", "range(10**6)"), flags=re.M)}

program.cli.main = lambda **_: endless()
program.main()
"""
COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
SECONDS = 30.0


def on_a_terminal(
    program: str, *, interrupt_after: bytes | None = None, **variables: str
) -> tuple[int, bytes]:
    """Run Python on a terminal of its own, and type Ctrl-C once when some words were shown."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
    keyboard, terminal = pty.openpty()
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", program],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=kept | {"TERM": "xterm-256color"} | variables,
        # A terminal sends Ctrl-C to the session that it controls.
        preexec_fn=lambda: os.login_tty(terminal),
    )
    os.close(terminal)
    shown, end = b"", time.monotonic() + SECONDS
    try:
        while time.monotonic() < end:
            try:
                shown += os.read(keyboard, 65536)
            except OSError:  # the other side is closed: the process has ended
                break
            if interrupt_after is not None and interrupt_after in shown:
                os.write(keyboard, b"\x03")
                interrupt_after = None
        return process.wait(timeout=SECONDS), shown
    finally:
        process.kill()
        process.wait()
        os.close(keyboard)


def test_a_terminal_shows_a_bar_with_rate_and_time_left() -> None:
    status, shown = on_a_terminal(BARS)
    assert status == 0
    assert COLOUR.search(shown)
    assert re.search(r"count ━+ 4/4 [\d.]+/s 0:00:00 at 3", COLOUR.sub(b"", shown).decode())


def test_no_color_leaves_the_bar_and_takes_its_colours() -> None:
    _, shown = on_a_terminal(BARS, NO_COLOR="1")
    assert "━".encode() in shown
    assert not COLOUR.search(shown)


def test_a_terminal_that_cannot_move_its_cursor_gets_lines() -> None:
    _, shown = on_a_terminal(BARS, TERM="dumb")
    assert b"\x1b" not in shown
    assert shown.splitlines()[0] == b"count: 4 steps"


def test_ctrl_c_on_a_terminal_ends_with_the_line_that_says_how_to_go_on() -> None:
    status, shown = on_a_terminal(COUNTING, interrupt_after=b"at 3")
    assert status == 130
    assert shown.endswith(b"interrupted; run the same command again: finished parts are kept\r\n")
    assert b"\x1b[?25h" in shown, "the cursor is shown again"


@pytest.mark.parametrize(
    ("steps", "seconds", "told"),
    [(0, 1.0, ""), (30, 2.0, "15/s"), (1, 40.0, "1.5/min"), (2, 7200.0, "1/h"), (1, 0.0, "")],
)
def test_rates_have_a_unit_of_which_there_is_one(steps: int, seconds: float, told: str) -> None:
    assert _rate(steps, seconds) == told


def test_a_log_gets_few_lines_whatever_there_is_to_do(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as stream:
        program = BARS.replace("4)", "20000)").replace("time.sleep(0.05)", "pass")
        subprocess.run([sys.executable, "-c", program], stderr=stream, check=True)  # noqa: S603
    lines = log.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "count: 20000 steps"
    assert lines[-1].startswith("count: 20000/20000 in ")
    assert len(lines) < 20
