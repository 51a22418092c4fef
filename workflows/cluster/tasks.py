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
    """

    message: str
    traceback: str
    is_final: bool


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

    A task that raises is tried again, three times in all, after the tasks that wait. Two kinds of
    failures are not tried again: errors of minkgen that stand for bad input (those that are
    `ValueError`, too), because the same input fails again; and tasks whose workers were killed,
    because Dask has tried them several times already. A task that failed for good does not stop
    the others; when all have ended, the failures are raised.

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
    failures: dict[int, FailedTask] = {}
    results: dict[int, Result] = {}
    # Not on the default loop, which is that of the client that this process has started last.
    ended = as_completed(futures, loop=client.loop)
    for batch in ended.batches():
        for future, outcome in zip(batch, _outcomes(client, batch), strict=True):
            position = positions.pop(future.key)
            if not isinstance(outcome, _Failure):
                results[position] = outcome
                progress.advance(1, note(outcome))
                continue
            failed = attempts.setdefault(position, [])
            failed.append(outcome)
            if outcome.is_final or len(failed) == ATTEMPTS:
                failures[position] = _given_up(arguments[position], failed)
                progress.advance(1, "failed")
            else:
                again = client.submit(
                    _guarded, function, arguments[position], pure=False, priority=-len(failed)
                )
                positions[again.key] = position
                ended.add(again)
        for future in batch:
            future.release()
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


def _outcomes(client: Client, ended: Sequence[Future]) -> list[Any]:
    """Return the results of tasks, or what became of them where Dask could not bring any.

    Raises
    ------
    ClusterError
        If nothing can become of a task any more.
    """
    finished = {place: future for place, future in enumerate(ended) if future.status == "finished"}
    try:
        # One that was lost with its worker is computed again, and may fail then: it is None.
        values = client.gather(finished, errors="skip")
    except OSError as error:
        raise _lost("scheduler", error) from error
    return [_outcome_of(future, values.get(place)) for place, future in enumerate(ended)]


def _outcome_of(future: Future, value: Any) -> Any:
    if future.status == "finished":
        return value
    if future.status == "error":
        error = future.exception()
        is_killed = isinstance(error, KilledWorker)
        lines = "" if is_killed else "".join(traceback.format_exception(error))
        return _Failure(_one_line(error), lines, is_final=is_killed)
    raise _lost(future.key, future.status)


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
