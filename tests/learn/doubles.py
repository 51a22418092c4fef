"""Surrogates whose γ and gradients can be written down."""

from __future__ import annotations

import torch
from torch import Tensor

from minkgen.learn.surrogate import GammaDefinition, Surrogate, zero_drizzle

DEFINITION = GammaDefinition(
    thresholds=(0.1, 0.3, 1.0, 3.0, 10.0),
    pixel_km=2.0,
    drizzle_mm_h=0.1,
    floors=(0.5, 0.5),
    essential="alive",
)


class SigmoidArea(Surrogate):
    """Area as a sum of sigmoids; perimeter and components follow it as those of one disk do."""

    def __init__(self, definition: GammaDefinition = DEFINITION, temperature: float = 0.1) -> None:
        super().__init__(definition, ("area", "perimeter", "components"))
        self.temperature = temperature
        self.eval()

    def forward(self, rain_rate_BHW: Tensor) -> Tensor:
        rain_rate_BHW = zero_drizzle(rain_rate_BHW, self.definition.drizzle_mm_h)
        thresholds_Q = self.thresholds
        steps_BHWQ = torch.sigmoid(
            (rain_rate_BHW[..., None] - thresholds_Q) / (self.temperature * thresholds_Q)
        )
        area_BQ = self.pixel_km**2 * steps_BHWQ.sum(dim=(1, 2))
        return torch.stack([area_BQ, 4.0 * area_BQ.sqrt(), torch.ones_like(area_BQ)], dim=1)


class Blind(Surrogate):
    """γ that depends on nothing."""

    def __init__(self, definition: GammaDefinition = DEFINITION) -> None:
        super().__init__(definition, ("area", "perimeter", "components"))
        self.eval()

    def forward(self, rain_rate_BHW: Tensor) -> Tensor:
        count = len(self.thresholds)
        return self.thresholds.new_full((len(rain_rate_BHW), 3, count), 100.0) + (
            0.0 * rain_rate_BHW.sum()
        )
