"""The kernel compiled on every worker before its first task."""

from __future__ import annotations

import asyncio

from distributed import Client, Worker
from distributed.diagnostics.plugin import WorkerPlugin

from minkgen.gamma.warm_up import warm_up

__all__ = ["warm_up_workers"]


class _WarmUp(WorkerPlugin):  # type: ignore[misc] # distributed has no types
    """Compiles the kernel on a worker, or waits for the one that compiles it on the same node."""

    name = "minkgen-warm-up"

    async def setup(self, worker: Worker) -> None:
        # In a thread: the worker goes on answering meanwhile.
        await asyncio.to_thread(warm_up)


def warm_up_workers(client: Client) -> None:
    """Have each worker compile the kernel before it takes a task; those that come later, too.

    One process on each node compiles, and the others read from the cache what it has made.

    Parameters
    ----------
    client : distributed.Client
    """
    client.register_plugin(_WarmUp())
