"""The U-Net, and the model of super-resolution that gives one mean field.

Shape suffixes: M members, B samples, C channels, H rows (north first), W columns, D context.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from minkgen.errors import InputError
from minkgen.learn.superres.blocks import ResidualBlock, SelfAttention, zero_initialised
from minkgen.learn.superres.model import Objective, Scene, SuperResolver

__all__ = ["ResidualUNet", "UNet", "conditions"]


def conditions(scene: Scene) -> Tensor:
    """Return what networks see of scenes, (B, 2, H, W): log1p of the low resolution, the terrain.

    The logarithm is not divided by its maximum as outputs are: both channels are of order one,
    where rain of 1 mm/h would be 0.07 beside a terrain of 1.
    """
    return torch.stack((torch.log1p(scene.low), scene.terrain), dim=1)


class UNet(nn.Module):
    """Stages of one residual block each, halved by means of 2 x 2 and doubled bilinearly.

    Its last layer starts at 0, so that a new one answers 0.

    Parameters
    ----------
    channels_in : int
    features : sequence of int
        Channels of each stage, the first at full resolution.
    context : int, optional
        Length of a vector that all blocks are told; 0 for none.
    attention_from : int, optional
        The first stage with self-attention; by default none has it.
    """

    def __init__(
        self,
        channels_in: int,
        features: Sequence[int],
        *,
        context: int = 0,
        attention_from: int | None = None,
    ) -> None:
        super().__init__()
        attended = len(features) if attention_from is None else attention_from
        self.multiple = 2 ** (len(features) - 1)
        self.stem = nn.Conv2d(channels_in, features[0], 3, padding=1)
        before = (features[0], *features[:-1])
        self.down = nn.ModuleList(
            _Stage(before[n], features[n], context, n >= attended) for n in range(len(features))
        )
        self.up = nn.ModuleList(
            _Stage(features[n + 1] + features[n], features[n], context, n >= attended)
            for n in reversed(range(len(features) - 1))
        )
        self.last = zero_initialised(nn.Conv2d(features[0], 1, 1))

    def forward(self, x_BCHW: Tensor, context_BD: Tensor | None = None) -> Tensor:
        """Return one channel, (B, H, W), in float32.

        Raises
        ------
        InputError
            If a side cannot be halved often enough.
        """
        if any(side % self.multiple for side in x_BCHW.shape[2:]):
            raise InputError(
                "the network halves its tiles, and these cannot be halved so often",
                got=f"{x_BCHW.shape[2]} x {x_BCHW.shape[3]} pixels",
                expected=f"sides that are multiples of {self.multiple}",
                hint="give superres.features fewer stages",
            )
        if x_BCHW.device.type == "cpu":
            # Channels last in memory: 43 ms of a processor for a training step's sample of 128
            # pixels instead of 56 (features 16 to 128). GPUs copy them at every normalisation.
            x_BCHW = x_BCHW.contiguous(memory_format=torch.channels_last)
        x_BCHW = self.stem(x_BCHW)
        passed = []
        for number, stage in enumerate(self.down):
            if number:
                passed.append(x_BCHW)
                x_BCHW = functional.avg_pool2d(x_BCHW, 2)
            x_BCHW = stage(x_BCHW, context_BD)
        for stage in self.up:
            x_BCHW = functional.interpolate(x_BCHW, scale_factor=2.0, mode="bilinear")
            x_BCHW = stage(torch.cat((x_BCHW, passed.pop()), dim=1), context_BD)
        output_BHW: Tensor = self.last(x_BCHW)[:, 0].float()
        return output_BHW


class _Stage(nn.Module):
    """A residual block, with attention after it where the resolution is low."""

    def __init__(
        self, channels_in: int, channels_out: int, context: int, has_attention: bool
    ) -> None:
        super().__init__()
        self.block = ResidualBlock(channels_in, channels_out, context)
        self.attention = SelfAttention(channels_out) if has_attention else nn.Identity()

    def forward(self, x_BCHW: Tensor, context_BD: Tensor | None) -> Tensor:
        attended_BCHW: Tensor = self.attention(self.block(x_BCHW, context_BD))
        return attended_BCHW


class ResidualUNet(SuperResolver):
    """One field, the mean of what is possible: the U-Net adds what the low resolution lacks.

    It adds in log space, and what falls below 0 is cut off. A new one gives the low resolution.

    Parameters
    ----------
    log_max : float
        log1p of the largest training rate, from the snapshot.
    features : sequence of int
        Channels of each stage.
    """

    def __init__(self, log_max: float, features: Sequence[int]) -> None:
        super().__init__(log_max)
        self.network = UNet(2, features)

    def mean(self, scene: Scene) -> Tensor:
        """Return the normalised field (B, H, W) before it is cut off at 0."""
        # Residuals in the unit of the conditions, which are of order one, as the network's are.
        residual_BHW = self.network(conditions(scene)) / self.log_max
        mean_BHW: Tensor = self.normalised(scene.low) + residual_BHW
        return mean_BHW

    def objective(self, scene: Scene, target_BHW: Tensor) -> Objective:
        """Return the mean square error of the normalised fields, and the field in mm/h.

        The error is of the field before it is cut off: where rain falls out of a field below 0,
        one that is cut off would have no gradient.
        """
        mean_BHW = self.mean(scene)
        loss = functional.mse_loss(mean_BHW, self.normalised(target_BHW))
        return Objective(loss, self.rain_rate(mean_BHW), mean_BHW)

    @torch.no_grad()
    def sample(
        self, scene: Scene, *, members: int = 1, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return the field in mm/h, (M, B, H, W): all members are one."""
        return self.rain_rate(self.mean(scene)).expand(members, -1, -1, -1)
