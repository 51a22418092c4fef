"""Tiles of smooth blobs of rain on a 0.01 mm/h grid, some dry, and how they are scored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import gaussian_filter

from minkgen.evaluate.superres.settings import ScoreSetting
from minkgen.gamma.matrix import gamma_matrix

THRESHOLDS = (0.5, 1.0, 2.0, 5.0)
FUNCTIONALS = ("area", "perimeter", "components", "holes", "perimeter_closed")


def blobs(seed: int, shape: tuple[int, ...], deviation: float = 2.0) -> npt.NDArray[np.float32]:
    noise = np.random.default_rng(seed).standard_normal(shape)
    smooth = gaussian_filter(noise, (*[0.0] * (len(shape) - 2), deviation, deviation))
    smooth /= smooth.std()
    rain = np.where(smooth > 0.3, np.exp(1.5 * smooth) - 1.0, 0.0)
    return np.round(rain, 2).astype(np.float32)


@pytest.fixture(scope="session")
def setting() -> ScoreSetting:
    return ScoreSetting(2.0, THRESHOLDS, (0.1, 0.2, 0.3, 0.4), FUNCTIONALS)


@pytest.fixture(scope="session")
def truth() -> npt.NDArray[np.float32]:
    """Return (24, 32, 32); the first two are dry."""
    tiles = blobs(1, (24, 32, 32))
    tiles[:2] = 0.0
    return tiles


@pytest.fixture(scope="session")
def members(truth: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return (3, 24, 32, 32); the first and the last sample are dry in all of them."""
    noise = np.random.default_rng(2).lognormal(0.0, 0.4, (3, *truth.shape))
    drawn = np.asarray(noise * np.roll(truth, 2, axis=2), np.float32)
    drawn[:, 1] = blobs(3, (32, 32))
    drawn[:, -1] = 0.0
    return drawn


@pytest.fixture(scope="session")
def gammas(
    truth: npt.NDArray[np.float32], members: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return γ of truth and of member 0."""
    first, second = (
        np.asarray(
            gamma_matrix(
                np.where(tiles < np.float32(0.1), np.float32(0.0), tiles),
                THRESHOLDS,
                pixel_km=2.0,
                functionals=FUNCTIONALS,
            )
        )
        for tiles in (truth, members[0])
    )
    return first, second
