"""Reading ahead changes neither the batches nor what is raised, and leaves no thread behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from minkgen.learn.data import Batch
from minkgen.learn.training.ahead import read_ahead


def numbered(count: int, read: list[int]) -> Iterator[Batch]:
    for number in range(count):
        read.append(number)
        yield Batch(torch.tensor([number]), torch.tensor([number]))


def test_all_batches_come_in_their_order() -> None:
    for count in (0, 1, 3, 20):
        batches = read_ahead(numbered(count, []), depth=3)
        assert [int(batch.gamma) for batch in batches] == list(range(count))


def test_no_more_is_read_than_was_asked_for_and_no_thread_stays() -> None:
    before, read = threading.active_count(), list[int]()
    batches = read_ahead(numbered(1000, read), depth=3)
    assert int(next(batches).gamma) == 0
    assert threading.active_count() == before + 1
    batches.close()
    assert threading.active_count() == before
    assert len(read) <= 4


def test_the_next_batches_are_read_while_one_is_used() -> None:
    reached = threading.Event()

    def watched() -> Iterator[Batch]:
        yield from numbered(2, [])
        reached.set()
        yield from numbered(2, [])

    batches = read_ahead(watched(), depth=3)
    next(batches)
    assert reached.wait(30), "nobody reads while the first batch is used"
    assert len(list(batches)) == 3


def test_what_reading_raises_comes_after_the_batches_before_it() -> None:
    def broken() -> Iterator[Batch]:
        yield from numbered(2, [])
        raise OSError("the disk is gone")

    batches = read_ahead(broken(), depth=8)
    assert [int(next(batches).gamma) for _ in range(2)] == [0, 1]
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)
