"""The constrained Lipschitz CNN: a differentiable surrogate of γ that cannot be impossible.

Every emulator is called as `emulator(rain_rate_BHW) -> gamma_BFQ`, mm/h in, physical units out, and
names its functionals in `.functionals`. Normalisation and thresholds belong to the module.

Shape suffixes: B samples, F functionals, Q thresholds, H rows (north first), W columns, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from minkgen.errors import InputError

__all__ = ["ConstrainedEmulator", "EmulatorDesign", "predict"]

# Measured here and below: L_M of 122 real test tiles after 5 epochs on 1328 others (widths 8 to 64,
# batch 16), mean of two seeds; the network as it stands gives 15.9.
NORM_GROUPS = 8
# A stage narrower than 32 has fewer groups, because normalising a channel by itself removes the
# amount of rain from it: 17.0 with eight groups everywhere.
CHANNELS_PER_GROUP = 4
# Slope of the stem's ramps per unit of log1p(mm/h), so that it does not depend on the input's
# scale. Torch's own initialisation of the stem: 19.7. Slopes of 5 to 16 differ by less than seeds.
STEM_SLOPE = 10.0
# sqrt has no finite slope at 0; no set is smaller than one pixel.
LEAST_AREA_KM2 = 1e-12


@dataclass(frozen=True)
class EmulatorDesign:
    """All that an emulator is built from, apart from its weights.

    Parameters
    ----------
    widths : tuple of int
        Channels of every stage.
    latent : int
        Length of the latent vector.
    thresholds : tuple of float
        In mm/h, strictly increasing.
    log_max : float
        log1p of the largest training rate: the scale of the input.
    tile_size : int
        Rows and columns of a tile.
    pixel_km : float
        Side of a pixel in km.
    """

    widths: tuple[int, ...]
    latent: int
    thresholds: tuple[float, ...]
    log_max: float
    tile_size: int
    pixel_km: float

    def as_dict(self) -> dict[str, Any]:
        """Return the design as plain containers."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the design that `as_dict` described."""
        known = {field.name: values[field.name] for field in fields(cls)}
        return cls(**known | {name: tuple(known[name]) for name in ("widths", "thresholds")})


