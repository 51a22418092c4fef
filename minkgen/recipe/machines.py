"""Where tasks run, and how networks are trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from minkgen.recipe.sections import PositiveFloat, Section

__all__ = ["Cluster", "Emulator"]


class Cluster(Section):
    """Where tasks run."""

    kind: Literal["local"] = "local"
    workers: int | None = Field(default=None, ge=1, description="processes; all cores by default")


class Emulator(Section):
    """The constrained Lipschitz network and how it is trained."""

    widths: tuple[Annotated[int, Field(ge=8, multiple_of=8)], ...] = Field(
        default=(32, 64, 128, 256), min_length=1, max_length=5, description="channels of each stage"
    )
    latent: int = Field(default=256, ge=8)
    batch_size: int = Field(default=128, ge=1)
    epochs: int = Field(default=50, ge=1)
    patience: int = Field(default=15, ge=1, description="epochs without progress before stopping")
    learning_rate: PositiveFloat = 1e-3
    weight_decay: float = Field(default=0.0, ge=0)
    mixup: bool = Field(default=True, description="train on the mixed tiles, too")
    max_tiles: int | None = Field(default=None, ge=1, description="train on the first so many rows")
    seed: int = Field(default=0, ge=0)
