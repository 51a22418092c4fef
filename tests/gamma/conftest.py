"""What the γ tests share: the comparison of the kernel with its slow twins."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from minkgen.gamma.functionals import FUNCTIONALS, UNITS
from minkgen.gamma.matrix import gamma_matrix
from minkgen.gamma.oracle import Settings, diagrams, oracle_gamma
from minkgen.gamma.pairs import persistence_pairs
from minkgen.gamma.weights import weight_maps
from tests.gamma.twins import TWINS

Float32 = npt.NDArray[np.float32]
Check = Callable[..., None]

# Lengths only; everything else is equal to the last bit.
TOLERANCE = {name: 2e-6 if unit == "km" else 0.0 for name, unit in UNITS.items()}


def _cleaned(field: Float32) -> Float32:
    # Adding zero turns -0.0 into 0.0.
    return np.where(np.isfinite(field), field, np.float32(0.0)) + np.float32(0.0)


@pytest.fixture(scope="session")
def cleaned() -> Callable[[Float32], Float32]:
    """Return the function that makes of a field what γ takes it for: missing is 0.0."""
    return _cleaned


@pytest.fixture(scope="session")
def assert_equals_twins() -> Check:
    """Compare γ of one tile with all twins that serve: exactly, lengths to 2e-6."""

    def check(field: Float32, thresholds: Float32, settings: Settings) -> None:
        gamma = gamma_matrix(field, thresholds, **settings._asdict())
        for twin in TWINS:
            if twin.serves(field, thresholds, settings):
                expected = np.array(twin.compute(_cleaned(field), thresholds, settings), np.float64)
                np.testing.assert_allclose(
                    gamma[FUNCTIONALS.index(twin.functional)],
                    expected.astype(np.float32),
                    rtol=TOLERANCE[twin.functional],
                    atol=0,
                    err_msg=twin.name,
                )

    return check


@pytest.fixture(scope="session")
def assert_equals_oracle() -> Check:
    """Compare γ of one tile with GUDHI and scikit-image: exactly, lengths to 2e-6."""

    def check(field: Float32, thresholds: Float32, **settings: object) -> None:
        got = gamma_matrix(field, thresholds, **settings)  # type: ignore[call-overload]
        expected = oracle_gamma(field, thresholds, **settings)  # type: ignore[arg-type]
        for name, row, expected_row in zip(FUNCTIONALS, got, expected, strict=True):
            np.testing.assert_allclose(
                row, expected_row, rtol=TOLERANCE[name], atol=0, err_msg=name
            )

    return check


def _sorted_rows(*columns: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    rows = np.stack(columns, axis=-1).astype(np.float64)
    return rows[np.lexsort(rows.T)]


@pytest.fixture(scope="session")
def assert_pairs_equal_oracle() -> Check:
    """Compare the pairs of one tile, the essential one with them, with GUDHI's diagrams."""

    def check(field: Float32) -> None:
        pairs = persistence_pairs(field)
        for dimension, diagram in enumerate(diagrams(_cleaned(field))):
            chosen = pairs.dimension == dimension
            np.testing.assert_array_equal(
                _sorted_rows(pairs.birth[chosen], pairs.death[chosen]), _sorted_rows(*diagram.T)
            )

    return check


@pytest.fixture(scope="session")
def assert_weights_sum_to_gamma() -> Check:
    """Compare sums over weight maps with γ: exactly but for the rounding of γ and of weights."""
    units = np.array([UNITS[name] for name in FUNCTIONALS])

    def check(field: Float32, thresholds: Float32, settings: Settings) -> None:
        options = {"pixel_km": settings.pixel_km, "min_persistence": settings.min_persistence}
        maps = weight_maps(field, **options)  # type: ignore[call-overload]
        assert maps.shape == (len(FUNCTIONALS), *field.shape)
        assert maps.dtype == np.float32
        gamma = gamma_matrix(field, thresholds, **options)  # type: ignore[call-overload]
        # Weights are rounded to float32 one by one: their sum is off by up to half a unit in the
        # last place of each, also where it cancels to zero.
        rounding = np.abs(maps) * 2.0**-24
        for u, expected in zip(thresholds, gamma.T, strict=True):
            wet = _cleaned(field) >= u
            sums, allowance = (x[:, wet].sum(axis=1, dtype=np.float64) for x in (maps, rounding))
            allowance[units == "1"] = 0
            allowance[units == "km"] += 2e-6 * expected[units == "km"]
            allowance[units == "km2"] += 2.0**-24 * expected[units == "km2"]
            off = np.abs(sums - expected)
            assert (off <= allowance).all(), f"at {u}: off by {off}, allowed {allowance}"

    return check
