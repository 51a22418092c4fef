"""Recipes: every choice that decides a number, section by section, with units and defaults.

Times are UTC. `minkgen.recipe_file` reads recipes from YAML and lists their faults.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from minkgen.grid import GRIDS

__all__ = [
    "DEFAULT_LEVELS",
    "Emulator",
    "FloorChoice",
    "MixUp",
    "Persistence",
    "Recipe",
    "Splits",
    "ThresholdChoice",
    "Tiles",
    "Window",
    "canonical_json",
    "differences",
    "digest",
    "split_faults",
]

COMPOSITE_MINUTES = 15
DEFAULT_LEVELS: tuple[float, ...] = (0.01, *(round(0.05 * step, 2) for step in range(1, 20)), 0.99)


def _as_utc(value: object) -> object:
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value


def _on_the_quarter_hour(time: datetime) -> datetime:
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    if time.minute % COMPOSITE_MINUTES or time.second or time.microsecond:
        raise ValueError(f"must lie on a multiple of {COMPOSITE_MINUTES} minutes")
    return time


UtcTime = Annotated[datetime, BeforeValidator(_as_utc), AfterValidator(_on_the_quarter_hour)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


def _known_grid(name: str) -> str:
    if name not in GRIDS:
        raise ValueError(f"must be one of {', '.join(GRIDS)}")
    return name


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class Window(_Section):
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


class Source(_Section):
    """Where composites come from: a folder laid out like the public archive."""

    kind: Literal["folder"] = "folder"
    path: Path


class Tiles(_Section):
    """How composites are cut into tiles, and which tiles are kept."""

    size: int = Field(default=128, ge=8, le=1024, description="rows and columns of a tile")
    stride: int = Field(default=128, ge=1, description="pixels between two tiles' corners")
    offset: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] = Field(
        default=(0, 0), description="row and column of the first tile"
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


def _in_order(
    windows: Mapping[str, Window],
) -> Iterator[tuple[tuple[str, Window], tuple[str, Window]]]:
    return pairwise(sorted(windows.items(), key=lambda item: item[1].start))


def split_faults(windows: Mapping[str, Window], gap_hours: float) -> list[str]:
    """Return which splits overlap, and which the gap before them leaves empty."""
    faults = []
    for (earlier, first), (later, second) in _in_order(windows):
        if second.start < first.end:
            faults.append(f"{earlier} and {later} overlap: {later} starts before {first.end:%FT%R}")
        elif second.end <= first.end + timedelta(hours=gap_hours):
            faults.append(f"the gap of {gap_hours:g} h after {earlier} leaves {later} empty")
    return faults


class Splits(_Section):
    """Training, validation and test periods, kept apart by a gap."""

    train: Window
    validation: Window
    test: Window
    gap_hours: float = Field(
        default=6.0, ge=0, description="cut from the start of the later of two splits"
    )

    def windows(self) -> dict[str, Window]:
        """Return the windows by name, as written."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        faults = split_faults(self.windows(), self.gap_hours)
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def trimmed(self) -> dict[str, Window]:
        """Return the windows by name after the gap is cut from the start of each later one."""
        trimmed = self.windows()
        for (_, first), (later, second) in _in_order(trimmed):
            start = max(second.start, first.end + timedelta(hours=self.gap_hours))
            trimmed[later] = Window.model_construct(start=start, end=second.end)
        return trimmed


class QuantileThresholds(_Section):
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


class PhysicalThresholds(_Section):
    """Thresholds given in mm/h."""

    kind: Literal["physical"]
    values: tuple[PositiveFloat, ...] = Field(min_length=2, description="mm/h")

    @model_validator(mode="after")
    def _increasing(self) -> Self:
        _require_increasing(self.values, "values")
        return self


class LogThresholds(_Section):
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


class GivenFloor(_Section):
    """A persistence floor given in mm/h."""

    kind: Literal["given"]
    value_mm_h: float = Field(ge=0, allow_inf_nan=False)


class PercentileFloor(_Section):
    """A persistence floor at a percentile of the training lifetimes."""

    kind: Literal["percentile"]
    percentile: float = Field(default=95.0, gt=0, lt=100)


class ElbowFloor(_Section):
    """A persistence floor at the elbow of the histogram of the training lifetimes."""

    kind: Literal["elbow"]


FloorChoice = Annotated[GivenFloor | PercentileFloor | ElbowFloor, Field(discriminator="kind")]


class Persistence(_Section):
    """Which topological features count."""

    components: FloorChoice = PercentileFloor(kind="percentile")
    holes: FloorChoice = PercentileFloor(kind="percentile")
    sample_tiles: int = Field(default=20_000, ge=1, description="training tiles to estimate from")
    essential: Literal["alive", "background"] = Field(
        default="alive", description="where the component that never dies is counted"
    )


class MixUp(_Section):
    """Augmentation of the training split by mixing tiles with their coarse selves."""

    alpha: PositiveFloat = Field(default=0.2, description="lambda ~ Beta(alpha, alpha)")
    noise_mm_h: float = Field(default=0.05, ge=0, allow_inf_nan=False)
    upsampling: Literal["bicubic", "nearest"] = "bicubic"


class Cluster(_Section):
    """Where tasks run."""

    kind: Literal["local"] = "local"
    workers: int | None = Field(default=None, ge=1, description="processes; all cores by default")


class Emulator(_Section):
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


class Recipe(_Section):
    """A whole recipe; see the sections for their keys."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$", description="names the snapshots")
    seed: int = Field(default=0, ge=0)
    store: Path = Field(description="folder of the feature store")
    source: Source
    grid: Annotated[str, AfterValidator(_known_grid)] = "opera_2km"
    period: Window = Field(description="the composites that the store shall hold")
    tiles: Tiles = Tiles()
    splits: Splits
    thresholds: ThresholdChoice = QuantileThresholds(kind="quantile")
    persistence: Persistence = Persistence()
    mixup: MixUp = MixUp()
    cluster: Cluster = Cluster()
    emulator: Emulator = Emulator()

    def numeric(self) -> dict[str, Any]:
        """Return, as plain JSON values, the sections that decide the numbers of a snapshot.

        Paths, the name, the period of the store and everything about machines and training are
        left out: they change no number (the composites enter a snapshot by their digests).
        """
        sections = ("seed", "grid", "tiles", "splits", "thresholds", "persistence", "mixup")
        return self.model_dump(mode="json", include=set(sections))


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no white space, no NaN.

    Examples
    --------
    >>> canonical_json({"b": 1, "a": [0.1]})
    '{"a":[0.1],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of a value, in hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return what differs between nested sections, as one text for each, or None.

    Parameters
    ----------
    found, wanted : mapping
        Nested sections of plain values; a tuple equals a list.

    Returns
    -------
    tuple of str, or None
        `path: value` of all that differs, in `found` and in `wanted`.

    Examples
    --------
    >>> differences({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2})
    ('a.b: 1', 'a.b: 3')
    """
    there, here = _leaves(found), _leaves(wanted)
    paths = sorted(path for path in there | here if there.get(path) != here.get(path))
    if not paths:
        return None
    texts = ["; ".join(f"{path}: {side.get(path)}" for path in paths) for side in (there, here)]
    return texts[0], texts[1]


def _leaves(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in section.items():
        if isinstance(value, Mapping):
            leaves |= _leaves(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return leaves
