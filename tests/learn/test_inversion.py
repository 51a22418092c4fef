from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minkgen.errors import InputError, TrainingError
from minkgen.learn.inversion import InversionSettings, invert
from minkgen.learn.prediction import predict
from tests.learn.doubles import Blind, SigmoidArea

LOG_MAX = 4.0
SETTINGS = InversionSettings(steps=60, learning_rate=0.02)


def start(count: int = 2) -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).normal(0.05, 0.1, (count, 12, 12)).astype(np.float32)


def target_tiles() -> np.ndarray[Any, Any]:
    y, x = np.mgrid[:12, :12]
    cell = 20.0 * np.exp(-((y - 5.0) ** 2 + (x - 6.0) ** 2) / 18.0)
    return np.stack([cell, np.minimum(cell, 2.0)]).astype(np.float32)


def log_error(gamma: Any, target: Any) -> Any:
    return np.square(np.log1p(gamma) - np.log1p(target)).mean(axis=(1, 2))


def test_fields_reach_the_target() -> None:
    surrogate = SigmoidArea(temperature=0.3)
    target = predict(surrogate, target_tiles())
    found = invert(surrogate, target, start(), log_max=LOG_MAX, settings=SETTINGS)
    assert found.rain_rate.shape == (2, 12, 12)
    assert found.loss.shape == (60, 2)
    before = log_error(predict(surrogate, np.expm1(LOG_MAX * start())), target)
    after = log_error(predict(surrogate, found.rain_rate), target)
    assert (after < 0.05 * before).all()
    assert (found.loss[-1] < found.loss[0]).all()


def test_every_field_is_led_by_itself() -> None:
    surrogate = SigmoidArea(temperature=0.3)
    target = predict(surrogate, target_tiles())
    settings = InversionSettings(steps=5)
    both = invert(surrogate, target, start(), log_max=LOG_MAX, settings=settings)
    for number in range(2):
        alone = invert(
            surrogate,
            target[number : number + 1],
            start()[number : number + 1],
            log_max=LOG_MAX,
            settings=settings,
        )
        np.testing.assert_allclose(alone.rain_rate[0], both.rain_rate[number], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(alone.loss[:, 0], both.loss[:, number], rtol=1e-4)


def test_the_objective_is_the_papers_equation() -> None:
    z = start(1)
    target = np.full((1, 3, 5), 20.0)
    settings = InversionSettings(steps=1, total_variation=0.7, mean_square=0.3)
    loss = invert(Blind(), target, z, log_max=LOG_MAX, settings=settings).loss[0, 0]
    z = np.clip(z, 0.0, 1.0)
    variation = np.abs(np.diff(z[0], axis=0)).sum() + np.abs(np.diff(z[0], axis=1)).sum()
    expected = (np.log1p(100.0) - np.log1p(20.0)) ** 2
    expected += 0.7 * variation / 144 + 0.3 * np.square(z[0]).mean()
    assert loss == pytest.approx(expected, rel=1e-5)


def test_regularisers_alone_flatten_the_field() -> None:
    target = np.full((1, 3, 5), 100.0)
    settings = InversionSettings(steps=80, total_variation=1.0, mean_square=1.0)
    found = invert(Blind(), target, start(1), log_max=LOG_MAX, settings=settings)
    assert found.rain_rate.min() >= 0.0
    assert found.rain_rate.max() < 0.3 * np.expm1(LOG_MAX * start(1)).max()


def test_fields_stay_between_dry_and_the_largest_training_rate() -> None:
    surrogate = SigmoidArea(temperature=0.3)
    target = predict(surrogate, np.full((1, 12, 12), 1e3, np.float32))
    settings = InversionSettings(steps=40, learning_rate=0.2)
    found = invert(surrogate, target, start(1) - 0.2, log_max=1.5, settings=settings).rain_rate
    assert found.min() >= 0.0
    assert found.max() == pytest.approx(np.expm1(1.5))


def test_what_does_not_fit_or_diverges_is_refused() -> None:
    with pytest.raises(InputError, match="do not fit"):
        invert(Blind(), np.ones((1, 2, 5)), start(1), log_max=LOG_MAX, settings=SETTINGS)
    target = np.full((1, 3, 5), np.nan)
    with pytest.raises(TrainingError, match="not finite"):
        invert(Blind(), target, start(1), log_max=LOG_MAX, settings=SETTINGS)


def test_steps_are_reported() -> None:
    calls: list[int] = []
    settings = InversionSettings(steps=3)
    target = np.full((1, 3, 5), 100.0)
    invert(
        Blind(),
        target,
        start(1),
        log_max=LOG_MAX,
        settings=settings,
        before_step=calls.append,
    )
    assert calls == [0, 1, 2]
