from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from minkgen.learn.analytical.cells import weighted_sum
from minkgen.learn.analytical.euler import euler_weights
from minkgen.learn.analytical.morphology import closed, opened, persistent
from minkgen.learn.analytical.perimeter import central_differences, crofton_weights
from minkgen.learn.analytical.soft_sets import soft_set, step_centres, temperatures

SYMMETRIES = [(turns, flipped) for turns in range(4) for flipped in (False, True)]


def rates(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return rain on a grid of 0.5 mm/h, so that many neighbours are equal."""
    random = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=random) * 8.0).round() / 2.0


def moved(field: torch.Tensor, turns: int, flipped: bool) -> torch.Tensor:
    turned = torch.rot90(field, turns, (1, 2))
    return turned.flip(2) if flipped else turned


def memberships(rain: torch.Tensor) -> torch.Tensor:
    return soft_set(rain, torch.tensor(1.7), torch.tensor(0.6))


def test_weights_sum_what_the_formula_by_minima_does() -> None:
    rain = rates(4, 9, 13)
    s = memberships(rain)
    level, upright = torch.minimum(s[:, :, 1:], s[:, :, :-1]), torch.minimum(s[:, 1:], s[:, :-1])
    faces = torch.minimum(level[:, 1:], level[:, :-1])
    euler = s.sum((1, 2)) - level.sum((1, 2)) - upright.sum((1, 2)) + faces.sum((1, 2))
    torch.testing.assert_close(weighted_sum(s, euler_weights(rain)), euler)


@pytest.mark.parametrize("is_closed", [False, True])
def test_crofton_counts_differences_along_four_directions(is_closed: bool) -> None:
    rain = rates(3, 8, 11)
    s = memberships(rain)
    seen = torch.nn.functional.pad(s, (1, 1, 1, 1)) if is_closed else s
    length = torch.zeros(3)
    for first, second, distance in (
        (seen[:, :, 1:], seen[:, :, :-1], 1.0),
        (seen[:, 1:], seen[:, :-1], 1.0),
        (seen[:, 1:, 1:], seen[:, :-1, :-1], math.sqrt(2.0)),
        (seen[:, 1:, :-1], seen[:, :-1, 1:], math.sqrt(2.0)),
    ):
        length += math.pi / 8.0 / distance * (first - second).abs().sum((1, 2))
    torch.testing.assert_close(weighted_sum(s, crofton_weights(rain, closed=is_closed)), length)


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (2, 2)])
def test_lines_of_pixels_have_no_cells_across(shape: tuple[int, int]) -> None:
    wet = torch.ones(1, *shape)
    assert weighted_sum(wet, euler_weights(wet)).tolist() == [1.0]
    assert weighted_sum(wet, crofton_weights(wet, closed=False)).tolist() == [0.0]
    assert central_differences(wet, closed=False).tolist() == [0.0]


@pytest.mark.parametrize(("turns", "flipped"), SYMMETRIES)
def test_weights_turn_and_flip_with_the_tile(turns: int, flipped: bool) -> None:
    rain = rates(2, 7, 10)
    for weigh in (
        euler_weights,
        lambda field: crofton_weights(field, closed=True),
        lambda field: crofton_weights(field, closed=False),
    ):
        expected = moved(weigh(rain), turns, flipped)
        torch.testing.assert_close(weigh(moved(rain, turns, flipped)), expected)


def test_straight_borders_have_their_true_length() -> None:
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    square = (rows.sub(20).abs() < 8) & (columns.sub(20).abs() < 8)  # 15 a side
    diamond = rows.sub(20).abs() + columns.sub(20).abs() < 12.5
    for mask, length in ((square, 60.0), (diamond, 50.0 * math.sqrt(2.0))):
        measured = central_differences(mask[None].float(), closed=False).item()
        # Corners are cut; nothing else is lost.
        assert 0.0 < length - measured < 4.0
    half = (rows < 20)[None].float()
    assert central_differences(half, closed=False).item() == pytest.approx(40.0)
    assert central_differences(half, closed=True).item() == pytest.approx(120.0, abs=4.0)


def test_central_differences_by_hand() -> None:
    one = torch.zeros(1, 5, 5)
    one[0, 2, 2] = 1.0
    assert central_differences(one, closed=False).item() == pytest.approx(2.0)
    corner = torch.zeros(1, 5, 5)
    corner[0, 0, 0] = 1.0
    # Replicated, the corner is a block of 2 x 2 seen in its own quarter.
    assert central_differences(corner, closed=False).item() == pytest.approx(
        math.sqrt(0.5) + 2 * 0.5
    )
    assert central_differences(corner, closed=True).item() == pytest.approx(2.0)


def test_nothing_has_no_outline_and_a_finite_gradient() -> None:
    flat = torch.zeros(2, 6, 6, requires_grad=True)
    length = central_differences(flat, closed=True)
    length.sum().backward()
    assert length.tolist() == [0.0, 0.0]
    assert flat.grad is not None
    assert torch.isfinite(flat.grad).all()


@pytest.mark.parametrize("shape", [(1, 30), (17, 23)])
def test_filters_are_those_of_every_excursion_set(shape: tuple[int, int]) -> None:
    rain = rates(1, *shape, seed=3)
    field = rain[0].numpy()

    def pooled(values: np.ndarray, kinds: str, side: int) -> np.ndarray:
        for kind in kinds:
            pool = {"<": ndimage.minimum_filter, ">": ndimage.maximum_filter}[kind]
            values = pool(values, side, mode="nearest")
        return values

    for threshold in np.unique(field):
        mask = (field >= threshold).astype(np.uint8)
        above = float(threshold)
        np.testing.assert_array_equal(opened(rain)[0] >= above, pooled(mask, "<>", 3))
        np.testing.assert_array_equal(closed(rain)[0] >= above, pooled(mask, "><", 5))
        if above > 0.0:
            near = pooled((field >= above + 0.5).astype(np.uint8), ">", 15)
            np.testing.assert_array_equal(persistent(rain, 0.5)[0] >= above, mask & near)


def test_the_soft_set_is_a_step_in_the_limit() -> None:
    rain = torch.tensor([[[0.0, 0.99, 1.0, 1.01, 400.0]]])
    centre = step_centres(torch.tensor([1.0]))[0]
    for tau, tolerance in ((1e-3, 1e-2), (1e-4, 1e-7), (1e-12, 0.0)):
        soft = soft_set(rain, centre, torch.tensor(tau))
        expected = torch.tensor([[[0.0, 0.0, 1.0, 1.0, 1.0]]])
        torch.testing.assert_close(soft, expected, rtol=0.0, atol=tolerance)


@pytest.mark.parametrize("scale", [0.01, 1.0, 10.0])
def test_memberships_grow_with_rain_and_fall_with_the_threshold(scale: float) -> None:
    thresholds = torch.tensor([0.005, 0.03, 0.1, 0.123, 1.0, 8.0, 60.0], dtype=torch.float64)
    rain = torch.linspace(0.0, 100.0, 4001, dtype=torch.float64)[None, None]
    taus = scale * temperatures(thresholds, 0.1, 1e-3)
    soft = torch.stack(
        [soft_set(rain, *step)[0, 0] for step in zip(step_centres(thresholds), taus, strict=True)]
    )
    assert (soft.diff(dim=1) >= -1e-15).all()
    assert (soft.diff(dim=0) <= 1e-15).all()
    assert (soft[:, 0] == 0.0).all()
    assert soft.max() <= 1.0


def test_only_the_dry_share_of_the_sigmoid_is_taken_away() -> None:
    rain = torch.linspace(0.0, 4.0, 101, dtype=torch.float64)[None, None]
    centre, tau = torch.tensor(0.9), torch.tensor(0.4)
    sigmoid, dry = torch.sigmoid((rain - centre) / tau), torch.sigmoid(-centre / tau)
    torch.testing.assert_close(soft_set(rain, centre, tau), (sigmoid - dry) / (1.0 - dry))


def test_steps_lie_between_values_of_the_grid() -> None:
    on_grid = torch.arange(1, 50_000, dtype=torch.float64).div(100.0).float()
    centres = step_centres(on_grid).double()
    rounded = on_grid.double()
    assert ((centres > rounded - 0.0075) & (centres < rounded - 0.0025)).all()
    assert step_centres(torch.tensor([0.1234])).item() == pytest.approx(0.125)
