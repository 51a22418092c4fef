"""A process that works on a store in forks, and has a fork killed before its n-th file operation.

Commands come as lines of JSON on stdin, `[die_at, name, arguments]`; answers leave as lines of
JSON on stdout: the result, `{"refused": message}` for an error of minkgen's own, or `"killed"`. A
fork ends by SIGKILL, as on a node that is taken away: no `finally` runs, no lock is given back.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from minkgen.errors import MinkgenError
from minkgen.recipe import Sharing
from minkgen.store import shelf
from minkgen.store.build import create_staging, snapshot_path
from minkgen.store.layout import StorePaths
from minkgen.store.linking import link_shards
from minkgen.store.lock import hold_lock
from minkgen.store.permissions import permissions_of
from minkgen.store.publishing import publish
from tests.store.tiny import Tiny, use_tiny_parts

# All that changes a file system and that Python tells of; opening counts where it is for writing.
_OPERATIONS = {
    "os.chmod",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.utime",
}

# In the order in which a store meets them: a day is appended, a late slot is found, other
# thresholds are chosen.
SNAPSHOTS = {
    "a": Tiny("a"),
    "b": Tiny("b", test=(200, 201, 202)),
    "c": Tiny("c", train=(*range(0, 34, 2), 33, 34, 36, 38), test=(200, 201, 202)),
    "d": Tiny("d", gamma=5),
}


def build(paths: StorePaths, name: str, parts: Sequence[int], whole: bool) -> str | None:
    """Write some parts of a snapshot; publish it if it is to be whole."""
    with hold_lock(paths.lock("build")) as lock:
        if not snapshot_path(paths, name).exists():
            link_shards(paths, create_staging(paths, SNAPSHOTS[name].plan()))
            SNAPSHOTS[name].write(paths, parts)
        if not whole:
            return None
        lock.check()
        return publish(paths, name).stem


def publish_again(paths: StorePaths, name: str) -> str:
    """Publish a snapshot, finished or older."""
    return shelf.publish_snapshot(paths, name, permissions_of(Sharing())).stem


def roll_back(paths: StorePaths) -> str:
    """Go back to the snapshot before."""
    return shelf.roll_back(paths, permissions_of(Sharing()))


def prune(paths: StorePaths, keep: int, days: float) -> list[str]:
    """Remove old snapshots as if it were some days later."""
    now = datetime.now(UTC) + timedelta(days=days)
    return list(shelf.prune(paths, keep, timedelta(days=14), now=now).removed)


_COMMANDS: dict[str, Callable[..., Any]] = {
    "build": build,
    "publish": publish_again,
    "roll_back": roll_back,
    "prune": prune,
}


def _work(root: Path, die_at: int | None, name: str, arguments: Sequence[Any], answer: int) -> None:
    left = die_at

    def count(event: str, details: tuple[Any, ...]) -> None:
        nonlocal left
        writes = event == "open" and isinstance(details[2], int) and details[2] & os.O_ACCMODE
        if left is not None and (writes or event in _OPERATIONS):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    try:
        result = _COMMANDS[name](StorePaths(root), *arguments)
    except MinkgenError as error:
        result = {"refused": error.one_line()}
    left = None
    os.write(answer, json.dumps(result).encode())


def main() -> None:
    """Serve commands until stdin ends."""
    root = Path(sys.argv[1])
    use_tiny_parts()
    os.fsync = lambda descriptor: None  # type: ignore[assignment]
    for line in sys.stdin:
        readable, writable = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                _work(root, *json.loads(line), answer=writable)
            finally:
                os._exit(0)
        os.close(writable)
        with os.fdopen(readable) as stream:
            answer = stream.read()
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print(json.dumps("killed") if killed else answer or json.dumps("crashed"), flush=True)  # noqa: T201


class Worker:
    """The process, as a test sees it."""

    def __init__(self, root: Path) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "tests.store.crashing", str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def run(self, die_at: int | None, name: str, *arguments: object) -> Any:
        """Return what a command answers, or "killed"."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([die_at, name, arguments]) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        assert answer != "crashed"
        return answer

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


if __name__ == "__main__":
    main()
