"""Rules that flag suspicious frames, and which flags keep a frame out of the tiles.

A rule is a function of the frame table alone (`minkgen.store.flags`). It carries a version: the
meaning or a default of a rule changes only together with its version, so that a recorded version
and its parameters say for ever what was flagged.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from minkgen.recipe.cutting import each_once
from minkgen.recipe.sections import PositiveFloat, Section, Share

__all__ = ["Ceiling", "CoverageDrop", "ExcludeFlags", "FlagName", "FlagRules"]

FlagName = Literal["ceiling", "spike", "coverage_drop", "repeated_value"]
ExcludeFlags = Annotated[tuple[FlagName, ...], AfterValidator(each_once)]

# The frame table looks for repeated values from 31 mm/h.
RepeatedRate = Annotated[float, Field(ge=31, allow_inf_nan=False)]
Pixels = Annotated[int, Field(ge=1)]


class Ceiling(Section):
    """The value that a frame repeats most often is one at which radars are cut off.

    48.62 and 364.63 mm/h are 50 and 64 dBZ. Both also stand on the ladder of 0.4 dB on which NIMBUS
    values lie, hence the number of pixels: measured on 16 summer frames put on that ladder, 48.62
    occurs in up to 26 pixels but is never the most frequent rate; in 4 winter frames of NIMBUS no
    rate occurs more than 12 times, in frames of ODYSSEY none more than 4 times.
    """

    version: Literal[1] = 1
    rates_mm_h: tuple[RepeatedRate, ...] = Field(
        default=(48.62, 364.63), min_length=1, description="as the files hold them"
    )
    pixels: Pixels = Field(default=25, description="that hold the value, at least")


class Spike(Section):
    """The largest rate is beyond what rain reaches.

    500 mm/h lie above the higher of the two ceilings (364.63 mm/h, 64 dBZ); spikes up to 13,000
    mm/h have been seen. Single pixels of that kind are frequent: 2 of 16 summer frames of ODYSSEY.
    """

    version: Literal[1] = 1
    above_mm_h: PositiveFloat = 500.0


class CoverageDrop(Section):
    """The covered fraction is below the median of its day by more than a share of the median.

    The median is that of all frames at hand of the same product, era and UTC day. Single radars
    come and go all the time (149 to 153 of them within four hours) and change the covered fraction
    by 0.1 % at most, because their neighbours cover for them; 5 % are two to three radars that
    stand alone, or the network of a country.
    """

    version: Literal[1] = 1
    share: Annotated[float, Field(gt=0, lt=1)] = 0.05


class RepeatedValue(Section):
    """One value fills a large share of all pixels of at least 31 mm/h, as a stuck radar does.

    A share, because value ladders make counts grow with the rain: the lowest step from 31 mm/h
    holds 11 to 17 % of these pixels, in NIMBUS and in ODYSSEY put on its ladder.
    """

    version: Literal[1] = 1
    pixels: Pixels = Field(default=25, description="that hold the value, at least")
    share: Share = Field(default=0.5, description="of the pixels from 31 mm/h, at least")


class FlagRules(Section):
    """The rules behind the flags of frames, by the names of the flags."""

    ceiling: Ceiling = Ceiling()
    spike: Spike = Spike()
    coverage_drop: CoverageDrop = CoverageDrop()
    repeated_value: RepeatedValue = RepeatedValue()
