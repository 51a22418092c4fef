"""Slow twins of the kernel: every functional by GUDHI or scikit-image, threshold by threshold.

The twins share no code with the kernel. They take about 0.1 s for a rainy tile of 128 x 128 pixels
and 21 thresholds, four fifths of it for the contours, and are there for tests and for `verify`.
`reference_gamma` is the pipeline that the paper describes, for benchmarks. Nothing but `minkgen
bench` and `minkgen verify` imports this module: machines that train have neither GUDHI nor
scikit-image.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from gudhi import CubicalComplex
from gudhi.sklearn import CubicalPersistence
from skimage.measure import euler_number, find_contours, perimeter_crofton

from minkgen.errors import InputError
from minkgen.gamma.functionals import FUNCTIONALS, essential_ceiling

__all__ = [
    "ORACLES",
    "Oracle",
    "Settings",
    "complex_diagrams",
    "diagrams",
    "oracle_gamma",
    "reference_gamma",
]


class Settings(NamedTuple):
    """What a functional depends on besides field and threshold."""

    pixel_km: float
    min_persistence: tuple[float, float] = (0.0, 0.0)
    essential: str = "alive"


class Oracle(Protocol):
    """One functional of a cleaned float32 field (H, W) at all thresholds (Q,), float64."""

    def __call__(
        self,
        field: npt.NDArray[np.float32],
        thresholds: npt.NDArray[np.float32],
        settings: Settings,
    ) -> list[float]:
        """Compute the functional at every threshold."""
        ...


def diagrams(
    field: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Compute persistence diagrams of the superlevel filtration, by GUDHI's fast 2-D path.

    Parameters
    ----------
    field : ndarray of float32, shape (H, W)
        Finite values.

    Returns
    -------
    components, holes : ndarray of float64, shape (n, 2)
        Birth and death; the essential component dies at -inf. Lifetimes are nonzero.
    """
    cells = -field.astype(np.float64)
    complex_ = CubicalPersistence(homology_dimensions=[0, 1], input_type="top_dimensional_cells")
    components, holes = complex_.fit_transform([cells])[0]
    return -np.asarray(components), -np.asarray(holes)


