"""The order of an epoch, without a store: where samples lie is all that it is made from."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from minkgen.learn.data.order import EpochOrder, epoch_order, even_bounds, stratified_order

Layout = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


def layout(tiles_of_frame: list[int], wet: np.ndarray[Any, Any] | None = None) -> Layout:
    """Return chunks and frames of the samples of a split in which some rows may be dry."""
    frames = np.repeat(60 * np.arange(len(tiles_of_frame)), tiles_of_frame)
    chunks = np.arange(len(frames)) // 16
    return (chunks, frames) if wet is None else (chunks[wet], frames[wet])


def parts(order: EpochOrder) -> list[np.ndarray[Any, Any]]:
    return np.split(order.samples, order.buffers[1:-1])


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Draw up to 200 frames of very different sizes, in up to some 600 chunks."""
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    mean = draw(st.sampled_from([1, 5, 20, 50]))
    sizes = 1 + random.geometric(1 / mean, draw(st.integers(1, 200)))
    wet = random.random(sizes.sum()) < draw(st.sampled_from([0.05, 0.5, 0.9, 1.0]))
    wet[random.integers(len(wet))] = True
    return layout(sizes.tolist(), wet)


@given(layouts(), st.integers(0, 5))
@settings(deadline=None, max_examples=100)
def test_buffers_share_all_samples_and_hold_whole_chunks_of_many_frames(
    drawn: Layout, epoch: int
) -> None:
    chunks, frames = drawn
    order = epoch_order(chunks, frames, seed=3, epoch=epoch)
    assert sorted(order.samples.tolist()) == list(range(len(chunks)))
    assert order.buffers[0] == 0
    assert order.buffers[-1] == len(chunks)
    seen: set[int] = set()
    for buffer in parts(order):
        held = set(chunks[buffer].tolist())
        assert not held & seen
        seen |= held
        assert len(held) >= min(64, len(np.unique(chunks)))
        assert len(np.unique(frames[buffer])) >= min(64, len(np.unique(frames)))


def test_buffers_are_no_larger_than_they_must_be() -> None:
    # Of 64 frames with 15 chunks each: the least buffer that has all frames is one chunk of each.
    # Drawn at random, it would take some 300 chunks to meet all frames.
    chunks, frames = layout([240] * 64)
    sizes = [len(buffer) for buffer in parts(epoch_order(chunks, frames, seed=0, epoch=1))]
    assert sizes == [64 * 16] * 15


def test_samples_are_shuffled_within_and_chunks_between_buffers() -> None:
    chunks, frames = layout([100] * 500)
    order = epoch_order(chunks, frames, seed=0, epoch=1)
    for numbers in (order.samples, order.samples[:1024]):
        assert abs(np.corrcoef(numbers, np.arange(len(numbers)))[0, 1]) < 0.1
    # A batch of 64 of some 1024 samples meets about 40 of 64 chunks.
    assert len(np.unique(chunks[order.samples[:64]])) > 30


def test_the_order_follows_from_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> tuple[int, ...]:
        np.random.default_rng().random()
        return tuple(epoch_order(*layout([30] * 100), seed=seed, epoch=epoch).samples.tolist())

    assert order(5, 2) == order(5, 2)
    assert len({order(*key) for key in ((5, 1), (5, 2), (6, 1), (1, 5))}) == 4


@given(st.integers(0, 1000), st.integers(1, 60))
def test_even_parts_differ_by_one_at_most(count: int, number: int) -> None:
    bounds = even_bounds(count, number)
    assert (bounds[0], bounds[-1], len(bounds)) == (0, count, number + 1)
    assert np.ptp(np.diff(bounds)) <= 1


@given(layouts(), st.floats(0.0, 1.0), st.integers(0, 5))
@settings(deadline=None, max_examples=50)
def test_dry_samples_stand_at_even_distances_among_all_wet_ones(
    drawn: Layout, share: float, epoch: int
) -> None:
    chunks, frames = drawn
    wet = np.random.default_rng(len(chunks)).random(len(chunks)) < 0.6
    wet[-1] = True
    dry = int(share * np.count_nonzero(~wet))
    order = stratified_order(chunks, frames, wet, dry=dry, seed=3, epoch=epoch)
    assert len(set(order.samples.tolist())) == len(order.samples) == np.count_nonzero(wet) + dry
    is_dry = ~wet[order.samples]
    even = dry / len(is_dry) * np.arange(len(is_dry) + 1)
    assert np.abs(np.cumsum([0, *is_dry]) - even).max() <= 1.0
    of_wet = epoch_order(chunks[wet], frames[wet], seed=3, epoch=epoch)
    assert order.samples[~is_dry].tolist() == np.flatnonzero(wet)[of_wet.samples].tolist()
    held = [np.count_nonzero(wet[buffer]) for buffer in parts(order)]
    assert held == [len(buffer) for buffer in parts(of_wet)]


def test_other_dry_samples_come_in_another_epoch() -> None:
    wet = np.arange(3000) % 3 != 0

    def drawn(seed: int, epoch: int) -> frozenset[int]:
        order = stratified_order(*layout([30] * 100), wet, dry=100, seed=seed, epoch=epoch)
        return frozenset(order.samples[~wet[order.samples]].tolist())

    assert drawn(5, 2) == drawn(5, 2)
    assert len({drawn(*key) for key in ((5, 1), (5, 2), (6, 1))}) == 3
