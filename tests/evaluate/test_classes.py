from __future__ import annotations

import numpy as np

from minkgen.evaluate.classes import (
    WET_CLASSES,
    merge_classes,
    statistics_by_class,
    wet_classes,
    whole,
)
from minkgen.evaluate.metrics import EmulatorStatistics

FUNCTIONALS = ("area", "perimeter_closed", "components")


def tiles_with(*wet_pixels):
    tiles = np.zeros((len(wet_pixels), 10, 10), np.float32)
    for tile, count in zip(tiles, wet_pixels, strict=True):
        tile.flat[:count] = 0.1
    return tiles


def test_a_class_holds_its_upper_edge():
    assert WET_CLASSES == ("0-2 %", "2-10 %", "10-30 %", "30-60 %", "60-100 %")
    found = wet_classes(tiles_with(1, 2, 3, 10, 11, 30, 60, 61, 100), 0.1)
    assert found.tolist() == [0, 0, 1, 1, 2, 2, 3, 4, 4]


def test_drizzle_is_compared_in_float32():
    # float32(0.7) lies below 0.7: a pixel at the threshold would be dry in float64.
    assert wet_classes(np.full((1, 2, 2), np.float32(0.7)), 0.7).tolist() == [4]


def test_classes_together_are_the_whole():
    rng = np.random.default_rng(0)
    target = rng.gamma(0.5, 1000.0, (40, 3, 4))
    predicted = target * rng.lognormal(0.0, 0.3, target.shape)
    classes = rng.integers(0, 5, 40)
    merged = {}
    for part in (slice(0, 3), slice(3, 4), slice(4, 40)):
        of_part = statistics_by_class(predicted[part], target[part], classes[part], FUNCTIONALS)
        merged = merge_classes(merged, of_part)
    assert list(merged) == list(WET_CLASSES)
    for number, name in enumerate(WET_CLASSES):
        direct = EmulatorStatistics.of(
            predicted[classes == number], target[classes == number], FUNCTIONALS
        )
        assert merged[name].log1p.count == direct.log1p.count
        np.testing.assert_allclose(merged[name].log1p.r2, direct.log1p.r2, rtol=1e-10)
        assert merged[name].predicted == direct.predicted
    together = whole(merged.values())
    direct = EmulatorStatistics.of(predicted, target, FUNCTIONALS)
    np.testing.assert_allclose(together.log1p.r2, direct.log1p.r2, rtol=1e-10)
    assert together.target == direct.target
