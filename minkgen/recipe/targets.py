"""What is computed for every tile: thresholds, persistence floors, mixed tiles."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from minkgen.recipe.sections import PositiveFloat, Section

__all__ = [
    "DEFAULT_LEVELS",
    "ElbowFloor",
    "FloorChoice",
    "GivenFloor",
    "LogThresholds",
    "MixUp",
    "PercentileFloor",
    "Persistence",
    "PhysicalThresholds",
    "QuantileThresholds",
    "ThresholdChoice",
]

DEFAULT_LEVELS: tuple[float, ...] = (0.01, *(round(0.05 * step, 2) for step in range(1, 20)), 0.99)


class QuantileThresholds(Section):
    """Thresholds at quantiles of the wet pixels of the training split."""

    kind: Literal["quantile"]
    levels: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        default=DEFAULT_LEVELS, min_length=2
    )
    max_pixels: int | None = Field(default=None, ge=1, description="sample so many; all by default")

    @model_validator(mode="after")
    def _increasing(self) -> Self:
        _require_increasing(self.levels, "levels")
        return self


class PhysicalThresholds(Section):
    """Thresholds given in mm/h."""

    kind: Literal["physical"]
    values: tuple[PositiveFloat, ...] = Field(min_length=2, description="mm/h")

    @model_validator(mode="after")
    def _increasing(self) -> Self:
        _require_increasing(self.values, "values")
        return self


class LogThresholds(Section):
    """Thresholds at equal steps of log rate."""

    kind: Literal["log"]
    low: PositiveFloat = Field(description="mm/h")
    high: PositiveFloat = Field(description="mm/h")
    count: int = Field(ge=2, le=1000)

    @model_validator(mode="after")
    def _increasing(self) -> Self:
        _require_increasing((self.low, self.high), "low, high")
        return self


def _require_increasing(values: Sequence[float], name: str) -> None:
    if any(second <= first for first, second in pairwise(values)):
        raise ValueError(f"{name} must be strictly increasing")


ThresholdChoice = Annotated[
    QuantileThresholds | PhysicalThresholds | LogThresholds, Field(discriminator="kind")
]


class GivenFloor(Section):
    """A persistence floor given in mm/h."""

    kind: Literal["given"]
    value_mm_h: float = Field(ge=0, allow_inf_nan=False)


class PercentileFloor(Section):
    """A persistence floor at a percentile of the training lifetimes."""

    kind: Literal["percentile"]
    percentile: float = Field(default=95.0, gt=0, lt=100)


class ElbowFloor(Section):
    """A persistence floor at the elbow of the histogram of the training lifetimes."""

    kind: Literal["elbow"]


FloorChoice = Annotated[GivenFloor | PercentileFloor | ElbowFloor, Field(discriminator="kind")]


class Persistence(Section):
    """Which topological features count."""

    components: FloorChoice = PercentileFloor(kind="percentile")
    holes: FloorChoice = PercentileFloor(kind="percentile")
    sample_tiles: int = Field(default=20_000, ge=1, description="training tiles to estimate from")
    essential: Literal["alive", "background"] = Field(
        default="alive", description="where the component that never dies is counted"
    )


class MixUp(Section):
    """Augmentation of the training split by mixing tiles with their coarse selves."""

    alpha: PositiveFloat = Field(default=0.2, description="lambda ~ Beta(alpha, alpha)")
    noise_mm_h: float = Field(default=0.05, ge=0, allow_inf_nan=False)
    upsampling: Literal["bicubic", "nearest"] = "bicubic"
