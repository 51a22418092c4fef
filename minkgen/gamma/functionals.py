"""The functionals of the γ-matrix: names in the order of its axis, units, essential class.

This module compiles nothing, so that names and units can be had at no cost.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from minkgen.errors import InputError

__all__ = ["FUNCTIONALS", "UNITS", "essential_ceiling", "rows_of"]

# The order is part of every stored γ-matrix: the paper's four first, then the others.
FUNCTIONALS: tuple[str, ...] = (
    "area",
    "perimeter",
    "components",
    "holes",
    "perimeter_closed",
    "perimeter_crofton",
    "euler_4",
    "euler_8",
)

UNITS: dict[str, str] = {
    "area": "km2",
    "perimeter": "km",
    "components": "1",
    "holes": "1",
    "perimeter_closed": "km",
    "perimeter_crofton": "km",
    "euler_4": "1",
    "euler_8": "1",
}

_ESSENTIAL_CEILINGS = {"alive": np.float32(np.inf), "background": np.float32(0.01)}


def essential_ceiling(essential: str) -> np.float32:
    """Return the highest threshold at which the essential component counts, in mm/h.

    Parameters
    ----------
    essential : {"alive", "background"}
        "alive" counts it wherever max(x) >= u (Proposition 1 of the paper); "background" only
        where u <= 0.01 mm/h besides (the paper's text).

    Returns
    -------
    float32
        Infinity, or 0.01.

    Raises
    ------
    InputError
        If `essential` is neither.

    Examples
    --------
    >>> float(essential_ceiling("alive"))
    inf
    """
    if essential not in _ESSENTIAL_CEILINGS:
        raise InputError(
            "the essential class is counted in an unknown way",
            where="essential",
            got=repr(essential),
            expected=" or ".join(map(repr, _ESSENTIAL_CEILINGS)),
        )
    return _ESSENTIAL_CEILINGS[essential]


def rows_of(functionals: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the rows of the γ-matrix that hold some functionals.

    Parameters
    ----------
    functionals : sequence of str
        Names from `FUNCTIONALS`, each at most once, in any order.

    Returns
    -------
    ndarray of int64, shape (F,)
        Their places in `FUNCTIONALS`.

    Raises
    ------
    InputError
        If there is none, or one is unknown or given twice.

    Examples
    --------
    >>> rows_of(["holes", "area"])
    array([3, 0])
    """
    if isinstance(functionals, str) or len(functionals) == 0:
        raise InputError(
            "functionals are given as a list of names",
            where="functionals",
            got=repr(functionals),
            hint=f"give [{FUNCTIONALS[0]!r}], say",
        )
    unknown = [name for name in functionals if name not in FUNCTIONALS]
    if unknown or len(set(functionals)) < len(functionals):
        raise InputError(
            "there is no such functional" if unknown else "a functional is given twice",
            where="functionals",
            got=", ".join(map(repr, unknown or functionals)),
            expected="some of " + ", ".join(FUNCTIONALS),
        )
    return np.array([FUNCTIONALS.index(name) for name in functionals], np.int64)
