"""Directional derivatives against finite differences and pencil and paper."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from minkgen.errors import InputError
from minkgen.learn.emulators import EmulatorDesign, EmulatorNetwork
from minkgen.learn.fidelity import attribution, directional_derivatives
from minkgen.learn.prediction import measure_throughput, predict
from minkgen.recipe import Architecture
from tests.learn.doubles import DEFINITION, Blind, SigmoidArea


def tiles(count: int = 3, size: int = 16, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).gamma(0.5, 2.0, (count, size, size)).astype(np.float32)


def directions(count: int = 2) -> np.ndarray[Any, np.dtype[np.float32]]:
    shape = (3, count, 16, 16)
    return np.random.default_rng(5).standard_normal(shape).astype(np.float32)


def network(architecture: Architecture) -> EmulatorNetwork:
    torch.manual_seed(0)
    design = EmulatorDesign(DEFINITION, architecture, "perimeter", (8, 16), 8, 5.0, 16)
    return EmulatorNetwork(design).requires_grad_(False).eval()


@pytest.mark.parametrize(
    "make",
    [SigmoidArea, partial(network, "lip-cnn-constrained"), partial(network, "cnn")],
    ids=["sigmoids", "lip-cnn-constrained", "cnn"],
)
def test_derivatives_are_differences_of_the_surrogate_in_double_precision(make: Any) -> None:
    surrogate, rain_rate, vectors = make(), tiles() + np.float32(0.2), directions()  # no drizzle
    double = copy.deepcopy(surrogate).double()
    got = directional_derivatives(surrogate, rain_rate, vectors)
    assert got.shape == (3, 2, 3, 5)
    middle, step = torch.from_numpy(rain_rate).double(), 1e-6
    for number in range(2):
        vector = torch.from_numpy(vectors[:, number]).double()
        with torch.no_grad():
            expected = (double(middle + step * vector) - double(middle - step * vector)) / 2e-6
        scale = expected.abs().amax(dim=(0, 2), keepdim=True).numpy() + 1e-30
        np.testing.assert_allclose(got[:, number] / scale, expected.numpy() / scale, atol=1e-3)


def test_a_steep_sigmoid_has_the_derivative_of_its_formula() -> None:
    surrogate = SigmoidArea()
    rain_rate = np.full((1, 4, 4), 1.0, np.float32)  # at the middle of the third sigmoid
    got = directional_derivatives(surrogate, rain_rate, np.ones((1, 1, 4, 4), np.float32))
    assert got[0, 0, 0, 2] == pytest.approx(16 * 4.0 * 0.25 / (0.1 * 1.0), rel=1e-5)


def test_what_depends_on_nothing_has_no_derivative_and_no_attribution() -> None:
    assert not directional_derivatives(Blind(), tiles(), directions()).any()
    assert not attribution(Blind(), tiles()).any()


def test_attribution_is_where_the_thresholds_are() -> None:
    rain_rate = np.full((1, 4, 4), 1.7, np.float32)  # far from every threshold
    rain_rate[0, 1, 2] = 3.0
    found = attribution(SigmoidArea(temperature=0.01), rain_rate)[0]
    assert np.unravel_index(found.argmax(), found.shape) == (1, 2)
    assert found[1, 2] > 1e3 * np.delete(found.ravel(), 6).max()


def test_a_surrogate_in_training_mode_is_refused() -> None:
    for call in (predict, attribution):
        with pytest.raises(InputError, match="in training mode"):
            call(SigmoidArea().train(), tiles())


def test_throughput_says_what_was_timed() -> None:
    timed = measure_throughput(SigmoidArea(), tiles(count=2))
    assert timed.forward > 0
    assert timed.forward_backward > 0
    assert (timed.batch, timed.threads, timed.device) == (2, torch.get_num_threads(), "cpu")
