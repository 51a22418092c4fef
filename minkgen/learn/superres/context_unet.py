"""The U-Net of generative models: told the time of the process and the scene.

Shape suffixes: B samples, C channels, H rows (north first), W columns, D context.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from minkgen.learn.superres.unet import UNet

__all__ = ["ContextUNet"]

# The third stage is 32 pixels wide on tiles of 128: a thousand positions to attend to.
ATTENTION_FROM = 2
# Of the waves that time is told by, in radians over the unit interval.
LONGEST_WAVE, SHORTEST_WAVE = 1.0, 1000.0


class ContextUNet(nn.Module):
    """A U-Net of a state, conditions and a time, with attention from the third stage on.

    Parameters
    ----------
    conditions : int
        Channels that go with the state.
    features : sequence of int
        Channels of each stage.
    """

    frequencies: Tensor

    def __init__(self, conditions: int, features: Sequence[int]) -> None:
        super().__init__()
        width = features[0]
        context = 4 * width
        waves = torch.logspace(
            math.log10(LONGEST_WAVE), math.log10(SHORTEST_WAVE), width // 2, dtype=torch.float64
        )
        self.register_buffer("frequencies", waves.float(), persistent=False)
        self.context = nn.Sequential(
            nn.Linear(width, context), nn.GELU(), nn.Linear(context, context), nn.GELU()
        )
        self.network = UNet(
            1 + conditions, features, context=context, attention_from=ATTENTION_FROM
        )

    def forward(self, state_BHW: Tensor, time_B: Tensor, conditions_BCHW: Tensor) -> Tensor:
        """Return a field (B, H, W) in float32.

        Parameters
        ----------
        state_BHW : Tensor
        time_B : Tensor
            In [0, 1].
        conditions_BCHW : Tensor
        """
        angles_BK = time_B[:, None] * self.frequencies
        waves_BD = torch.cat((angles_BK.sin(), angles_BK.cos()), dim=1)
        x_BCHW = torch.cat((state_BHW[:, None], conditions_BCHW), dim=1)
        field_BHW: Tensor = self.network(x_BCHW, self.context(waves_BD))
        return field_BHW
