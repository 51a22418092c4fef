"""The Minkowski image loss, and the learned weighting of its terms.

Shape suffixes: B samples, F functionals, Q thresholds.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = [
    "FixedWeights",
    "HomoscedasticWeights",
    "minkowski_terms",
    "sample_terms",
    "signed_expm1",
    "signed_log1p",
]


def signed_log1p(values: Tensor) -> Tensor:
    """Return sign(z) log1p|z|: log1p for areas, lengths and counts, signed for Euler numbers.

    Examples
    --------
    >>> signed_log1p(torch.tensor([0.0, 1.0, -1.0]))
    tensor([ 0.0000,  0.6931, -0.6931])
    """
    return torch.sign(values) * torch.log1p(values.abs())


def signed_expm1(values: Tensor) -> Tensor:
    """Return sign(z) expm1|z|, the inverse of `signed_log1p`.

    Examples
    --------
    >>> signed_expm1(signed_log1p(torch.tensor([0.0, 1.0, -3.0])))
    tensor([ 0.,  1., -3.])
    """
    return torch.sign(values) * torch.expm1(values.abs())


def minkowski_terms(predicted_BFQ: Tensor, target_BFQ: Tensor, measure_Q: Tensor) -> Tensor:
    """Return the terms of the Minkowski image loss L_M, one per functional.

    The term of a functional is ∫ |log1p γ̂(u) - log1p γ(u)| dμ(u), averaged over samples; L_M is
    the sum of the terms of area, perimeter and components. With a measure of ones it is the plain
    L1 norm of the paper's equation 2.

    Parameters
    ----------
    predicted_BFQ, target_BFQ : Tensor
        γ in physical units.
    measure_Q : Tensor
        Weight of every threshold.

    Returns
    -------
    Tensor (F,)

    Examples
    --------
    >>> predicted, target = torch.tensor([[[0.0, 3.0]]]), torch.tensor([[[0.0, 1.0]]])
    >>> minkowski_terms(predicted, target, torch.tensor([0.5, 0.5]))
    tensor([0.3466])
    """
    return sample_terms(predicted_BFQ, target_BFQ, measure_Q).mean(dim=0)


def sample_terms(predicted_BFQ: Tensor, target_BFQ: Tensor, measure_Q: Tensor) -> Tensor:
    """Return the terms of each sample, shape (B, F): what `minkowski_terms` is the mean of.

    Parameters
    ----------
    predicted_BFQ, target_BFQ : Tensor
        γ in physical units.
    measure_Q : Tensor
        Weight of every threshold.
    """
    error_BFQ = (signed_log1p(predicted_BFQ) - signed_log1p(target_BFQ)).abs()
    return (error_BFQ * measure_Q).sum(dim=2)


class HomoscedasticWeights(nn.Module):
    """Weights of the terms that are learned with the network, as if its errors were Laplacian.

    With t_f the mean absolute log error of functional f over samples and thresholds, and s_f a
    learned log-scale, the objective is Σ_f (exp(-s_f) t_f + s_f): the negative log likelihood per
    threshold of Laplacian errors with scale exp(s_f), up to a constant. Its minimum over s_f lies
    at s_f = log t_f, where every term counts relative to its own size.

    Parameters
    ----------
    initial_errors : Tensor (F,)
        Errors t_f to start at, > 0.

    Notes
    -----
    Kendall, Gal and Cipolla (2018), there for Gaussian errors.
    """

    def __init__(self, initial_errors: Tensor) -> None:
        super().__init__()
        self.log_scales = nn.Parameter(torch.log(initial_errors))

    @property
    def weights(self) -> Tensor:
        """The weights exp(-s_f), shape (F,)."""
        return torch.exp(-self.log_scales)

    def forward(self, errors_F: Tensor) -> Tensor:
        """Return the objective, a scalar, of the mean absolute log errors."""
        return (self.weights * errors_F + self.log_scales).sum()


class FixedWeights(nn.Module):
    """Weights of the terms that the recipe names.

    Parameters
    ----------
    weights : Tensor (F,)
        Each > 0.
    """

    weights: Tensor

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, errors_F: Tensor) -> Tensor:
        """Return the objective, a scalar, of the mean absolute log errors."""
        return (self.weights * errors_F).sum()