def complex_diagrams(
    field: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Compute the same diagrams by GUDHI's general `CubicalComplex`, a hundred times slower.

    Parameters
    ----------
    field : ndarray of float32, shape (H, W)
        Finite values.

    Returns
    -------
    components, holes : ndarray of float64, shape (n, 2)
        As `diagrams`.
    """
    # Given as an array: GUDHI reads flat cells in Fortran order.
    complex_ = CubicalComplex(top_dimensional_cells=-field)
    complex_.compute_persistence()
    return (
        -complex_.persistence_intervals_in_dimension(0),
        -complex_.persistence_intervals_in_dimension(1),
    )


def _surviving(pairs: npt.NDArray[np.float64], u: np.float32, epsilon: float) -> int:
    births, deaths = pairs[:, 0], pairs[:, 1]
    return int(((births >= u) & (deaths < u) & (births - deaths > epsilon)).sum())


def area(
    field: npt.NDArray[np.float32], thresholds: npt.NDArray[np.float32], settings: Settings
) -> list[float]:
    """Count pixels with NumPy, in km2."""
    pixel_area = settings.pixel_km * settings.pixel_km
    return [int((field >= u).sum()) * pixel_area for u in thresholds]


def _contours_km(mask: npt.NDArray[np.bool_], pixel_km: float) -> float:
    if min(mask.shape) < 2:
        return 0.0  # find_contours needs 2x2 pixels; a line of pixels holds no block.
    contours = find_contours(mask.astype(np.float64), 0.5)
    steps = [np.hypot(*np.diff(contour, axis=0).T) for contour in contours]
    return float(sum(step.sum() for step in steps)) * pixel_km


def perimeter(
    field: npt.NDArray[np.float32], thresholds: npt.NDArray[np.float32], settings: Settings
) -> list[float]:
    """Measure scikit-image's contours, open at the frame, in km."""
    return [_contours_km(field >= u, settings.pixel_km) for u in thresholds]


def perimeter_closed(
    field: npt.NDArray[np.float32], thresholds: npt.NDArray[np.float32], settings: Settings
) -> list[float]:
    """Measure scikit-image's contours of the padded set, in km."""
    return [_contours_km(np.pad(field >= u, 1), settings.pixel_km) for u in thresholds]


def components(
    field: npt.NDArray[np.float32], thresholds: npt.NDArray[np.float32], settings: Settings
) -> list[float]:
    """Count GUDHI's 0-dimensional pairs above the floor, and the essential class."""
    pairs = diagrams(field)[0]
    finite = pairs[np.isfinite(pairs[:, 1])]
    ceiling = essential_ceiling(settings.essential)
    return [
        _surviving(finite, u, settings.min_persistence[0]) + int(field.max() >= u and u <= ceiling)
        for u in thresholds
    ]


def holes(
    field: npt.NDArray[np.float32], thresholds: npt.NDArray[np.float32], settings: Settings
) -> list[float]:
    """Count GUDHI's 1-dimensional pairs above the floor."""
    pairs = diagrams(field)[1]
    return [_surviving(pairs, u, settings.min_persistence[1]) for u in thresholds]


def crofton(
    field: npt.NDArray[np.float32], thresholds: npt.NDArray[np.float32], settings: Settings
) -> list[float]:
    """Estimate perimeters by scikit-image's Crofton formula in four directions, in km."""
    return [perimeter_crofton(field >= u, directions=4) * settings.pixel_km for u in thresholds]


def euler_4(
    field: npt.NDArray[np.float32], thresholds: npt.NDArray[np.float32], settings: Settings
) -> list[float]:
    """Euler characteristics with 4-connected rain, by scikit-image."""
    return [int(euler_number(field >= u, connectivity=1)) for u in thresholds]


def euler_8(
    field: npt.NDArray[np.float32], thresholds: npt.NDArray[np.float32], settings: Settings
) -> list[float]:
    """Euler characteristics with 8-connected rain, by scikit-image."""
    return [int(euler_number(field >= u, connectivity=2)) for u in thresholds]


ORACLES: dict[str, Oracle] = {
    "area": area,
    "perimeter": perimeter,
    "components": components,
    "holes": holes,
    "perimeter_closed": perimeter_closed,
    "perimeter_crofton": crofton,
    "euler_4": euler_4,
    "euler_8": euler_8,
}


def oracle_gamma(
    field: npt.NDArray[np.float32],
    thresholds: npt.NDArray[np.float32],
    *,
    pixel_km: float,
    min_persistence: tuple[float, float] = (0.0, 0.0),
    essential: str = "alive",
) -> npt.NDArray[np.float32]:
    """Compute the γ-matrix of one tile from the slow twins.

    Parameters
    ----------
    field : ndarray of float32, shape (H, W)
        Rain rate in mm/h; NaN and infinities count as 0.0.
    thresholds : ndarray of float32, shape (Q,)
        In mm/h.
    pixel_km : float
        Side of a pixel in km.
    min_persistence : tuple of float
        Persistence floors of components and of holes in mm/h.
    essential : {"alive", "background"}
        Where the essential component counts.

    Returns
    -------
    ndarray of float32, shape (8, Q)
        As `minkgen.gamma.matrix.gamma_matrix`; every number is computed in float64 first.

    Raises
    ------
    InputError
        If field or thresholds are not float32, or `essential` is unknown.

    Examples
    --------
    >>> rain = np.array([[0.0, 2.0, 0.0]], dtype=np.float32)
    >>> u = np.array([1.0, 3.0], dtype=np.float32)
    >>> oracle_gamma(rain, u, pixel_km=2.0)[0].tolist()
    [4.0, 0.0]
    """
    cleaned = _clean(field, thresholds)
    settings = Settings(pixel_km, min_persistence, essential)
    rows = [ORACLES[name](cleaned, thresholds, settings) for name in FUNCTIONALS]
    return np.array(rows, dtype=np.float64).astype(np.float32)


def reference_gamma(
    field: npt.NDArray[np.float32], thresholds: npt.NDArray[np.float32], *, pixel_km: float
) -> npt.NDArray[np.float32]:
    """Compute the paper's four functionals of one tile as its pipeline does, to be timed.

    One persistence computation by GUDHI's `CubicalComplex`; then, per threshold, the pixels, the
    contours of scikit-image, and the pairs that are alive.

    Parameters
    ----------
    field : ndarray of float32, shape (H, W)
        Rain rate in mm/h; NaN and infinities count as 0.0.
    thresholds : ndarray of float32, shape (Q,)
        In mm/h.
    pixel_km : float
        Side of a pixel in km.

    Returns
    -------
    ndarray of float32, shape (4, Q)
        Area, perimeter, components and holes, without persistence floors.

    Raises
    ------
    InputError
        If field or thresholds are not float32.

    Examples
    --------
    >>> rain = np.array([[3.0, 0.0, 2.0]], dtype=np.float32)
    >>> u = np.array([1.0, 3.0], dtype=np.float32)
    >>> reference_gamma(rain, u, pixel_km=2.0)[[0, 2]].tolist()
    [[8.0, 4.0], [2.0, 1.0]]
    """
    cleaned = _clean(field, thresholds)
    component_pairs, hole_pairs = complex_diagrams(cleaned)
    gamma = np.empty((4, thresholds.size), np.float32)
    for column, u in enumerate(thresholds):
        mask = cleaned >= u
        gamma[:, column] = (
            np.count_nonzero(mask) * (pixel_km * pixel_km),
            _contours_km(mask, pixel_km),
            _surviving(component_pairs, u, 0.0),
            _surviving(hole_pairs, u, 0.0),
        )
    return gamma


def _clean(
    field: npt.NDArray[np.float32], thresholds: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Refuse what is not float32 and return the field with 0.0 for what is missing."""
    if field.dtype != np.float32 or thresholds.dtype != np.float32:
        raise InputError(
            "the oracle compares float32 with float32",
            got=f"{field.dtype} field, {thresholds.dtype} thresholds",
            expected="float32 for both",
        )
    return np.where(np.isfinite(field), field, np.float32(0.0))
