"""Rain rates from the composites of any product: what tiles are cut from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

import numpy as np
import numpy.typing as npt

from minkgen.opera.conversion import FRAMES_PER_HOUR, accumulate_hour, rain_rate_of
from minkgen.products import PRODUCTS
from minkgen.recipe import FlagRules, Recipe, Window, digest
from minkgen.store.composites import Composites, open_composites
from minkgen.store.flags import flags_of
from minkgen.store.frames import read_frames
from minkgen.store.layout import StorePaths
from minkgen.store.ledger import read_ledger

__all__ = ["Frame", "RainSource", "ok_frames", "rain_frames"]


@dataclass(frozen=True)
class Frame:
    """Rain that tiles can be cut from.

    Attributes
    ----------
    sha256 : str
        Digest of the composite's source file; of the digests of several, where it needs several.
    product : str
        Production line and ODIM quantity.
    source : str
        Who made it.
    flags : tuple of str
    """

    sha256: str
    product: str
    source: str
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class RainSource:
    """The composites of a store, read as rain rates. Travels to the workers.

    Attributes
    ----------
    paths : StorePaths
        The store, and the group of the product.
    hourly : bool
        Read the mean rate of the hour that ends at a time, of four frames.
    z_r : tuple of float, or None
        Of reflectivity, a and b; None takes what each file states, else Marshall and Palmer's.
    """

    paths: StorePaths
    hourly: bool = False
    z_r: tuple[float, float] | None = None

    @classmethod
    def of(cls, recipe: Recipe) -> Self:
        """Return the source that a recipe asks for."""
        paths = StorePaths(recipe.store.absolute(), recipe.group)
        z_r = None if recipe.z_r is None else (recipe.z_r.a, recipe.z_r.b)
        return cls(paths, recipe.hourly, z_r)

    def open(self) -> Composites:
        """Open the composites, to read frames of them."""
        return open_composites(self.paths)

    def read(self, composites: Composites, time: datetime) -> npt.NDArray[np.float32]:
        """Read one frame.

        Parameters
        ----------
        composites : Composites
            As `open` gives them.
        time : datetime
            Nominal time.

        Returns
        -------
        ndarray of float32, shape (H, W)
            mm/h; NaN without coverage.
        """
        product = composites.product
        if self.hourly:
            first = time - (FRAMES_PER_HOUR - 1) * product.step
            return accumulate_hour(composites.read(product.variable, first, FRAMES_PER_HOUR))
        values = composites.read(product.variable, time)[0]
        return rain_rate_of(values, product.quantity, self._z_r(product.quantity, time))

    def _z_r(self, quantity: str, time: datetime) -> tuple[float, float] | None:
        if quantity != "DBZH" or self.z_r is not None:
            return self.z_r
        row = read_frames(self.paths, time.date())[time]
        return None if row["zr_a"] is None else (row["zr_a"], row["zr_b"])


def ok_frames(paths: StorePaths, period: Window, rules: FlagRules) -> dict[datetime, Frame]:
    """Return the ok composites of a period in the order of their times.

    Their flags are judged among the ok composites of the period alone, day by day: what else the
    store holds changes none.
    """
    frames = {}
    for day in period.days():
        ledger, table = read_ledger(paths, day), read_frames(paths, day)
        times = [time for time in sorted(ledger.slots) if ledger.ok(time) and time in period]
        flags = flags_of([table[time] for time in times], rules)
        for time in times:
            row = table[time]
            product = f"{row['era']}_{row['product']}"
            frames[time] = Frame(row["sha256"], product, row["source"], flags[time])
    return frames


def rain_frames(source: RainSource, recipe: Recipe) -> dict[datetime, Frame]:
    """Return the times of a recipe's period at which there is rain to cut tiles from.

    An hour's rain needs its four frames, all of them ok; it has the flags of each.
    """
    frames = ok_frames(source.paths, recipe.period, recipe.flags)
    return _hours(frames, PRODUCTS[recipe.product].step) if source.hourly else frames


def _hours(frames: Mapping[datetime, Frame], step: timedelta) -> dict[datetime, Frame]:
    hours = {}
    for time, last in frames.items():
        parts = [frames.get(time - back * step) for back in reversed(range(FRAMES_PER_HOUR))]
        whole = [part for part in parts if part is not None]
        if len(whole) == FRAMES_PER_HOUR:
            hours[time] = replace(
                last,
                sha256=digest([part.sha256 for part in whole]),
                flags=tuple(sorted({flag for part in whole for flag in part.flags})),
            )
    return hours
