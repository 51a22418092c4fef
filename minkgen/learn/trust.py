"""How far an emulator is trusted on a sample: less, the worse it is on that sample's truth.

Shape suffixes: B samples, F functionals, Q thresholds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from minkgen.errors import InputError
from minkgen.learn.losses import signed_log1p

__all__ = ["Trust", "error_percentile", "squared_log_error"]

# The paper lets trust fall to its least weight at this percentile of the error (appendix E.3).
_PERCENTILE = 90.0


def squared_log_error(predicted_BFQ: Tensor, target_BFQ: Tensor) -> Tensor:
    """Return err²: the mean squared log1p error of each sample over functionals and thresholds.

    Parameters
    ----------
    predicted_BFQ, target_BFQ : Tensor
        γ in physical units.

    Returns
    -------
    Tensor (B,)

    Examples
    --------
    >>> squared_log_error(torch.tensor([[[0.0, 1.0]]]), torch.tensor([[[0.0, 3.0]]]))
    tensor([0.2402])
    """
    error_BFQ = signed_log1p(predicted_BFQ) - signed_log1p(target_BFQ)
    return error_BFQ.square().mean(dim=(1, 2))


def error_percentile(errors: npt.ArrayLike) -> float:
    """Return the 90th percentile of the err² of samples, by which trust is calibrated.

    Examples
    --------
    >>> error_percentile(range(101))
    90.0
    """
    return float(np.percentile(np.asarray(errors, np.float64), _PERCENTILE))


@dataclass(frozen=True)
class Trust:
    """The weight of a sample in the Minkowski image loss of an emulator: exp(-kappa err²).

    Parameters
    ----------
    kappa : float
        At least 0.

    Notes
    -----
    Section 2 and appendix E.3 of arXiv 2604.11422.
    """

    kappa: float

    @classmethod
    def calibrated(cls, error_p90: float, *, least_weight: float) -> Self:
        """Return the trust that is `least_weight` at the 90th percentile of err².

        Parameters
        ----------
        error_p90 : float
            `error_percentile` of the frozen emulator over the validation split.
        least_weight : float
            Between 0 and 1; the paper's is not legible.

        Raises
        ------
        InputError
            If there is no error to calibrate by, or the weight is none.

        Examples
        --------
        >>> trust = Trust.calibrated(2.0, least_weight=0.05)
        >>> trust.weights(torch.tensor([0.0, 2.0]))
        tensor([1.0000, 0.0500])
        """
        if not (0.0 < error_p90 < math.inf and 0.0 < least_weight < 1.0):
            raise InputError(
                "trust cannot be calibrated",
                got=f"{_PERCENTILE:g}th percentile of err² {error_p90}, least {least_weight}",
                expected="a finite error above 0, and a weight between 0 and 1",
            )
        return cls(-math.log(least_weight) / error_p90)

    def weights(self, error_B: Tensor) -> Tensor:
        """Return the trust of samples, from 1 down towards 0, of their err²."""
        return torch.exp(-self.kappa * error_B)
