"""Predictions: which noise a batch meets, what is refused, what is timed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from minkgen.errors import InputError, TrainingError
from minkgen.learn.superres.data import scenes_in_order
from minkgen.learn.superres.interpolation import Interpolation
from minkgen.learn.superres.model import Scene, SuperResolver
from minkgen.learn.superres.prediction import Prediction, hardware, predict, sampling_speed
from minkgen.recipe import SuperResolution
from minkgen.store.snapshot import Snapshot

# The snapshots of these tests have no terrain.
pytestmark = pytest.mark.filterwarnings("ignore:the store has no terrain")


class Noise(SuperResolver):
    """A generative model of which the fields are the noise that it was given."""

    is_generative = True
    sampling_steps = 3

    def sample(
        self, scene: Scene, *, members: int = 1, generator: torch.Generator | None = None
    ) -> Tensor:
        return torch.rand((members, *scene.low.shape), generator=generator).to(scene.low.device)


def scenes(snapshot: Snapshot, batch_size: int = 16) -> Any:
    store = snapshot.path.parent.parent
    return scenes_in_order(snapshot, store, SuperResolution(), "test", ("area",), batch_size)


def made(model: SuperResolver, given: Iterable[Any], **choices: Any) -> list[Prediction]:
    return list(predict(model.eval(), given, **choices))


def test_interpolation_is_the_low_resolution_whatever_the_batches(snapshot: Snapshot) -> None:
    model = Interpolation(snapshot.log_max)
    for batch_size in (16, 7):
        found = made(model, scenes(snapshot, batch_size), members=4)
        for one in found:  # members would be alike: there is one
            np.testing.assert_array_equal(one.rain_rate, one.batch.scene.low[None])
        assert np.concatenate([one.rows for one in found]).tolist() == list(range(40))
    some = next(iter(scenes(snapshot)))[1].scene
    assert torch.equal(model.sample(some, members=2), torch.stack([some.low, some.low]))


def test_noise_depends_on_seed_and_first_row_alone(snapshot: Snapshot) -> None:
    model = Noise(snapshot.log_max)
    every = made(model, scenes(snapshot), members=3, seed=5)
    assert [one.rain_rate.shape for one in every] == [(3, n, 32, 32) for n in (16, 16, 8)]
    torch.rand(())
    (alone,) = made(model, list(scenes(snapshot))[1:2], members=3, seed=5)
    np.testing.assert_array_equal(alone.rain_rate, every[1].rain_rate)
    (other,) = made(model, list(scenes(snapshot))[1:2], members=3, seed=6)
    fields = {field.tobytes() for one in (*every[:2], other) for field in one.rain_rate}
    assert len(fields) == 9  # no batch, no member and no seed is like another


def test_a_caller_that_draws_between_batches_changes_nothing(snapshot: Snapshot) -> None:
    model = Noise(snapshot.log_max).eval()
    undisturbed = [one.rain_rate.tobytes() for one in made(model, scenes(snapshot))]
    disturbed, state = [], torch.get_rng_state()
    for one in predict(model, scenes(snapshot)):
        assert torch.equal(torch.get_rng_state(), state)
        torch.rand(3)
        state = torch.get_rng_state()
        disturbed.append(one.rain_rate.tobytes())
    assert disturbed == undisturbed


def test_a_model_in_training_mode_is_refused(snapshot: Snapshot) -> None:
    with pytest.raises(InputError, match=r"training mode(.|\n)*model\.eval\(\)"):
        next(predict(Noise(snapshot.log_max).train(), scenes(snapshot)))


def test_fields_that_are_not_finite_are_refused(
    make_snapshot: Callable[..., Snapshot],
) -> None:
    """An infinite pixel in the last tile but one of 40, which becomes NaN in the mean."""
    damaged = make_snapshot({"train": 20, "validation": 20}, infinite_pixels=("test",))
    given = predict(Interpolation(damaged.log_max).eval(), scenes(damaged))
    assert len([next(given), next(given)]) == 2
    with pytest.raises(TrainingError, match=r"not finite(.|\n)*row 38(.|\n)*1 of 8 samples"):
        next(given)


def test_speed_is_that_of_the_median_batch(snapshot: Snapshot) -> None:
    model = Noise(snapshot.log_max)
    found = made(model, scenes(snapshot), members=2)
    assert min(one.seconds for one in found) > 0.0
    speed = sampling_speed(3, hardware(), [32, 32, 16], [4.0, 1.0, 0.25])
    assert (speed.fields_per_second, speed.steps, speed.threads) == (32.0, 3, 1)
    assert speed.device == ("cuda" if torch.cuda.is_available() else "cpu")
