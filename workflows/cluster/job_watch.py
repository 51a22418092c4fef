"""Jobs that end before their worker has come: Dask takes them for waiting, and waits for ever."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from distributed import Client, Future

from minkgen.errors import ClusterError

__all__ = ["watch_jobs"]

_INTERVAL_S = 15.0
# A job that has just gone may have been replaced by one that is on its way to the queue.
_LOOKS = 3
# Dask replaces every job that ends, also where none can ever bring a worker.
_JOBS_FOR_EACH_WORKER = 3
_LINES = 5
# How a line begins that names a Python error or that Dask logs as one.
_ERROR = re.compile(r"[\w.]*(Error|Exception)\b|.* - (ERROR|CRITICAL) - ")


@contextmanager
def watch_jobs(
    client: Client, jobs: Callable[[], frozenset[str] | None], workers: int, logs: Path, job: str
) -> Iterator[None]:
    """Give up where no worker is there and none can come any more.

    Parameters
    ----------
    client : distributed.Client
    jobs : callable
        Tells which jobs of this run SLURM has, waiting or running; None where it does not answer.
    workers : int
        How many jobs are kept there. Three times as many that end, one after the other and without
        a worker in between, are enough.
    logs : Path
        Folder of the jobs' logs.
    job : str
        Name of the jobs, with which the names of their logs begin.

    Raises
    ------
    ClusterError
        If it gave up, with the end of the last log.
    """
    done, lost = threading.Event(), threading.Event()

    def look() -> None:
        looks, ended = 0, 0
        before: frozenset[str] = frozenset()
        while not done.wait(_INTERVAL_S):
            has_workers, now = bool(client.scheduler_info()["workers"]), jobs()
            looks = 0 if has_workers or now is None or now else looks + 1
            if now is not None:
                ended = 0 if has_workers else ended + len(before - now)
                before = now
            if looks == _LOOKS or ended >= _JOBS_FOR_EACH_WORKER * workers:
                lost.set()
                client.cancel([Future(key, client) for key in tuple(client.futures)])
                return

    thread = threading.Thread(target=look, name="minkgen-job-watch", daemon=True)
    thread.start()
    try:
        yield
    except ClusterError as error:
        if not lost.is_set():
            raise
        raise ClusterError(
            "all jobs ended before a worker came",
            where=logs / f"{job}-*.err",
            got=_last_lines(logs, job),
            hint="mend what the log says, or look at the node with `srun minkgen doctor --site`",
        ) from error
    finally:
        done.set()
        thread.join()


def _last_lines(logs: Path, job: str) -> str:
    """Return the first error of the latest log, and its end."""
    files = sorted(logs.glob(f"{job}-*.err"), key=lambda path: path.stat().st_mtime)
    if not files:
        return "no log: the node could not write there, or the job was cancelled while it waited"
    lines = files[-1].read_text(encoding="utf-8", errors="replace").splitlines()
    # The first error is the cause, and those at the end are often of the shutdown that follows.
    cause = [line for line in lines[:-_LINES] if _ERROR.match(line)][:1]
    return "\n".join(cause + lines[-_LINES:]) or f"{files[-1]} is empty"
