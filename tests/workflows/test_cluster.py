"""Tasks on a real local cluster: order, failures, and who gets in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from distributed import Client
from distributed.security import Security

from minkgen.errors import TaskError
from minkgen.recipe import LocalProcesses
from minkgen.workflows.cluster import open_client, run_tasks
from minkgen.workflows.progress import Silent


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with open_client(LocalProcesses(workers=1)) as opened:
        yield opened


def invert(number: int) -> float:
    return 1 / number


class Steps(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.notes += [note] * steps


def test_results_come_in_the_order_of_the_arguments(client: Client) -> None:
    steps = Steps()
    results = run_tasks(client, invert, [4, 2, 1], steps, what="no inverse", note=str)
    assert results == [0.25, 0.5, 1.0]
    assert sorted(steps.notes) == ["0.25", "0.5", "1.0"]
    assert run_tasks(client, invert, [], steps, what="no inverse") == []


def test_a_failure_lets_the_others_finish_and_names_its_argument(client: Client) -> None:
    steps = Steps()
    with pytest.raises(TaskError, match="no inverse") as caught:
        run_tasks(client, invert, [1, 0, 2], steps, what="no inverse")
    assert len(steps.notes) == 3
    assert caught.value.where == 0
    assert "1 of 3 tasks failed" in str(caught.value.got)
    assert "ZeroDivisionError" in str(caught.value.got)


@pytest.mark.parametrize("protocol", ["plain", "another certificate"])
def test_nobody_without_the_key_gets_in(client: Client, protocol: str) -> None:
    address = client.scheduler.address
    assert address.startswith("tls://127.0.0.1:")

    async def knock() -> None:
        security = None if protocol == "plain" else Security.temporary()
        target = address.replace("tls://", "tcp://") if security is None else address
        async with Client(target, security=security, asynchronous=True, timeout="2s"):
            pass

    with pytest.raises(OSError, match=r"(?i)timed out|ssl|certificate|closed"):
        asyncio.run(knock())
