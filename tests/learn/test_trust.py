"""Trust coefficients: calibrated by the definition, falling with the error."""

from __future__ import annotations

import math

import pytest
import torch

from minkgen.errors import InputError
from minkgen.learn.losses import signed_log1p
from minkgen.learn.trust import Trust, squared_log_error


def test_trust_falls_from_1_to_the_least_weight_at_the_percentile() -> None:
    trust = Trust.calibrated(2.5, least_weight=0.05)
    assert trust.kappa == pytest.approx(-math.log(0.05) / 2.5)
    weights = trust.weights(torch.tensor([0.0, 2.5, 10.0]))
    assert weights.tolist() == pytest.approx([1.0, 0.05, 0.05**4])


def test_the_error_is_a_mean_over_functionals_and_thresholds() -> None:
    random = torch.Generator().manual_seed(0)
    predicted, target = (5.0 * torch.randn(4, 3, 7, generator=random) for _ in range(2))
    expected = [
        (signed_log1p(one) - signed_log1p(other)).square().mean().item()
        for one, other in zip(predicted, target, strict=True)
    ]
    assert squared_log_error(predicted, target).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("error", "weight"), [(0.0, 0.05), (math.nan, 0.05), (math.inf, 0.05), (1.0, 0.0), (1.0, 1.0)]
)
def test_without_an_error_or_a_weight_there_is_no_trust(error: float, weight: float) -> None:
    with pytest.raises(InputError, match="trust cannot be calibrated"):
        Trust.calibrated(error, least_weight=weight)
