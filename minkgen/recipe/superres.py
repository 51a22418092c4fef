"""Super-resolution: which model is trained, with which geometric loss, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from minkgen.recipe.sections import PositiveFloat, Section, Share

__all__ = ["Diffusion", "Flow", "Geometry", "GeometricLoss", "SuperResolution", "SuperResolverName"]

SuperResolverName = Literal["unet", "ddpm", "flow"]
GeometricLoss = Literal["none", "exact", "analytical", "emulator"]


class Geometry(Section):
    """The Minkowski image loss beside the loss of pixels."""

    measure: Literal["counting", "grid"] = "counting"
    weight: PositiveFloat | None = Field(
        default=None,
        description="of the geometric loss once it is warm; by default it follows from gradient_"
        "ratio, measured on the first batches after the warm-up",
    )
    gradient_ratio: PositiveFloat = Field(
        default=0.3,
        description="norm of the weighted geometric loss's gradient over that of the model's own "
        "loss, both at the network's output, that the weight is chosen by",
    )
    warm_up_epochs: int = Field(default=5, ge=0, description="before the geometric loss begins")
    ramp_epochs: int = Field(
        default=5, ge=1, description="over which its weight grows, along half a cosine"
    )
    temperature_scale: float = Field(
        default=1.0,
        ge=1,
        allow_inf_nan=False,
        description="of the exact and the analytical surrogate's temperatures at first; it falls "
        "to 1 while the weight grows",
    )


class Diffusion(Section):
    """Denoising diffusion: steps of the forward process, and of the sampler (DDIM)."""

    steps: int = Field(default=1000, ge=2)
    sampling_steps: int = Field(default=50, ge=1)


class Flow(Section):
    """Rectified flow on the residual of the U-Net's mean; Heun's steps."""

    sampling_steps: int = Field(default=16, ge=1)


class SuperResolution(Section):
    """A network that brings rain of 25 km back to the pixels of a tile, and how it is trained."""

    model: SuperResolverName = Field(
        default="unet",
        description="unet: one mean field; ddpm: denoising diffusion; flow: rectified flow on "
        "the residual of the unet trained with the same settings",
    )
    minkowski: GeometricLoss = Field(
        default="none",
        description="surrogate of the Minkowski image loss; emulator: that of the recipe",
    )
    upsampling: Literal["bicubic", "nearest"] = "bicubic"
    features: tuple[Annotated[int, Field(ge=8, multiple_of=8)], ...] = Field(
        default=(64, 128, 256, 512), min_length=2, max_length=5, description="of each stage"
    )
    batch_size: int = Field(default=128, ge=1)
    epochs: int = Field(default=25, ge=1)
    patience: int = Field(default=5, ge=1, description="epochs without progress before stopping")
    learning_rate: PositiveFloat = 1e-3
    weight_decay: float = Field(default=1e-4, ge=0)
    gradient_clip: PositiveFloat = Field(default=1.0, description="norm of a step's gradient")
    wet_share: Annotated[Share, Field(gt=0)] = Field(
        default=0.9,
        description="of wet tiles in a batch; all dry ones are drawn where there are too few",
    )
    flips: Share = Field(default=0.5, description="chance of a flip, along each axis")
    max_tiles: int | None = Field(default=None, ge=1, description="train on the first so many rows")
    precision: Literal["32-true", "bf16-mixed"] = Field(
        default="32-true", description="of the convolutions; γ stays in float32"
    )
    geometry: Geometry = Geometry()
    diffusion: Diffusion = Diffusion()
    flow: Flow = Flow()
    members: int = Field(default=8, ge=2, description="fields a generative model is judged by")
    seed: int = Field(default=0, ge=0)
