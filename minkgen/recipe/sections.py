"""What all sections of a recipe share: strictness, times in UTC, windows, units in types."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

__all__ = ["WINDOW_MINUTES", "PositiveFloat", "Section", "Share", "UtcTime", "Window"]

# Windows begin and end where composites of every product do.
WINDOW_MINUTES = 15


def _as_utc(value: object) -> object:
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value


def _on_the_quarter_hour(time: datetime) -> datetime:
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    if time.minute % WINDOW_MINUTES or time.second or time.microsecond:
        raise ValueError(f"must lie on a multiple of {WINDOW_MINUTES} minutes")
    return time


UtcTime = Annotated[datetime, BeforeValidator(_as_utc), AfterValidator(_on_the_quarter_hour)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A frozen part of a recipe that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class Window(Section):
    """A half-open span of time, `start` <= t < `end`, in UTC."""

    start: UtcTime
    end: UtcTime

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.start >= self.end:
            raise ValueError(
                f"is empty: start {self.start:%FT%R} is not before end {self.end:%FT%R}"
            )
        return self

    def __contains__(self, time: datetime) -> bool:
        return self.start <= time < self.end

    def days(self) -> list[date]:
        """Return the UTC days that the window touches, in order."""
        last = (self.end - timedelta(microseconds=1)).date()
        count = (last - self.start.date()).days + 1
        return [self.start.date() + timedelta(days=index) for index in range(count)]
