"""Recipes: every choice that decides a number, section by section, with units and defaults.

Times are UTC. `minkgen.recipe_file` reads recipes from YAML and lists their faults.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from minkgen.grid import GRIDS, OWN_GRID
from minkgen.products import GROUPS, OWN
from minkgen.recipe.canonical import canonical_json, differences, digest, leaves
from minkgen.recipe.cutting import Tiles
from minkgen.recipe.fetching import Download, Reading, Source, XarraySource
from minkgen.recipe.learning import PCR, Analytical, Architecture, Emulator, Exact, Trust
from minkgen.recipe.machines import (
    Cluster,
    LocalProcesses,
    SchedulerAddress,
    SlurmJobs,
)
from minkgen.recipe.quality import Ceiling, ExcludeFlags, FlagRules, RepeatedValue
from minkgen.recipe.rain import ZR, ProductName, rain_faults
from minkgen.recipe.regions import Region
from minkgen.recipe.sections import Section, Window
from minkgen.recipe.sharing import Sharing
from minkgen.recipe.splits import Splits, split_faults
from minkgen.recipe.superres import SuperResolution
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
    "DEFAULT_LEVELS",
    "PCR",
    "ZR",
    "Analytical",
    "Architecture",
    "Ceiling",
    "Cluster",
    "Dem",
    "Download",
    "ElbowFloor",
    "Emulator",
    "Exact",
    "FlagRules",
    "FloorChoice",
    "GivenFloor",
    "LocalProcesses",
    "LogThresholds",
    "MixUp",
    "PercentileFloor",
    "Persistence",
    "PhysicalThresholds",
    "QuantileThresholds",
    "Recipe",
    "Region",
    "RepeatedValue",
    "SchedulerAddress",
    "Sharing",
    "SlurmJobs",
    "Source",
    "Splits",
    "SuperResolution",
    "ThresholdChoice",
    "Tiles",
    "Trust",
    "Window",
    "XarraySource",
    "canonical_json",
    "differences",
    "digest",
    "leaves",
    "split_faults",
    "with_grid",
]


def _known_grid(name: str) -> str:
    if name not in GRIDS and name != OWN_GRID:
        raise ValueError(f"must be one of {', '.join(GRIDS)}, or {OWN_GRID}")
    return name


def with_grid(data: Any) -> Any:
    """Return a recipe's data with the grid that follows from its source, where it names none."""
    if not isinstance(data, Mapping) or "grid" in data:
        return data
    source = data.get("source")
    kind = source.get("kind") if isinstance(source, Mapping) else getattr(source, "kind", None)
    return {**data, "grid": OWN_GRID} if kind == "xarray" else data


class Recipe(Section):
    """A whole recipe; see the sections for their keys."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$", description="names the snapshots")
    seed: int = Field(default=0, ge=0)
    store: Path = Field(description="folder of the feature store")
    source: Source
    download: Download = Download()
    reading: Reading = Reading()
    product: ProductName = Field(
        default="RATE", description="rain rate, accumulation over an hour, or reflectivity"
    )
    hourly: bool = Field(
        default=False, description="rain of the hour that ends at a frame's time, of four rates"
    )
    z_r: ZR | None = Field(
        default=None, description="of reflectivity; by default as files state it, or 200 and 1.6"
    )
    grid: Annotated[str, AfterValidator(_known_grid)] = Field(
        default="opera_2km",
        description="of OPERA's composites; `own`, the default there, with a source of kind xarray",
    )
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
    climate_from: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9-]*$",
        description="snapshot whose thresholds, floors and normalisation are kept; fitted anew by "
        "default",
    )
    mixup: MixUp = MixUp()
    cluster: Cluster = LocalProcesses()
    sharing: Sharing = Sharing()
    emulator: Emulator = Emulator()
    pcr: PCR = PCR()
    analytical: Analytical = Analytical()
    exact: Exact = Exact()
    trust: Trust = Trust()
    superres: SuperResolution = SuperResolution()

    @model_validator(mode="before")
    @classmethod
    def _grid_of_source(cls, data: Any) -> Any:
        return with_grid(data)

    @model_validator(mode="after")
    def _rain_fits(self) -> Self:
        faults = rain_faults(
            self.product,
            self.grid,
            own=self.is_own,
            hourly=self.hourly,
            z_r=self.z_r,
            gap_hours=self.splits.gap_hours,
        )
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def is_own(self) -> bool:
        """Whether it is about rain fields of one's own, not about OPERA's composites."""
        return isinstance(self.source, XarraySource)

    @property
    def group(self) -> str:
        """The group of the store's composites that holds what the recipe asks for."""
        return GROUPS[OWN if self.is_own else self.product]

    def rain(self) -> dict[str, Any]:
        """Return, as plain JSON values, what decides which rain a composite holds."""
        return self.model_dump(mode="json", include={"product", "hourly", "z_r", "grid"})

    def numeric(self) -> dict[str, Any]:
        """Return, as plain JSON values, the sections that decide the numbers of a snapshot.

        Paths, the name, the period of the store and everything about machines and training are
        left out: they change no number (the composites enter a snapshot by their digests, what is
        kept of another snapshot enters it as thresholds, floors and normalisation).
        """
        sections = (
            "seed",
            "product",
            "hourly",
            "z_r",
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
