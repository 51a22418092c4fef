"""Checks of the samples' columns: their order, where they lie, and which split they are in."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from itertools import combinations

import numpy as np

from minkgen.store.snapshot import SPLITS
from minkgen.store.verify.findings import Faults, Finding
from minkgen.store.verify.view import StoreView, at
from minkgen.tiles.regions import corners_in_region
from minkgen.tiles.table import rows_digest

__all__ = ["dry_share", "gap", "order", "positions", "rows"]

_ANEW = "compute the snapshot anew; do not train on this one"
_SAMPLES = "samples"


def order(view: StoreView) -> Finding:
    """Look at neighbours: time, row and column increase, and none occurs twice."""
    faults = Faults()
    for split in SPLITS:
        keys = [view.column(split, name).astype(np.int64) for name in ("time", "row", "column")]
        after = np.zeros(max(0, len(keys[0]) - 1), np.bool_)
        for key in reversed(keys):
            step = np.diff(key)
            after = (step > 0) | ((step == 0) & after)
        place = partial(view.sample, split, "time")
        faults.where(~after, place, "not before the next one", "time, row, column increasing")
    return faults.finding(view.count(), _SAMPLES, _ANEW)


def rows(view: StoreView) -> Finding:
    """Hash the samples of every split anew."""
    faults, recorded = Faults(), view.snapshot.metadata["rows"]
    for split in SPLITS:
        faults.equal(
            f"rows of {split}", got=rows_digest(view.rows(split)), expected=recorded[split]
        )
    return faults.finding(view.count(), _SAMPLES, _ANEW)


def positions(view: StoreView) -> Finding:
    """Compare rows and columns with the tiles of the recipe, and metres with the grid."""
    faults, grid = Faults(), view.grid
    width = grid.width
    allowed = np.array(corners_in_region(grid, view.recipe.tiles), np.int64).reshape(-1, 2)
    for split in SPLITS:
        row = view.column(split, "row").astype(np.int64)
        column = view.column(split, "column").astype(np.int64)
        off = ~np.isin(row * width + column, allowed[:, 0] * width + allowed[:, 1])
        off |= (column >= width) | (column < 0)
        place = partial(view.sample, split, "row")
        faults.where(off, place, "no tile", "one of the recipe's size, stride, offset and region")
        for name, index, centres in (("y0", row, grid.y), ("x0", column, grid.x)):
            expected = centres[np.clip(index, 0, len(centres) - 1)]
            faults.arrays(f"{split}/{name}", view.column(split, name), expected)
    return faults.finding(view.count(), _SAMPLES, _ANEW)


def gap(view: StoreView) -> Finding:
    """Measure the time between samples of different splits, and look at each split's window."""
    faults, splits = Faults(), view.recipe.splits
    windows = splits.trimmed()
    times = {split: np.unique(view.column(split, "time").astype(np.int64)) for split in SPLITS}
    for split, found in times.items():
        outside = [time for time in map(at, found.tolist()) if time not in windows[split]]
        for time in outside:
            window = f"{windows[split].start:%FT%R} to {windows[split].end:%FT%R}"
            faults.add(f"{split} {time:%FT%R}", "outside its window", window)
    for one, other in combinations(SPLITS, 2):
        if not len(times[one]) or not len(times[other]):
            continue
        nearest = _nearest_minutes(times[one], times[other])
        least = max(splits.gap_hours * 60, 1)
        got = f"{timedelta(minutes=nearest)} apart"
        faults.require(
            nearest >= least, f"{one} and {other}", got, f"{splits.gap_hours:g} h or more"
        )
    return faults.finding(sum(map(len, times.values())), "times of three splits", _ANEW)


def _nearest_minutes(one: np.ndarray, other: np.ndarray) -> int:
    place = np.searchsorted(other, one)
    before = np.abs(one - other[np.maximum(place - 1, 0)])
    after = np.abs(other[np.minimum(place, len(other) - 1)] - one)
    return int(np.minimum(before, after).min())


def dry_share(view: StoreView) -> Finding:
    """Count the all-dry samples of every day, and of every split."""
    faults, share = Faults(), view.recipe.tiles.dry_fraction
    ratio = share / (1.0 - share)
    for split in SPLITS:
        day = view.column(split, "time").astype(np.int64) // (24 * 60)
        is_dry = view.column(split, "wet_fraction") == 0
        wanted_of_split = 0
        for each in np.unique(day).tolist():
            dry = int(np.count_nonzero(is_dry & (day == each)))
            wanted = round(ratio * np.count_nonzero(~is_dry & (day == each)))
            wanted_of_split += wanted
            place = f"{split} {at(each * 24 * 60):%F}"
            faults.require(dry <= wanted, place, f"{dry} dry samples", f"not more than {wanted}")
        # Days without enough dry tiles give fewer; a tenth too few goes without saying.
        enough = int(is_dry.sum()) >= 0.9 * wanted_of_split
        got = f"{int(is_dry.sum())} dry of {len(is_dry)} samples"
        faults.require(enough, split, got, f"{wanted_of_split}: a share of {share:g}")
    return faults.finding(
        view.count(),
        _SAMPLES,
        "the period has too few covered all-dry tiles: ask for fewer, or widen it",
    )
