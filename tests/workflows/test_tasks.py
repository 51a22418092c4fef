"""Tasks on a real local cluster: their order, and what becomes of those that fail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client

from minkgen.errors import TaskError, TasksFailed
from minkgen.gamma.kernel.batches import find_pairs, gamma_batch, map_weights
from minkgen.recipe import LocalProcesses
from minkgen.workflows.cluster import ATTEMPTS, open_client, run_tasks, warm_up_workers
from minkgen.workflows.progress import Silent
from tests.workflows.failures import Ending, ScriptedTask


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with open_client(LocalProcesses(workers=2)) as opened:
        yield opened


class Steps(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.notes += [note] * steps


def invert(number: int) -> float:
    return 1 / number


def test_results_come_in_the_order_of_the_arguments(client: Client) -> None:
    steps = Steps()
    results = run_tasks(client, invert, [4, 2, 1], steps, what="no inverse", note=str)
    assert results == [0.25, 0.5, 1.0]
    assert sorted(steps.notes) == ["0.25", "0.5", "1.0"]
    assert run_tasks(client, invert, [], steps, what="no inverse") == []


@pytest.mark.timeout(30)
def test_another_client_of_the_process_is_not_asked(client: Client) -> None:
    """One that was started later, and does nothing more."""
    freed, security = threading.Event(), client.security
    with Client(client.scheduler.address, security=security) as other:
        other.loop.add_callback(freed.wait, 60)
        try:
            assert run_tasks(client, invert, [4, 2], Silent(), what="no inverse") == [0.25, 0.5]
        finally:
            freed.set()


@pytest.mark.parametrize(
    ("endings", "calls"),
    [
        ((), 1),
        (("raises",), 2),
        (("loses its server", "raises"), 3),
        (("kills its worker", "raises"), 3),
    ],
)
def test_a_task_is_tried_again(
    client: Client, tmp_path: Path, endings: tuple[Ending, ...], calls: int
) -> None:
    task, steps = ScriptedTask(tmp_path, {"wet": endings}), Steps()
    results = run_tasks(client, task, ["dry", "wet"], steps, what="no word")
    assert results == ["dry done at attempt 1", f"wet done at attempt {calls}"]
    assert (task.calls("dry"), task.calls("wet")) == (1, calls)
    assert len(steps.notes) == 2


def test_a_task_that_fails_three_times_is_given_up_and_the_rest_goes_on(
    client: Client, tmp_path: Path
) -> None:
    task = ScriptedTask(tmp_path, {"wet": ("raises", "loses its server", "raises")})
    steps = Steps()
    with pytest.raises(TasksFailed, match="no word") as caught:
        run_tasks(client, task, ["dry", "wet", "hail"], steps, what="no word")
    assert [task.calls(word) for word in ("dry", "wet", "hail")] == [1, ATTEMPTS, 1]
    assert sorted(steps.notes) == ["", "", "failed"]
    (failed,) = caught.value.failures
    assert failed.inputs == "wet"
    assert failed.attempts == (
        "OSError: attempt 1 for wet",
        "TransferError: the server is away (where: wet)",
        "OSError: attempt 3 for wet",
    )
    assert 'raise OSError(f"attempt {attempt} for {word}\\nfailed")' in failed.traceback
    message = str(caught.value)
    assert isinstance(caught.value, TaskError)
    assert "1 of 3 tasks failed" in message
    assert "attempt 2: TransferError: the server is away" in message
    assert message.count("Traceback") == 1


def test_input_that_is_wrong_is_not_tried_again(client: Client, tmp_path: Path) -> None:
    script: dict[str, tuple[Ending, ...]] = {
        "dry": ("refuses its input",),
        "wet": ("raises", "refuses its input"),
    }
    task = ScriptedTask(tmp_path, script)
    with pytest.raises(TasksFailed) as caught:
        run_tasks(client, task, ["dry", "wet"], Steps(), what="no word")
    assert (task.calls("dry"), task.calls("wet")) == (1, 2)
    assert caught.value.failures[0].attempts == (
        "InputError: the word is wrong (where: dry; got: 1)",
    )
    assert len(caught.value.failures[1].attempts) == 2


def kernels_of_this_process(_: object) -> int:
    return sum(len(kernel.signatures) for kernel in (find_pairs, gamma_batch, map_weights))


def test_two_that_kill_their_workers_end_and_the_rest_is_done(tmp_path: Path) -> None:
    words = [f"word-{number}" for number in range(12)]
    always, once = words[3], words[5]
    script: dict[str, tuple[Ending, ...]] = {
        always: ("kills its worker",) * 9,
        once: ("kills its worker", "raises"),
    }
    task = ScriptedTask(tmp_path, script)
    with open_client(LocalProcesses(workers=2)) as two, pytest.raises(TasksFailed) as caught:
        run_tasks(two, task, words, Steps(), what="no word")
    assert [failed.inputs for failed in caught.value.failures] == [always]
    assert len(caught.value.failures[0].attempts) == ATTEMPTS
    # Its first death is not counted; it may have come with its neighbour's, before its first line.
    assert ATTEMPTS <= task.calls(always) <= ATTEMPTS + 1
    # One that was done may be done again: its result can be lost with the worker that holds it.
    assert all(task.calls(word) for word in words)


def test_a_task_that_kills_its_workers_fails_alone(tmp_path: Path) -> None:
    task = ScriptedTask(tmp_path, {"wet": ("kills its worker",) * 9})
    # One worker, so that all other tasks have to pass where this one ends it.
    with open_client(LocalProcesses(workers=1)) as one:
        warm_up_workers(one)
        with pytest.raises(TasksFailed) as caught:
            run_tasks(one, task, ["wet", "dry", "hail"], Steps(), what="no word")
        # The one that has come in its place was warm before its first task, too.
        assert run_tasks(one, kernels_of_this_process, [0], Steps(), what="not counted") == [3]
    (failed,) = caught.value.failures
    assert failed.inputs == "wet"
    assert failed.attempts[0].startswith("KilledWorker: ")
    assert [task.calls(word) for word in ("wet", "dry", "hail")] == [ATTEMPTS + 1, 1, 1]


def test_many_failures_are_counted_and_the_first_ones_shown(client: Client) -> None:
    with pytest.raises(TasksFailed) as caught:
        run_tasks(client, invert, [0] * 12, Steps(), what="no inverse")
    assert len(caught.value.failures) == 12
    assert "12 of 12 tasks failed" in str(caught.value)
    assert "and 2 more" in str(caught.value)
    assert str(caught.value).count("attempt 3: ZeroDivisionError") == 10


def kernels_compiled(_: object) -> int:
    """Return how many of the kernel's three entrances this process has, compiled or read."""
    from minkgen.gamma.kernel.batches import find_pairs, gamma_batch, map_weights

    return sum(len(kernel.signatures) for kernel in (find_pairs, gamma_batch, map_weights))
