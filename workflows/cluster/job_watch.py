"""Jobs that end before their worker has come: Dask takes them for waiting, and waits for ever."""

from __future__ import annotations

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
_LINES = 5


@contextmanager
def watch_jobs(
    client: Client, has_jobs: Callable[[], bool], logs: Path, job: str
) -> Iterator[None]:
    """Give up where no worker is there and none can come any more.

    Parameters
    ----------
    client : distributed.Client
    has_jobs : callable
        Tells whether SLURM has a job of this run, waiting or running.
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
        looks = 0
        while not done.wait(_INTERVAL_S):
            has_hope = bool(client.scheduler_info()["workers"]) or has_jobs()
            looks = 0 if has_hope else looks + 1
            if looks == _LOOKS:
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
    files = sorted(logs.glob(f"{job}-*.err"), key=lambda path: path.stat().st_mtime)
    if not files:
        return "no log: the node could not write there, or the job was cancelled while it waited"
    lines = files[-1].read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-_LINES:]) or f"{files[-1]} is empty"
