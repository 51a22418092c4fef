"""Tasks on a cluster: submitted, tried again within bounds, collected, their failures reported."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from distributed import Client, Future, KilledWorker, as_completed

from minkgen.errors import ClusterError, FailedTask, MinkgenError, TasksFailed
from minkgen.workflows.progress import Progress

__all__ = ["ATTEMPTS", "run_tasks"]

ATTEMPTS = 3
# Results are fetched, and given back, many at once: one by one, that took most of the time of tasks
# that do nothing (1.7 ms of the driver's time for each, 1.0 ms with a pause).
_PAUSE_SECONDS = 0.1

Result = TypeVar("Result")


@dataclass(frozen=True)
class _Failure:
    """An attempt that failed.

    Attributes
    ----------
    message : str
        What it ended with, on one line.
    traceback : str
    is_final : bool
        Whether another attempt would end in the same way.
    is_suspect : bool
        Whether its worker died, of this task or of one beside it.
    """

    message: str
    traceback: str
    is_final: bool = False
    is_suspect: bool = False


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

    A task that raises is tried again, three times in all, after the tasks that wait. Errors of
    minkgen that stand for bad input (those that are `ValueError`, too) are not: the same input
    fails again. Where a worker was killed, its tasks run again when all others have ended, each
    alone, and this death is not counted: a worker also holds the task that comes next, and only one
    of them killed it. A task that failed for good does not stop the others; when all have ended,
    the failures are raised.

    Parameters
    ----------
    client : distributed.Client
    function : callable
        An importable, idempotent function of one argument.
    arguments : sequence
        Their text names the task in an error.
    progress : Progress
        Advanced by one step per task that has ended.
    what : str
        What a task does, for the error: "the day could not be ingested".
    note : callable, optional
        Turns a result into the text that is shown with the progress.

    Returns
    -------
    list

    Raises
    ------
    TasksFailed
        If tasks failed for good, with the inputs, attempts and traceback of each.
    ClusterError
        If the cluster was lost.
    """
    futures = client.map(_guarded, [function] * len(arguments), list(arguments), pure=False)
    positions = {future.key: position for position, future in enumerate(futures)}
    attempts: dict[int, list[_Failure]] = {}
    suspects: list[int] = []
    alone: set[int] = set()
    failures: dict[int, FailedTask] = {}
    results: dict[int, Result] = {}
    # Not on the default loop, which is that of the client that this process has started last.
    ended = as_completed(futures, loop=client.loop)

    def try_again(position: int) -> None:
        order = -len(attempts[position])
        again = client.submit(_guarded, function, arguments[position], pure=False, priority=order)
        positions[again.key] = position
        ended.add(again)

    for batch in ended.batches():
        outcomes = _outcomes(client, batch)
        for future in batch:
            if future.key not in outcomes:
                # Lost with the worker that held it, before it was fetched: Dask computes it again.
                ended.add(future)
                continue
            future.release()
            position, outcome = positions.pop(future.key), outcomes[future.key]
            if not isinstance(outcome, _Failure):
                results[position] = outcome
                progress.advance(1, note(outcome))
                continue
            failed = attempts.setdefault(position, [])
            if outcome.is_suspect and position not in alone:
                suspects.append(position)
                continue
            failed.append(outcome)
            if outcome.is_final or len(failed) == ATTEMPTS:
                failures[position] = _given_up(arguments[position], failed)
                progress.advance(1, "failed")
            else:
                try_again(position)
        if suspects and not positions:
            alone.add(suspects[-1])
            try_again(suspects.pop())
        if positions:
            time.sleep(_PAUSE_SECONDS)
    if failures:
        in_order = [failures[position] for position in sorted(failures)]
        raise TasksFailed(what, in_order, len(arguments))
    return [results[position] for position in range(len(arguments))]


def _guarded(function: Callable[[Any], Result], argument: Any) -> Result | _Failure:
    """Run a task; whatever goes wrong in it is a result, and the other tasks go on."""
    try:
        return function(argument)
    except Exception as error:  # noqa: BLE001 - the task boundary
        is_bad_input = isinstance(error, MinkgenError) and isinstance(error, ValueError)
        return _Failure(_one_line(error), traceback.format_exc(), is_final=is_bad_input)


def _outcomes(client: Client, ended: Sequence[Future]) -> dict[str, Any]:
    """Return results and failures of tasks by their keys, of those that have one.

    Raises
    ------
    ClusterError
        If nothing can become of a task any more.
    """
    status = {future.key: future.status for future in ended}
    gone = [key for key, each in status.items() if each == "cancelled"]
    if gone:
        raise _lost(gone[0], "cancelled")
    finished = {future.key: future for future in ended if status[future.key] == "finished"}
    try:
        outcomes: dict[str, Any] = client.gather(finished, errors="skip")
    except OSError as error:
        raise _lost("scheduler", error) from error
    failed = [future for future in ended if status[future.key] == "error"]
    return outcomes | {future.key: _failure_of(future) for future in failed}


def _failure_of(future: Future) -> _Failure:
    error = future.exception()
    if isinstance(error, KilledWorker):
        return _Failure(_one_line(error), "", is_suspect=True)
    return _Failure(_one_line(error), "".join(traceback.format_exception(error)))


def _lost(where: object, got: object) -> ClusterError:
    return ClusterError(
        "the cluster was lost",
        where=where,
        got=got,
        hint="see that its scheduler runs, and run the same command again; finished tasks are kept",
    )


def _one_line(error: BaseException) -> str:
    if isinstance(error, MinkgenError):
        return f"{type(error).__name__}: {error.one_line()}"
    first, *_ = f"{error}".splitlines() or [""]
    return f"{type(error).__name__}: {first}"


def _given_up(argument: Any, attempts: Sequence[_Failure]) -> FailedTask:
    return FailedTask(
        str(argument), tuple(attempt.message for attempt in attempts), attempts[-1].traceback
    )
