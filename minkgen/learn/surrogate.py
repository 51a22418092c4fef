"""What all surrogates of γ are: a module from rain rates to γ, both in physical units.

Shape suffixes: B samples, F functionals, Q thresholds, H rows (north first), W columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from minkgen.gamma.functionals import rows_of
from minkgen.store.snapshot import Snapshot

__all__ = ["GammaDefinition", "Surrogate", "zero_drizzle"]


@dataclass(frozen=True)
class GammaDefinition:
    """Which γ it is that a surrogate stands for.

    Parameters
    ----------
    thresholds : tuple of float
        In mm/h, strictly increasing.
    pixel_km : float
        Side of a pixel in km.
    drizzle_mm_h : float
        Lower rates are dry: γ of a prediction is taken as γ of a target is.
    floors : tuple of float
        Persistence floors of components and of holes, in mm/h.
    essential : {"alive", "background"}
        Where the component that never dies counts.
    """

    thresholds: tuple[float, ...]
    pixel_km: float
    drizzle_mm_h: float = 0.1
    floors: tuple[float, float] = (0.0, 0.0)
    essential: str = "alive"

    @classmethod
    def of(cls, snapshot: Snapshot) -> Self:
        """Return the definition that a snapshot's targets were made by."""
        floors: dict[str, Any] = snapshot.metadata["floors"]
        return cls(
            thresholds=tuple(float(threshold) for threshold in snapshot.thresholds),
            pixel_km=snapshot.pixel_km,
            drizzle_mm_h=snapshot.drizzle,
            floors=(float(floors["components"]["epsilon"]), float(floors["holes"]["epsilon"])),
            essential=str(snapshot.metadata["recipe"]["persistence"]["essential"]),
        )


class Surrogate(nn.Module):
    """A surrogate of γ, called as ``surrogate(rain_rate_BHW) -> gamma_BFQ``.

    Rain rates are in mm/h, north first, missing pixels 0; γ is in physical units (km2, km, 1).
    Rates below the drizzle threshold, negative ones included, are taken as dry by every surrogate
    itself (`zero_drizzle`), so that a network's dense output can be given as it is.

    Parameters
    ----------
    definition : GammaDefinition
    functionals : sequence of str
        Names along F, from `minkgen.gamma.functionals.FUNCTIONALS`.

    Raises
    ------
    InputError
        If a functional is unknown or given twice.
    """

    thresholds: Tensor

    def __init__(self, definition: GammaDefinition, functionals: Sequence[str]) -> None:
        super().__init__()
        rows_of(functionals)
        self.definition = definition
        self.functionals = tuple(functionals)
        thresholds = torch.tensor(definition.thresholds, dtype=torch.float32)
        self.register_buffer("thresholds", thresholds)

    @property
    def pixel_km(self) -> float:
        """Side of a pixel in km."""
        return self.definition.pixel_km


def zero_drizzle(rain_rate_BHW: Tensor, drizzle_mm_h: float) -> Tensor:
    """Return rain rates with those below the drizzle threshold set to 0.

    The gradient passes as if nothing had been set: a prediction that is too dry would otherwise
    never learn that it should rain.

    Parameters
    ----------
    rain_rate_BHW : Tensor
        In mm/h.
    drizzle_mm_h : float

    Returns
    -------
    Tensor (B, H, W)

    Examples
    --------
    >>> rain = torch.tensor([[[0.05, 0.2, -1.0]]], requires_grad=True)
    >>> dry = zero_drizzle(rain, 0.1)
    >>> dry.sum().backward()
    >>> dry.detach(), rain.grad
    (tensor([[[0.0000, 0.2000, 0.0000]]]), tensor([[[1., 1., 1.]]]))
    """
    kept_BHW = torch.where(rain_rate_BHW >= drizzle_mm_h, rain_rate_BHW, 0.0)
    return rain_rate_BHW + (kept_BHW - rain_rate_BHW).detach()
