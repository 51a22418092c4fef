"""The surrogate made of a trunk and heads, and what can be measured of its smoothness.

Shape suffixes: B samples, F functionals, Q thresholds, H rows (north first), W columns, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from minkgen.errors import InputError
from minkgen.learn.emulators.design import EmulatorDesign
from minkgen.learn.emulators.heads import ConstrainedHeads, IndependentHeads
from minkgen.learn.emulators.trunks import Trunk
from minkgen.learn.losses import signed_log1p
from minkgen.learn.surrogate import Surrogate, zero_drizzle

__all__ = ["EmulatorNetwork", "input_gradient_norms", "spectral_product"]


class EmulatorNetwork(Surrogate):
    """A network that emulates γ, called as ``emulator(rain_rate_BHW) -> gamma_BFQ``.

    Drizzle is zeroed inside, and the network sees log1p(rate) / log_max. Heads and γ are computed
    in float32, whatever autocast does to the convolutions.

    Parameters
    ----------
    design : EmulatorDesign
    input_noise : float, optional
        Standard deviation of Gaussian noise on the normalised input, in training mode only.
    """

    log_max: Tensor

    def __init__(self, design: EmulatorDesign, *, input_noise: float = 0.0) -> None:
        super().__init__(design.definition, design.functionals)
        self.design = design
        self.input_noise = input_noise
        self.register_buffer("log_max", torch.tensor(design.log_max, dtype=torch.float32))
        self.trunk = Trunk(design)
        heads = ConstrainedHeads if design.is_constrained else IndependentHeads
        self.heads: ConstrainedHeads | IndependentHeads = heads(design)

    def forward(self, rain_rate_BHW: Tensor) -> Tensor:
        """Return γ of tiles.

        Parameters
        ----------
        rain_rate_BHW : Tensor
            In mm/h, north first, of the tile size the emulator was made for.

        Returns
        -------
        Tensor (B, F, Q)
            Area (km2), perimeter (km), components (1) at every threshold.

        Raises
        ------
        InputError
            If the tiles have another size.
        """
        x_BCHW = self.normalised(rain_rate_BHW)
        if self.training and self.input_noise:
            x_BCHW = x_BCHW + self.input_noise * torch.randn_like(x_BCHW)
        return self.gamma_of(x_BCHW)

    def normalised(self, rain_rate_BHW: Tensor) -> Tensor:
        """Return what the network sees of tiles: (B, 1, H, W), 0 where dry."""
        size = self.design.tile_size
        if rain_rate_BHW.shape[1:] != (size, size):
            raise InputError(
                "the emulator was made for tiles of another size",
                got=tuple(rain_rate_BHW.shape),
                expected=f"(samples, {size}, {size})",
            )
        wet_BHW = zero_drizzle(rain_rate_BHW, self.definition.drizzle_mm_h)
        return (torch.log1p(wet_BHW) / self.log_max)[:, None]

    def gamma_of(self, x_BCHW: Tensor) -> Tensor:
        """Return γ of normalised tiles."""
        latent = self.trunk(x_BCHW)
        with torch.autocast(latent.device.type, enabled=False):
            gamma_BFQ: Tensor = self.heads(latent)
        return gamma_BFQ


@torch.no_grad()
def spectral_product(network: nn.Module) -> float:
    """Return the product of the spectral norms of all convolutions' kernels.

    A kernel is taken as the matrix (channels out, channels in times positions), as spectral
    normalisation takes it. The product is no bound of the network: normalisation layers and
    residual sums are in the path, linear layers and the norm of sliding a kernel are left out.

    Parameters
    ----------
    network : Module
        In evaluation mode, in which looking at its kernels does not change them.

    Returns
    -------
    float
    """
    product = 1.0
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            kernel = module.weight.cpu().flatten(1)
            product *= float(torch.linalg.matrix_norm(kernel, 2))
    return product


def input_gradient_norms(emulator: EmulatorNetwork, rain_rate_BHW: Tensor) -> Tensor:
    """Return how strongly the emulated γ of tiles reacts to the network's input.

    Parameters
    ----------
    emulator : EmulatorNetwork
        In evaluation mode.
    rain_rate_BHW : Tensor
        In mm/h.

    Returns
    -------
    Tensor (B,)
        Euclidean norm of the gradient, over a tile's normalised pixels, of its mean log1p γ.
    """
    with torch.enable_grad():
        x_BCHW = emulator.normalised(rain_rate_BHW).detach().requires_grad_()
        means_B = signed_log1p(emulator.gamma_of(x_BCHW)).mean(dim=(1, 2))
        (gradient_BCHW,) = torch.autograd.grad(means_B.sum(), x_BCHW)
    norms_B: Tensor = torch.linalg.vector_norm(gradient_BCHW.flatten(1), dim=1)
    return norms_B
