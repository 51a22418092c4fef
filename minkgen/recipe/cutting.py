"""How composites are cut into tiles, and which frames and tiles are kept."""

from __future__ import annotations

from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, Field, model_validator

from minkgen.recipe.regions import Region
from minkgen.recipe.sections import PositiveFloat, Section

__all__ = ["Tiles", "each_once"]

Choice = TypeVar("Choice", int, str)


def each_once(chosen: tuple[Choice, ...]) -> tuple[Choice, ...]:
    """Return a choice in order, so that the same choice has the same digest.

    Raises
    ------
    ValueError
        If something is chosen twice, as a slip of the pen makes it.
    """
    if len(set(chosen)) < len(chosen):
        raise ValueError("must name each of them once")
    return tuple(sorted(chosen))


Month = Annotated[int, Field(ge=1, le=12)]
Hour = Annotated[int, Field(ge=0, le=23)]


class Tiles(Section):
    """How composites are cut into tiles, and which frames and tiles are kept.

    Months and hours choose whole frames by their nominal time in UTC.
    """

    size: int = Field(default=128, ge=8, le=1024, description="rows and columns of a tile")
    stride: int = Field(default=128, ge=1, description="pixels between two tiles' corners")
    offset: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] = Field(
        default=(0, 0), description="row and column of the first tile"
    )
    region: Region = Field(default=Region(), description="where the centres of tiles lie")
    months: Annotated[tuple[Month, ...], Field(min_length=1), AfterValidator(each_once)] = Field(
        default=tuple(range(1, 13)), description="months that frames are taken from"
    )
    hours: Annotated[tuple[Hour, ...], Field(min_length=1), AfterValidator(each_once)] = Field(
        default=tuple(range(24)), description="hours (UTC) that frames are taken from"
    )
    min_coverage: float = Field(default=1.0, gt=0, le=1, description="least covered fraction")
    drizzle_mm_h: PositiveFloat = Field(default=0.1, description="smaller rates count as dry")
    dry_fraction: float = Field(
        default=0.1, ge=0, lt=1, description="share of the rows that are all-dry tiles"
    )

    @model_validator(mode="after")
    def _no_overlap(self) -> Self:
        if self.stride < self.size:
            raise ValueError(
                f"overlap: stride {self.stride} is below size {self.size}, "
                "and pixels would count twice in the climatology and the scores"
            )
        return self
