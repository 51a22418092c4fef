"""The scores of super-resolution, on pairs of tiles and what networks put out for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minkgen.evaluate.superres.settings import ScoreSetting
from minkgen.evaluate.superres.statistics import FieldStatistics, field_statistics
from minkgen.workflows.bench.fields import TILES, Rain, network_like

__all__ = ["ScoreWays", "score_ways"]

_PAIRS = 128
_PIXEL_KM = 2.0
_FUNCTIONALS = ("area", "perimeter", "components")

Float32 = npt.NDArray[np.float32]


class ScoreWays(NamedTuple):
    """What is timed of the scores of one field, on one thread; γ is at hand.

    Attributes
    ----------
    setting : ScoreSetting
    pairs : ndarray of float32, shape (n, 2, size, size)
        Tiles, and the same smoothed and nowhere dry.
    """

    setting: ScoreSetting
    pairs: Float32

    def statistics(self, setting: ScoreSetting, pairs: Float32) -> FieldStatistics:
        """Return the statistics of pairs; what γ holds does not change the time."""
        gamma = np.zeros((len(pairs), len(setting.functionals), len(setting.thresholds)))
        return field_statistics(setting, pairs[:, 0], pairs[None, :, 1], gamma, gamma)

    def one_round(self) -> Iterator[tuple[str, partial[FieldStatistics], Float32]]:
        """Yield every quantity, what computes it, and on what."""
        for name, setting in (
            ("scores/fields", replace(self.setting, fss_windows=())),
            ("scores/with_fss", self.setting),
        ):
            yield name, partial(self.statistics, setting), self.pairs


def score_ways(rain: Rain) -> ScoreWays:
    """Return what is to be timed.

    Parameters
    ----------
    rain : Rain

    Returns
    -------
    ScoreWays
    """
    thresholds = tuple(float(threshold) for threshold in rain.thresholds)
    setting = ScoreSetting(
        _PIXEL_KM, thresholds, (1.0,) * len(thresholds), _FUNCTIONALS, TILES.drizzle_mm_h
    )
    tiles = rain.tiles[:_PAIRS]
    return ScoreWays(setting, np.stack([tiles, network_like(tiles)], axis=1))
