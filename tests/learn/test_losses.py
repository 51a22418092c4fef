from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from minkgen.evaluate.metrics import signed_log1p as numpy_signed_log1p
from minkgen.learn.losses import HomoscedasticWeights, minkowski_terms, signed_log1p


def test_terms_by_hand() -> None:
    unit = math.e - 1.0  # log1p of it is 1
    predicted = torch.tensor([[[unit, 0.0], [0.0, 0.0]], [[0.0, unit], [unit, unit]]])
    target = torch.zeros_like(predicted)
    terms = minkowski_terms(predicted, target, torch.tensor([1.0, 10.0]))
    assert terms.tolist() == pytest.approx([(1.0 + 10.0) / 2, (0.0 + 11.0) / 2])


def test_training_and_evaluation_compare_in_one_transform() -> None:
    values = torch.tensor([-200.0, -1.0, 0.0, 1e-3, 4.0, 65536.0], dtype=torch.float64)
    np.testing.assert_allclose(signed_log1p(values).numpy(), numpy_signed_log1p(values.numpy()))


def test_the_loss_pulls_a_prediction_towards_its_target() -> None:
    predicted = torch.tensor([[[5.0, 1.0]]], requires_grad=True)
    target = torch.tensor([[[2.0, 3.0]]])
    minkowski_terms(predicted, target, torch.ones(2)).sum().backward()
    assert predicted.grad is not None
    assert predicted.grad[0, 0].tolist() == pytest.approx([1 / 6.0, -1 / 2.0])


def test_learned_weights_settle_at_the_inverse_of_each_error() -> None:
    errors = torch.tensor([0.5, 2.0, 0.125])
    settled = HomoscedasticWeights(errors)
    settled(errors).backward()
    assert settled.log_scales.grad is not None
    assert settled.log_scales.grad.tolist() == pytest.approx([0.0, 0.0, 0.0], abs=1e-6)
    assert settled.weights.tolist() == pytest.approx([2.0, 0.5, 8.0])
    assert settled(errors).item() == pytest.approx((1.0 + errors.log()).sum().item())
    doubled = HomoscedasticWeights(2.0 * errors)
    assert doubled(errors).item() > settled(errors).item()
