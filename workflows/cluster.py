"""Where tasks run: a Dask cluster, and the one way in which tasks are submitted and collected."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from distributed import Client, LocalCluster, as_completed

from minkgen.errors import TaskError
from minkgen.recipe import Cluster
from minkgen.workflows.progress import Progress

__all__ = ["open_client", "run_tasks"]

Result = TypeVar("Result")


@contextmanager
def open_client(cluster: Cluster) -> Iterator[Client]:
    """Start the cluster that a recipe asks for, on loopback, and stop it at the end.

    Parameters
    ----------
    cluster : Cluster
        `local`: processes of one thread each, as many as the machine lends us cores.

    Yields
    ------
    distributed.Client
    """
    workers = cluster.workers or len(os.sched_getaffinity(0))
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            # Our tasks hold one shard, and their results are small: Dask's own limits, made for
            # results kept in memory, would only pause them.
            memory_limit=0,
            # One core a worker: zarr would compress on all of them, and need memory for each.
            env={"ZARR_THREADING__MAX_WORKERS": "1"},
            silence_logs="ERROR",
            # Whoever reaches a scheduler runs code as its user, and loopback is open to everybody
            # on a login node: only those with this cluster's own key get in.
            security=True,
        ) as local,
        Client(local) as client,
    ):
        yield client


@dataclass(frozen=True)
class Failure:
    """A task that failed: the first line for people, the traceback for whoever mends it."""

    message: str
    traceback: str


def _guarded(function: Callable[[Any], Result], argument: Any) -> Result | Failure:
    """Run a task; whatever goes wrong in it is a result, and the other tasks go on."""
    try:
        return function(argument)
    except Exception as error:  # noqa: BLE001 - the task boundary
        return Failure(f"{type(error).__name__}: {error}", traceback.format_exc())


def run_tasks(
    client: Client,
    function: Callable[[Any], Result],
    arguments: Sequence[Any],
    progress: Progress,
    *,
    what: str,
    note: Callable[[Result], str] = lambda result: "",
) -> list[Result]:
    """Run one task per argument and return their results in the order of the arguments.

    A task that fails does not stop the others; when all have ended, the failures are raised.

    Parameters
    ----------
    client : distributed.Client
    function : callable
        An importable, idempotent function of one argument.
    arguments : sequence
        Their text names the task in an error.
    progress : Progress
        Advanced by one step per finished task.
    what : str
        What a task does, for the error: "the day could not be ingested".
    note : callable, optional
        Turns a result into the text that is shown with the progress.

    Returns
    -------
    list

    Raises
    ------
    TaskError
        If a task failed, with the first failure's traceback and the number of all.
    """
    futures = client.map(_guarded, [function] * len(arguments), list(arguments), pure=False)
    position = {future.key: index for index, future in enumerate(futures)}
    results: dict[int, Result] = {}
    failures: dict[int, Failure] = {}
    for future in as_completed(futures):
        outcome: Result | Failure = future.result()
        if isinstance(outcome, Failure):
            failures[position[future.key]] = outcome
            progress.advance(1, "failed")
        else:
            results[position[future.key]] = outcome
            progress.advance(1, note(outcome))
        future.release()
    if failures:
        first = min(failures)
        raise TaskError(
            what,
            where=arguments[first],
            got=f"{failures[first].message}; {len(failures)} of {len(arguments)} tasks failed; "
            f"the first:\n{failures[first].traceback}",
            hint="mend the cause and run the same command again; finished tasks are kept",
        )
    return [results[index] for index in range(len(arguments))]
