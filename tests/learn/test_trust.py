"""Trust coefficients: calibrated by the definition, falling with the error."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from minkgen.errors import InputError
from minkgen.learn.data import Batch
from minkgen.learn.losses import signed_log1p
from minkgen.learn.surrogate import GammaDefinition, Surrogate
from minkgen.learn.trust import Trust, calibrate_trust, squared_log_error


class Fixed(Surrogate):
    """Says the same of every tile, times the tile's first pixel."""

    def forward(self, rain_rate_BHW: Tensor) -> Tensor:
        return rain_rate_BHW[:, :1, :1] * torch.ones(len(self.functionals), self.thresholds.numel())


@pytest.fixture
def surrogate() -> Surrogate:
    return Fixed(GammaDefinition((0.5, 2.0), pixel_km=2.0), ("area", "perimeter", "components"))


def batch(values: list[float]) -> Batch:
    tiles = torch.tensor(values)[:, None, None].expand(-1, 4, 4)
    return Batch(tiles, torch.zeros(len(values), 3, 2))


def test_trust_is_least_at_the_90th_percentile_of_all_batches(surrogate: Surrogate) -> None:
    values = [float(value) for value in np.linspace(0.0, 10.0, 101)]
    trust = calibrate_trust(surrogate, [batch(values[:7]), batch(values[7:])], least_weight=0.05)
    # log1p(9)² is the error of the 91st of 101 samples; γ of all targets is 0.
    assert trust.error_p90 == pytest.approx(math.log1p(9.0) ** 2, rel=1e-5)
    errors = torch.tensor([0.0, trust.error_p90, 4 * trust.error_p90])
    assert trust.weights(errors).tolist() == pytest.approx([1.0, 0.05, 0.05**4])
    assert Trust.from_dict(trust.as_dict()) == trust


def test_the_error_is_a_mean_over_functionals_and_thresholds() -> None:
    random = torch.Generator().manual_seed(0)
    predicted, target = (5.0 * torch.randn(4, 3, 7, generator=random) for _ in range(2))
    expected = [
        (signed_log1p(one) - signed_log1p(other)).square().mean().item()
        for one, other in zip(predicted, target, strict=True)
    ]
    assert squared_log_error(predicted, target).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("batches", [[], [batch([0.0, 0.0])], [batch([math.nan, 1.0])]])
def test_without_an_error_there_is_nothing_to_calibrate_by(
    surrogate: Surrogate, batches: list[Batch]
) -> None:
    with pytest.raises(InputError, match="trust cannot be calibrated"):
        calibrate_trust(surrogate, batches, least_weight=0.05)
