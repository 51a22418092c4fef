"""Batches that are read while others are trained on."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["read_ahead"]

# A reader inflates a thousand tiles at once; so many batches bridge that time.
DEPTH = 16

Batch = TypeVar("Batch")


def read_ahead(batches: Iterable[Batch], depth: int = DEPTH) -> Generator[Batch]:
    """Yield batches in their order, of which a thread reads some in advance.

    Parameters
    ----------
    batches : iterable
        Used by that thread alone; what it raises is raised here, after the batches before it.
    depth : int, optional
        How many are kept ready.

    Yields
    ------
    batch
    """
    iterator = iter(batches)
    with ThreadPoolExecutor(1, "read-ahead") as reader:
        waiting = deque(reader.submit(next, iterator, None) for _ in range(depth))
        try:
            while (batch := waiting.popleft().result()) is not None:
                waiting.append(reader.submit(next, iterator, None))
                yield batch
        finally:
            for future in waiting:
                future.cancel()
