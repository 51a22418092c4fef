"""What an emulator is built from, apart from its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self, get_args

from minkgen.errors import InputError
from minkgen.learn.surrogate import GammaDefinition
from minkgen.recipe import Architecture

__all__ = ["EmulatorDesign"]


@dataclass(frozen=True)
class EmulatorDesign:
    """All that an emulator is built from, apart from its weights.

    Parameters
    ----------
    definition : GammaDefinition
        Which γ it emulates.
    architecture : {"lip-cnn-constrained", "lip-cnn", "cnn-constrained", "cnn"}
        "lip": residual blocks with spectral norm; "constrained": heads that obey geometry.
    perimeter : {"perimeter", "perimeter_closed"}
        Which perimeter it emulates.
    widths : tuple of int
        Channels of every stage.
    latent : int
        Length of the latent vector.
    log_max : float
        log1p of the largest training rate: the scale of the input.
    tile_size : int
        Rows and columns of a tile.

    Raises
    ------
    InputError
        If the architecture is unknown, or a tile has fewer pixels than the stages halve away.
    """

    definition: GammaDefinition
    architecture: Architecture
    perimeter: str
    widths: tuple[int, ...]
    latent: int
    log_max: float
    tile_size: int

    def __post_init__(self) -> None:
        if self.architecture not in get_args(Architecture):
            raise InputError(
                "there is no such architecture",
                where="architecture",
                got=repr(self.architecture),
                expected=", ".join(get_args(Architecture)),
            )
        least = 2 ** (len(self.widths) - 1)
        if self.tile_size < least:
            raise InputError(
                "the tile is too small for so many stages",
                where="widths",
                got=f"{len(self.widths)} stages for {self.tile_size} pixels",
                expected=f"at least {least} pixels a side",
            )

    @property
    def functionals(self) -> tuple[str, str, str]:
        """Names along F of the emulated γ."""
        return ("area", self.perimeter, "components")

    @property
    def is_lipschitz(self) -> bool:
        """Whether the trunk is the one with spectral norms."""
        return self.architecture.startswith("lip-")

    @property
    def is_constrained(self) -> bool:
        """Whether the heads obey geometry."""
        return self.architecture.endswith("-constrained")

    @property
    def tile_area(self) -> float:
        """Area of a tile in km2."""
        return (self.tile_size * self.definition.pixel_km) ** 2

    def as_dict(self) -> dict[str, Any]:
        """Return the design as plain containers."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the design that `as_dict` described, lists in the place of tuples."""
        definition = dict(values["definition"])
        for name in ("thresholds", "floors"):
            definition[name] = tuple(definition[name])
        widths = tuple(values["widths"])
        return cls(**{**values, "definition": GammaDefinition(**definition), "widths": widths})
