from __future__ import annotations

import pytest
import torch
from torch import Tensor

from minkgen.learn.superres.flow import heun

MEAN, DEVIATION = 0.5, 0.2


def gaussian_velocity(mean: float, deviation: float):
    def velocity(x: Tensor, t: float) -> Tensor:
        variance = (1.0 - t) ** 2 + t**2 * deviation**2
        return mean + (t * deviation**2 - (1.0 - t)) / variance * (x - t * mean)

    return velocity


@pytest.mark.parametrize(("mean", "deviation"), [(0.5, 0.2), (0.0, 1.0), (-1.0, 2.0)])
def test_a(mean, deviation) -> None:
    start = torch.randn(1000, dtype=torch.float64)
    errors = [
        float(
            (heun(gaussian_velocity(mean, deviation), start, n) - mean - deviation * start)
            .square()
            .mean()
            .sqrt()
        )
        for n in (8, 16, 32, 64, 128)
    ]
    print(errors, [a / b for a, b in zip(errors, errors[1:])])
