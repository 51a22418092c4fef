"""Recipes: every choice that decides a number, section by section, with units and defaults.

Times are UTC. `minkgen.recipe_file` reads recipes from YAML and lists their faults.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from minkgen.grid import GRIDS
from minkgen.recipe.canonical import canonical_json, differences, digest, leaves
from minkgen.recipe.cutting import Tiles
from minkgen.recipe.fetching import Download, Reading, Source
from minkgen.recipe.machines import Cluster, Emulator
from minkgen.recipe.quality import Ceiling, ExcludeFlags, FlagRules, RepeatedValue
from minkgen.recipe.regions import Region
from minkgen.recipe.sections import COMPOSITE_MINUTES, Section, Window
from minkgen.recipe.sharing import Sharing
from minkgen.recipe.splits import Splits, split_faults
from minkgen.recipe.targets import (
    DEFAULT_LEVELS,
    ElbowFloor,
    FloorChoice,
    GivenFloor,
    LogThresholds,
    MixUp,
    PercentileFloor,
    Persistence,
    PhysicalThresholds,
    QuantileThresholds,
    ThresholdChoice,
)
from minkgen.recipe.terrain import Dem

__all__ = [
    "COMPOSITE_MINUTES",
    "DEFAULT_LEVELS",
    "Ceiling",
    "Cluster",
    "Dem",
    "Download",
    "ElbowFloor",
    "Emulator",
    "FlagRules",
    "FloorChoice",
    "GivenFloor",
    "LogThresholds",
    "MixUp",
    "PercentileFloor",
    "Persistence",
    "PhysicalThresholds",
    "QuantileThresholds",
    "Recipe",
    "Region",
    "RepeatedValue",
    "Sharing",
    "Source",
    "Splits",
    "ThresholdChoice",
    "Tiles",
    "Window",
    "canonical_json",
    "differences",
    "digest",
    "leaves",
    "split_faults",
]


def _known_grid(name: str) -> str:
    if name not in GRIDS:
        raise ValueError(f"must be one of {', '.join(GRIDS)}")
    return name


class Recipe(Section):
    """A whole recipe; see the sections for their keys."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$", description="names the snapshots")
    seed: int = Field(default=0, ge=0)
    store: Path = Field(description="folder of the feature store")
    source: Source
    download: Download = Download()
    reading: Reading = Reading()
    grid: Annotated[str, AfterValidator(_known_grid)] = "opera_2km"
    dem: Dem | None = Field(default=None, description="terrain and sea; none by default")
    period: Window = Field(description="the composites that the store shall hold")
    tiles: Tiles = Tiles()
    flags: FlagRules = FlagRules()
    exclude_flags: ExcludeFlags = Field(
        default=(), description="flags that keep a frame out of the tiles"
    )
    splits: Splits
    thresholds: ThresholdChoice = QuantileThresholds(kind="quantile")
    persistence: Persistence = Persistence()
    mixup: MixUp = MixUp()
    cluster: Cluster = Cluster()
    sharing: Sharing = Sharing()
    emulator: Emulator = Emulator()

    def numeric(self) -> dict[str, Any]:
        """Return, as plain JSON values, the sections that decide the numbers of a snapshot.

        Paths, the name, the period of the store and everything about machines and training are
        left out: they change no number (the composites enter a snapshot by their digests).
        """
        sections = (
            "seed",
            "grid",
            "tiles",
            "flags",
            "exclude_flags",
            "splits",
            "thresholds",
            "persistence",
            "mixup",
        )
        return self.model_dump(mode="json", include=set(sections))
