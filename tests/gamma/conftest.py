"""What the γ tests share: the comparison of the kernel with its slow twins."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from minkgen.gamma.functionals import FUNCTIONALS, UNITS
from minkgen.gamma.matrix import gamma_matrix, warm_up
from minkgen.gamma.oracle import diagrams, oracle_gamma
from minkgen.gamma.pairs import finite_pairs

Float32 = npt.NDArray[np.float32]
Check = Callable[..., None]

LENGTHS = [name for name in FUNCTIONALS if UNITS[name] == "km"]


@pytest.fixture(scope="session", autouse=True)
def _compile_once() -> None:
    """Keep the seconds of compilation out of every single test's time limit."""
    warm_up()


def _sorted_rows(pairs: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    return pairs[np.lexsort(pairs.T)]


@pytest.fixture(scope="session")
def assert_equals_oracle() -> Check:
    """Compare γ of one tile with GUDHI and scikit-image: counts exactly, lengths to 2e-6."""

    def check(field: Float32, thresholds: Float32, **settings: object) -> None:
        got = gamma_matrix(field, thresholds, **settings)  # type: ignore[call-overload]
        expected = oracle_gamma(field, thresholds, **settings)  # type: ignore[arg-type]
        for name, row, expected_row in zip(FUNCTIONALS, got, expected, strict=True):
            tolerance = 2e-6 if name in LENGTHS else 0.0
            np.testing.assert_allclose(row, expected_row, rtol=tolerance, atol=0, err_msg=name)

    return check


@pytest.fixture(scope="session")
def assert_pairs_equal_oracle() -> Check:
    """Compare the finite pairs of one tile with GUDHI's diagrams, exactly."""

    def check(field: Float32) -> None:
        cleaned = np.where(np.isfinite(field), field, np.float32(0.0))
        for got, diagram in zip(finite_pairs(field), diagrams(cleaned), strict=True):
            expected = diagram[np.isfinite(diagram[:, 1])]
            np.testing.assert_array_equal(_sorted_rows(got), _sorted_rows(expected))

    return check
