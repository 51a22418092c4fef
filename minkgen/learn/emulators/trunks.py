"""From normalised tiles to a latent vector: the Lipschitz trunk, and a standard one.

Shape suffixes: B samples, H rows (north first), W columns, C channels.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from minkgen.learn.emulators.design import EmulatorDesign

__all__ = ["Trunk", "group_norm"]

# Measured here and below: L_M of 122 real test tiles after 5 epochs on 1328 others (widths 8 to 64,
# batch 16), mean of two seeds; the Lipschitz network as it stands gives 15.9.
NORM_GROUPS = 8
# A stage narrower than 32 has fewer groups, because normalising a channel by itself removes the
# amount of rain from it: 17.0 with eight groups everywhere.
CHANNELS_PER_GROUP = 4
# Slope of the stem's ramps per unit of log1p(mm/h), so that it does not depend on the input's
# scale. Torch's own initialisation of the stem: 19.7. Slopes of 5 to 16 differ by less than seeds.
STEM_SLOPE = 10.0


class Convolution(nn.Conv2d):
    """A convolution whose kernel is normalised in float32 also where autocast rounds the rest."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the convolved channels."""
        with torch.autocast(x_BCHW.device.type, enabled=False):
            weight = self.weight
        return functional.conv2d(x_BCHW, weight, self.bias, padding=self.padding)


class ResidualBlock(nn.Module):
    """Pre-activation block: x + conv(GELU(norm(conv(GELU(norm(x)))))), every kernel of norm 1.

    The sum carries amounts past the normalisation, which alone would lose them.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.first_norm = group_norm(channels_in)
        self.first = spectral_norm(Convolution(channels_in, channels_out, 3, padding=1))
        self.second_norm = group_norm(channels_out)
        self.second = spectral_norm(Convolution(channels_out, channels_out, 3, padding=1))
        self.skip: nn.Module = nn.Identity()
        if channels_in != channels_out:
            self.skip = spectral_norm(Convolution(channels_in, channels_out, 1))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the block's channels."""
        branch_BCHW = self.first(functional.gelu(self.first_norm(x_BCHW)))
        branch_BCHW = self.second(functional.gelu(self.second_norm(branch_BCHW)))
        sum_BCHW: Tensor = self.skip(x_BCHW) + branch_BCHW
        return sum_BCHW


def group_norm(channels: int) -> nn.GroupNorm:
    """Return a normalisation of so many channels by groups of at least four."""
    return nn.GroupNorm(min(NORM_GROUPS, max(1, channels // CHANNELS_PER_GROUP)), channels)


class PlainBlock(nn.Module):
    """Two convolutions, each with batch normalisation and ReLU: ReLU(norm(conv(x))) twice."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        # The normalisation has a bias of its own.
        self.first = Convolution(channels_in, channels_out, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels_out)
        self.second = Convolution(channels_out, channels_out, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels_out)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the block's channels."""
        x_BCHW = functional.relu(self.first_norm(self.first(x_BCHW)))
        return functional.relu(self.second_norm(self.second(x_BCHW)))


class Trunk(nn.Module):
    """Stem, stages of one block each with max-pooling between, global pooling, latent vector.

    The Lipschitz trunk has residual blocks with GELU, group normalisation and spectral norms on
    all kernels but the stem's; the standard one has plain blocks with ReLU and batch normalisation.
    Pooling is the sum over all positions divided by their number for a tile, a constant of the
    design: for tiles of the design's size global sum pooling and global average pooling are one
    operation, up to the scale of the next layer's weights.

    Parameters
    ----------
    design : EmulatorDesign
    """

    def __init__(self, design: EmulatorDesign) -> None:
        super().__init__()
        widths, halvings = design.widths, len(design.widths) - 1
        block = ResidualBlock if design.is_lipschitz else PlainBlock
        self.activation = functional.gelu if design.is_lipschitz else functional.relu
        self.stem = Convolution(1, widths[0], 3, padding=1)
        self.stages = nn.ModuleList(
            block(channels_in, channels_out)
            for channels_in, channels_out in zip((widths[0], *widths[:-1]), widths, strict=True)
        )
        # The mean instead of the sum brings the latent layer's input near 1, where Adam's first
        # steps move it (the bare sum: 20.1, one seed).
        self.positions = math.ceil(design.tile_size / 2**halvings) ** 2
        self.latent = nn.Linear(widths[-1], design.latent)
        self._initialise_stem(design)

    @torch.no_grad()
    def _initialise_stem(self, design: EmulatorDesign) -> None:
        """Let every channel of the stem be a ramp of the log rate that begins at a threshold."""
        thresholds = np.asarray(design.definition.thresholds)
        knots = np.interp(
            np.linspace(0.0, len(thresholds) - 1.0, design.widths[0]),
            np.arange(len(thresholds)),
            np.log1p(thresholds) / design.log_max,
        )
        slopes = self.stem.weight
        slopes[:, 0, 1, 1] += 1.0
        slopes.mul_(STEM_SLOPE * design.log_max)
        starts = torch.as_tensor(knots, dtype=torch.float32)
        if self.stem.bias is not None:
            self.stem.bias.copy_(-starts * slopes.sum(dim=(1, 2, 3)))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the latent vectors (B, latent) of normalised tiles."""
        # Channels last in memory: half the time of a training step on the CPU.
        x_BCHW = self.activation(self.stem(x_BCHW)).contiguous(memory_format=torch.channels_last)
        for number, stage in enumerate(self.stages):
            if number:
                x_BCHW = functional.max_pool2d(x_BCHW, 2, ceil_mode=True)
            x_BCHW = stage(x_BCHW)
        # Not in bfloat16, because from here on amounts are told apart by their last digits.
        pooled_BC = x_BCHW.to(self.latent.weight.dtype).sum(dim=(2, 3)) / self.positions
        with torch.autocast(x_BCHW.device.type, enabled=False):
            latent: Tensor = self.activation(self.latent(pooled_BC))
        return latent
