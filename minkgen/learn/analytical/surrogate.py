"""The analytical surrogate of γ: closed forms of soft excursion sets, nothing learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from minkgen.errors import InputError
from minkgen.gamma.functionals import UNITS
from minkgen.learn.analytical.cells import weighted_sum
from minkgen.learn.analytical.euler import euler_weights
from minkgen.learn.analytical.morphology import closed, opened, persistent
from minkgen.learn.analytical.perimeter import central_differences, crofton_weights
from minkgen.learn.analytical.soft_sets import (
    gradient_of,
    soft_set,
    step_centres,
    temperatures,
)
from minkgen.learn.surrogate import GammaDefinition, Surrogate, zero_drizzle
from minkgen.recipe import Analytical

__all__ = ["CLOSED_FORMS", "AnalyticalGamma"]

# The functionals that have a closed form, or a stand-in.
CLOSED_FORMS = (
    "area",
    "perimeter",
    "components",
    "perimeter_closed",
    "perimeter_crofton",
    "euler_4",
)

Measure = Callable[[Tensor], Tensor]


class _Landscape(NamedTuple):
    """A field with what is measured of its soft sets.

    Attributes
    ----------
    rain_rate : Tensor (B, H, W)
        In mm/h, drizzle zeroed.
    drizzling : Tensor (B, H, W)
        The same before drizzle was zeroed.
    measures : mapping
        By functional: from a soft set (B, H, W) to its value (B,), in pixels.
    """

    rain_rate: Tensor
    drizzling: Tensor
    measures: Mapping[str, Measure]


class AnalyticalGamma(Surrogate):
    """The paper's analytical approximation (its section 2.3.1), with its parts made exact.

    Steps are sigmoids of temperature max(factor * u, floor). What each functional is, and what it
    becomes as the temperature goes to 0, on rates that lie on a grid of 0.01 mm/h:

    ==================  ==========================================  ===========================
    functional          soft form                                   hard limit
    ==================  ==========================================  ===========================
    area                sum of memberships                          `area`
    perimeter           by the recipe: central differences, or      no functional: near
                        Crofton; without the frame                  `perimeter`
    perimeter_closed    the same, the frame counted                 no functional: near
                                                                    `perimeter_closed`, or
                                                                    `perimeter_crofton`
    perimeter_crofton   Crofton's formula, the frame counted        `perimeter_crofton`
    components          Euler characteristic of the filtered field  no functional: a stand-in
    euler_4             V - E + F by Gödel's conjunction            `euler_4`
    ==================  ==========================================  ===========================

    The stand-in for components is the paper's. It subtracts holes, and is negative where there are
    more of them than components; the loss compares sign(z) log1p|z|, which a clamped count would
    leave without a gradient there. The recipe's filters concern it alone.

    Values are those of the drizzle-zeroed field. At the lowest threshold the gradient is taken
    where the rate was before, so that a pixel just below drizzle can learn to rain.

    Parameters
    ----------
    definition : GammaDefinition
    settings : Analytical, optional
        The recipe's section.
    functionals : sequence of str, optional
        Some of `CLOSED_FORMS`.

    Raises
    ------
    InputError
        If a functional has no closed form.

    Notes
    -----
    Memory: a few maps per tile and no more for more thresholds, since the backward pass computes
    each soft set anew. Speed, 21 thresholds, tiles of 128 x 128 pixels, batches of 32, one core:
    220 tiles/s forward, 90 forward and backward (250 and 125 with Crofton).

    Examples
    --------
    >>> definition = GammaDefinition((1.0, 3.0), 2.0, 0.1, (0.0, 0.0), "alive")
    >>> surrogate = AnalyticalGamma(definition, functionals=("area", "euler_4"))
    >>> rain = torch.zeros(1, 8, 8)
    >>> rain[0, 2:4, 2:4], rain[0, 6, 6] = 2.0, 2.0
    >>> surrogate(rain).round(decimals=2)
    tensor([[[20.0000,  0.7000],
             [ 2.0000,  0.0700]]])
    """

    centres: Tensor
    temperatures: Tensor
    temperature_scale: Tensor

    def __init__(
        self,
        definition: GammaDefinition,
        settings: Analytical | None = None,
        functionals: Sequence[str] = ("area", "perimeter", "components"),
    ) -> None:
        super().__init__(definition, functionals)
        self.settings = settings = settings or Analytical()
        _require_closed_forms(functionals)
        steps = temperatures(
            self.thresholds, settings.temperature_factor, settings.temperature_floor_mm_h
        )
        self.register_buffer("centres", step_centres(self.thresholds))
        self.register_buffer("temperatures", steps)
        self.register_buffer("temperature_scale", torch.ones(()))

    @torch.no_grad()
    def temper(self, scale: float) -> None:
        """Multiply the recipe's temperatures by a factor: more than 1 is softer.

        It replaces the factor that was set before, and is part of the state.

        Raises
        ------
        InputError
            If the scale is not positive.
        """
        if not scale > 0.0:
            raise InputError("a temperature is positive", got=scale, where="scale")
        self.temperature_scale.fill_(scale)

    def forward(self, rain_rate_BHW: Tensor) -> Tensor:
        """Return γ of tiles.

        Parameters
        ----------
        rain_rate_BHW : Tensor
            In mm/h, of any size.

        Returns
        -------
        Tensor (B, F, Q)
        """
        given_BHW = rain_rate_BHW.to(self.thresholds.dtype)
        landscapes = self._landscapes(
            zero_drizzle(given_BHW, self.definition.drizzle_mm_h), zero_drizzle(given_BHW, 0.0)
        )
        columns = [
            checkpoint(
                partial(self._column, landscapes, place),
                use_reentrant=False,
                preserve_rng_state=False,
            )
            for place in range(len(self.thresholds))
        ]
        return torch.stack(columns, dim=2)

    def _landscapes(self, rain_rate_BHW: Tensor, drizzling_BHW: Tensor) -> list[_Landscape]:
        """Return the field itself, and the filtered one if components are counted."""
        plain = {
            name: self._measure(name, rain_rate_BHW)
            for name in self.functionals
            if name != "components"
        }
        landscapes = [_Landscape(rain_rate_BHW, drizzling_BHW, plain)] if plain else []
        if "components" in self.functionals:
            filtered, drizzling = self._filtered(rain_rate_BHW), self._filtered(drizzling_BHW)
            counted = {"components": partial(weighted_sum, weights_BHW=euler_weights(filtered))}
            landscapes.append(_Landscape(filtered, drizzling, counted))
        return landscapes

    def _filtered(self, rain_rate_BHW: Tensor) -> Tensor:
        settings = self.settings
        if settings.closing:
            rain_rate_BHW = closed(rain_rate_BHW)
        if settings.opening:
            rain_rate_BHW = opened(rain_rate_BHW)
        if settings.persistence_mask:
            rain_rate_BHW = persistent(rain_rate_BHW, self.definition.floors[0])
        return rain_rate_BHW

    def _measure(self, functional: str, rain_rate_BHW: Tensor) -> Measure:
        if functional == "area":
            return lambda soft_BHW: soft_BHW.sum(dim=(1, 2))
        if functional == "euler_4":
            return partial(weighted_sum, weights_BHW=euler_weights(rain_rate_BHW))
        closed_frame = functional != "perimeter"
        if functional == "perimeter_crofton" or self.settings.perimeter == "crofton":
            weights_BHW = crofton_weights(rain_rate_BHW, closed=closed_frame)
            return partial(weighted_sum, weights_BHW=weights_BHW)
        return partial(central_differences, closed=closed_frame)

    def _column(self, landscapes: Sequence[_Landscape], place: int) -> Tensor:
        """Return γ at one threshold, shape (B, F)."""
        values = {}
        for landscape in landscapes:
            soft_BHW = self._soft_set(landscape, place)
            for name, measure in landscape.measures.items():
                counted_BHW = soft_BHW
                if name == "area" and self.settings.area == "straight-through":
                    hard_BHW = landscape.rain_rate >= self.thresholds[place]
                    counted_BHW = gradient_of(soft_BHW, value=hard_BHW.to(soft_BHW.dtype))
                values[name] = measure(counted_BHW) * self._unit(name)
        return torch.stack([values[name] for name in self.functionals], dim=1)

    def _soft_set(self, landscape: _Landscape, place: int) -> Tensor:
        step = self.centres[place], self.temperatures[place] * self.temperature_scale
        soft_BHW = soft_set(landscape.rain_rate, *step)
        if place == 0:
            soft_BHW = gradient_of(soft_set(landscape.drizzling, *step), value=soft_BHW)
        return soft_BHW

    def _unit(self, functional: str) -> float:
        """Return what one pixel, or one side of a pixel, is in physical units."""
        return {"km2": self.pixel_km**2, "km": self.pixel_km, "1": 1.0}[UNITS[functional]]


def _require_closed_forms(functionals: Sequence[str]) -> None:
    others = [name for name in functionals if name not in CLOSED_FORMS]
    if others:
        raise InputError(
            "the analytical surrogate has no closed form of it",
            where="functionals",
            got=", ".join(others),
            expected="some of " + ", ".join(CLOSED_FORMS),
            hint="take the exact surrogate",
        )
