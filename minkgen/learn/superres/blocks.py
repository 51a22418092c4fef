"""What the networks of super-resolution are made of.

Shape suffixes: B samples, C channels, H rows (north first), W columns, D context, N heads,
P positions, K channels of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from minkgen.learn.emulators.trunks import group_norm

__all__ = ["ResidualBlock", "SelfAttention", "zero_initialised"]

CHANNELS_PER_HEAD = 32


class ResidualBlock(nn.Module):
    """Pre-activation block: x + conv(GELU(norm(conv(GELU(norm(x)))))).

    The sum carries amounts of rain past the normalisation, which alone would lose them.

    Parameters
    ----------
    channels_in, channels_out : int
    context : int, optional
        Length of a vector that scales and shifts the second normalisation's output; 0 for none.
    """

    def __init__(self, channels_in: int, channels_out: int, context: int = 0) -> None:
        super().__init__()
        self.first_norm = group_norm(channels_in)
        self.first = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.modulation = nn.Linear(context, 2 * channels_out) if context else None
        self.second_norm = group_norm(channels_out)
        self.second = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.skip: nn.Module = nn.Identity()
        if channels_in != channels_out:
            self.skip = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x_BCHW: Tensor, context_BD: Tensor | None = None) -> Tensor:
        """Return the block's channels."""
        branch_BCHW = self.first(functional.gelu(self.first_norm(x_BCHW)))
        branch_BCHW = self.second_norm(branch_BCHW)
        if self.modulation is not None:
            scale_BC11, shift_BC11 = self.modulation(context_BD)[..., None, None].chunk(2, dim=1)
            branch_BCHW = branch_BCHW * (1.0 + scale_BC11) + shift_BC11
        sum_BCHW: Tensor = self.skip(x_BCHW) + self.second(functional.gelu(branch_BCHW))
        return sum_BCHW


class SelfAttention(nn.Module):
    """Attention of every position to all others, added to its input.

    A new one adds nothing.

    Parameters
    ----------
    channels : int
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // CHANNELS_PER_HEAD)
        self.norm = group_norm(channels)
        self.query_key_value = nn.Conv2d(channels, 3 * channels, 1)
        self.out = zero_initialised(nn.Conv2d(channels, channels, 1))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the block's channels."""
        all_BCP = self.query_key_value(self.norm(x_BCHW)).flatten(2)
        query_BNPK, key_BNPK, value_BNPK = (
            part_BCP.unflatten(1, (self.heads, -1)).transpose(2, 3)
            for part_BCP in all_BCP.chunk(3, dim=1)
        )
        seen_BNPK = functional.scaled_dot_product_attention(query_BNPK, key_BNPK, value_BNPK)
        seen_BCHW = seen_BNPK.transpose(2, 3).reshape(x_BCHW.shape)
        sum_BCHW: Tensor = x_BCHW + self.out(seen_BCHW)
        return sum_BCHW


@torch.no_grad()
def zero_initialised(layer: nn.Conv2d) -> nn.Conv2d:
    """Return the layer with all its weights 0."""
    for parameter in layer.parameters():
        parameter.zero_()
    return layer
