"""Surrogates of γ: which there are, and how those that learn are trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from minkgen.recipe.sections import PositiveFloat, Section, Share

__all__ = ["PCR", "Analytical", "Architecture", "Emulator", "Exact", "Trust"]

Architecture = Literal["lip-cnn-constrained", "lip-cnn", "cnn-constrained", "cnn"]


class Emulator(Section):
    """A network that emulates γ, and how it is trained."""

    architecture: Architecture = Field(
        default="lip-cnn-constrained",
        description="lip: spectral norm on convolutions; constrained: heads that obey geometry",
    )
    perimeter: Literal["perimeter", "perimeter_closed"] = Field(
        default="perimeter", description="which perimeter is emulated"
    )
    widths: tuple[Annotated[int, Field(ge=8, multiple_of=8)], ...] = Field(
        default=(32, 64, 128, 256), min_length=1, max_length=5, description="channels of each stage"
    )
    latent: int = Field(default=256, ge=8)
    batch_size: int = Field(default=128, ge=1)
    epochs: int = Field(default=50, ge=1)
    patience: int = Field(default=15, ge=1, description="epochs without progress before stopping")
    learning_rate: PositiveFloat = 1e-3
    weight_decay: float = Field(default=0.0, ge=0)
    term_weights: Literal["learned"] | tuple[PositiveFloat, PositiveFloat, PositiveFloat] = Field(
        default="learned", description="of area, perimeter and components in the objective"
    )
    mixup: bool = Field(default=True, description="train on the mixed tiles, too")
    input_noise: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="standard deviation of Gaussian noise on the network's input while training",
    )
    max_tiles: int | None = Field(default=None, ge=1, description="train on the first so many rows")
    precision: Literal["32-true", "bf16-mixed"] = Field(
        default="32-true", description="of the convolutions; spectral norms and γ stay in float32"
    )
    seed: int = Field(default=0, ge=0)


class PCR(Section):
    """Linear regression of log γ on the principal components of tiles."""

    components: int = Field(default=128, ge=1)
    basis_tiles: int = Field(default=4096, ge=2, description="training tiles the basis is made of")
    seed: int = Field(default=0, ge=0)


class _Soft(Section):
    """Steps that are soft: the temperature at threshold u is max(factor * u, floor)."""

    temperature_factor: PositiveFloat = 0.1
    temperature_floor_mm_h: PositiveFloat = 1e-3


class Analytical(_Soft):
    """The paper's closed form of γ, of soft excursion sets."""

    area: Literal["soft", "straight-through"] = "soft"
    perimeter: Literal["central-differences", "crofton"] = "central-differences"
    closing: bool = Field(default=True, description="fill small holes before counting")
    opening: bool = Field(
        default=False, description="take small showers off before counting, after the closing"
    )
    persistence_mask: bool = Field(
        default=True,
        description="count only near rain that rises by the persistence floor above the threshold",
    )


class Exact(_Soft):
    """The exact functionals, with the gradients of their soft form."""

    forward: Literal["hard", "soft"] = "hard"


class Trust(Section):
    """How far an emulator's loss is trusted on a sample: exp(-kappa err²)."""

    least_weight: Annotated[Share, Field(gt=0, lt=1)] = Field(
        default=0.05, description="trust at the 90th percentile of err² on validation tiles"
    )
