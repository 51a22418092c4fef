"""How far an emulator is trusted on a sample: less, the worse it is on that sample's truth.

Shape suffixes: B samples, F functionals, Q thresholds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from minkgen.errors import InputError
from minkgen.learn.data import Batch
from minkgen.learn.losses import signed_log1p
from minkgen.learn.surrogate import Surrogate

__all__ = ["Trust", "calibrate_trust", "squared_log_error"]

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


@dataclass(frozen=True)
class Trust:
    """The weight of a sample in the Minkowski image loss of an emulator: exp(-kappa err²).

    Parameters
    ----------
    kappa : float
        Greater than 0.
    least_weight : float
        The trust at the 90th percentile of err².
    error_p90 : float
        That percentile, over the validation split.

    Notes
    -----
    Section 2 and appendix E.3 of arXiv 2604.11422; the value of the least weight is not legible
    there.
    """

    kappa: float
    least_weight: float
    error_p90: float

    def weights(self, error_B: Tensor) -> Tensor:
        """Return the trust of samples, from 1 down towards 0, of their err²."""
        return torch.exp(-self.kappa * error_B)

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Self:
        """Return the trust that `as_dict` described."""
        return cls(**{name: float(value) for name, value in plain.items()})


@torch.no_grad()
def calibrate_trust(
    surrogate: Surrogate, validation: Iterable[Batch], *, least_weight: float
) -> Trust:
    """Choose kappa so that the trust is `least_weight` at the 90th percentile of err².

    Parameters
    ----------
    surrogate : Surrogate
        Frozen, in evaluation mode.
    validation : iterable of Batch
        The wet tiles of the validation split and their exact γ, in the surrogate's functionals.
    least_weight : float
        Between 0 and 1.

    Returns
    -------
    Trust

    Raises
    ------
    InputError
        If there is no batch, or the surrogate makes no error at all or errors that are not finite:
        there is nothing to calibrate by.
    """
    errors = [
        squared_log_error(surrogate(tiles), gamma).cpu().numpy() for tiles, gamma in validation
    ]
    error_p90 = float(np.percentile(np.concatenate(errors), _PERCENTILE)) if errors else 0.0
    if not (math.isfinite(error_p90) and error_p90 > 0.0):
        raise InputError(
            "trust cannot be calibrated",
            where="validation split",
            got=f"{_PERCENTILE:g}th percentile of err² {error_p90} over {len(errors)} batches",
            expected="a finite error above 0",
        )
    return Trust(-math.log(least_weight) / error_p90, least_weight, error_p90)