class ResidualBlock(nn.Module):
    """Pre-activation block: x + conv(GELU(norm(conv(GELU(norm(x)))))), every kernel of norm 1.

    The sum carries amounts past the normalisation, which alone would lose them.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.first_norm = _group_norm(channels_in)
        self.first = spectral_norm(nn.Conv2d(channels_in, channels_out, 3, padding=1))
        self.second_norm = _group_norm(channels_out)
        self.second = spectral_norm(nn.Conv2d(channels_out, channels_out, 3, padding=1))
        self.skip: nn.Module = nn.Identity()
        if channels_in != channels_out:
            self.skip = spectral_norm(nn.Conv2d(channels_in, channels_out, 1))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        branch_BCHW = self.first(functional.gelu(self.first_norm(x_BCHW)))
        branch_BCHW = self.second(functional.gelu(self.second_norm(branch_BCHW)))
        sum_BCHW: Tensor = self.skip(x_BCHW) + branch_BCHW
        return sum_BCHW


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(min(NORM_GROUPS, max(1, channels // CHANNELS_PER_GROUP)), channels)


class ConstrainedEmulator(nn.Module):
    """The paper's constrained Lip-CNN (its section 2.3.2).

    Stem, stages of residual blocks with max-pooling between, sum over all positions (area and
    components are extensive), latent vector, and heads that obey geometry in float32 to the letter:
    the area never grows with the threshold and is at most the tile's area, P² >= 4 π A (1 - 1e-5),
    nothing is negative.

    Parameters
    ----------
    design : EmulatorDesign

    Raises
    ------
    InputError
        If the tile has fewer pixels than the stages halve away.
    """

    functionals = ("area", "perimeter", "components")

    thresholds: Tensor
    log_max: Tensor

    def __init__(self, design: EmulatorDesign) -> None:
        super().__init__()
        self.design = design
        widths, halvings = design.widths, len(design.widths) - 1
        if design.tile_size < 2**halvings:
            raise InputError(
                "the tile is too small for so many stages",
                where="widths",
                got=f"{len(widths)} stages for {design.tile_size} pixels",
                expected=f"at least {2**halvings} pixels a side",
            )
        self.register_buffer("thresholds", torch.tensor(design.thresholds, dtype=torch.float32))
        self.register_buffer("log_max", torch.tensor(design.log_max, dtype=torch.float32))
        self.stem = nn.Conv2d(1, widths[0], 3, padding=1)
        self.stages = nn.ModuleList(
            ResidualBlock(channels_in, channels_out)
            for channels_in, channels_out in zip((widths[0], *widths[:-1]), widths, strict=True)
        )
        # A constant of the design, so that the sum stays extensive: it brings the latent layer's
        # input near 1, where Adam's first steps move it (the bare sum: 20.1, one seed).
        self.positions = math.ceil(design.tile_size / 2**halvings) ** 2
        self.latent = nn.Linear(widths[-1], design.latent)
        self.heads = nn.Linear(design.latent, 1 + 3 * len(design.thresholds))
        self._initialise_stem()

    @property
    def tile_area(self) -> float:
        """Area of a tile in km2."""
        return (self.design.tile_size * self.design.pixel_km) ** 2

    @torch.no_grad()
    def _initialise_stem(self) -> None:
        """Let every channel of the stem be a ramp of the log rate that begins at a threshold."""
        widths, thresholds = self.design.widths, np.asarray(self.design.thresholds)
        knots = np.interp(
            np.linspace(0.0, len(thresholds) - 1.0, widths[0]),
            np.arange(len(thresholds)),
            np.log1p(thresholds) / self.design.log_max,
        )
        slopes = self.stem.weight
        slopes[:, 0, 1, 1] += 1.0
        slopes.mul_(STEM_SLOPE * self.design.log_max)
        starts = torch.as_tensor(knots, dtype=torch.float32)
        _fill(self.stem.bias, -starts * slopes.sum(dim=(1, 2, 3)))

    @torch.no_grad()
    def start_from(self, log_gamma_FQ: npt.ArrayLike) -> None:
        """Set the heads' biases so that training starts from a climatological γ.

        Parameters
        ----------
        log_gamma_FQ : array_like
            Mean of log1p γ over training samples (the mean in which the loss compares).
        """
        gamma = torch.expm1(torch.as_tensor(np.asarray(log_gamma_FQ), dtype=torch.float64))
        area = gamma[0].clamp_min(1e-3)
        density = torch.cat([area[:-1] - area[1:], area[-1:]]) / area[0]
        roughness = gamma[1] / torch.sqrt(4.0 * math.pi * area) - 1.0
        total = (area[:1] / self.tile_area).clamp(1e-6, 1.0 - 1e-6)
        biases = (
            torch.logit(total),
            torch.log(density.clamp_min(1e-6)),
            _inverse_softplus(roughness.clamp_min(1e-2)),
            _inverse_softplus(gamma[2].clamp_min(1e-2)),
        )
        _fill(self.heads.bias, torch.cat(biases))

    def forward(self, rain_rate_BHW: Tensor) -> Tensor:
        """Return γ of tiles.

        Parameters
        ----------
        rain_rate_BHW : Tensor
            In mm/h, north first, of the tile size the emulator was made for; negative is dry.

        Returns
        -------
        Tensor (B, F, Q)
            Area (km2), perimeter (km), components (1) at every threshold.

        Raises
        ------
        InputError
            If the tiles have another size.
        """
        size = self.design.tile_size
        if rain_rate_BHW.shape[1:] != (size, size):
            raise InputError(
                "the emulator was made for tiles of another size",
                got=tuple(rain_rate_BHW.shape),
                expected=f"(samples, {size}, {size})",
            )
        x_BCHW = (torch.log1p(rain_rate_BHW.clamp_min(0.0)) / self.log_max)[:, None]
        # Channels last in memory: half the time of a training step on the CPU.
        x_BCHW = functional.gelu(self.stem(x_BCHW)).contiguous(memory_format=torch.channels_last)
        for number, stage in enumerate(self.stages):
            if number:
                x_BCHW = functional.max_pool2d(x_BCHW, 2, ceil_mode=True)
            x_BCHW = stage(x_BCHW)
        pooled_BC = x_BCHW.sum(dim=(2, 3)) / self.positions
        return self._decode(self.heads(functional.gelu(self.latent(pooled_BC))))

    def _decode(self, raw: Tensor) -> Tensor:
        """Turn the heads' raw output (B, 1 + 3 Q) into a γ that geometry allows."""
        total_B1, rest = raw[:, :1], raw[:, 1:]
        density_BQ, roughness_BQ, components_BQ = rest.chunk(3, dim=1)
        area_BQ = self.tile_area * torch.sigmoid(total_B1) * _exceedance(density_BQ)
        disk_BQ = torch.sqrt(4.0 * math.pi * area_BQ.clamp_min(LEAST_AREA_KM2))
        perimeter_BQ = disk_BQ * (1.0 + functional.softplus(roughness_BQ))
        return torch.stack([area_BQ, perimeter_BQ, functional.softplus(components_BQ)], dim=1)


def _exceedance(density_logits_BQ: Tensor) -> Tensor:
    """Return the share of the total above each threshold: 1 at most, and never increasing."""
    density_BQ = torch.softmax(density_logits_BQ, dim=1)
    sums_BQ = density_BQ.flip(1).cumsum(dim=1).clamp(max=1.0)
    # A GPU's parallel scan may round a longer sum below a shorter one; the running maximum is
    # what makes "never increasing" true to the last digit.
    return sums_BQ.cummax(dim=1).values.flip(1)


def _fill(bias: Tensor | None, values: Tensor) -> None:
    if bias is not None:
        bias.copy_(values)


def _inverse_softplus(values: Tensor) -> Tensor:
    return values + torch.log(-torch.expm1(-values))


def predict(emulator: nn.Module, rain_rate: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return γ of a batch of tiles, without gradients.

    Parameters
    ----------
    emulator : Module
        Frozen, as `load_emulator` returns it.
    rain_rate : array (B, H, W)
        In mm/h, north first.

    Returns
    -------
    array (B, F, Q)
        In physical units.

    Raises
    ------
    InputError
        If the emulator is in training mode: its power iteration would change it.
    """
    if emulator.training:
        raise InputError(
            "the emulator is in training mode, in which calling it changes it",
            hint="call emulator.eval() first",
        )
    device = next(emulator.parameters()).device
    with torch.inference_mode():
        gamma_BFQ = emulator(torch.from_numpy(rain_rate).to(device))
    predicted: npt.NDArray[np.float32] = gamma_BFQ.cpu().numpy()
    return predicted
