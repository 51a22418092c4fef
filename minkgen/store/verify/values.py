"""Checks of every tile and every γ-matrix: all of them, streamed some hundreds at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from minkgen.store.snapshot import SPLITS
from minkgen.store.verify.findings import Faults, Finding
from minkgen.store.verify.view import StoreView
from minkgen.tiles.eligibility import is_wet

__all__ = ["area", "drizzle", "dry", "facts", "filled", "gamma_finite"]

_ANEW = "compute the snapshot anew; do not train on this one"
# 34 MB of tiles of 128 pixels at a time; a multiple of the samples in a chunk.
_AT_ONCE = 512


@dataclass(frozen=True)
class TileFacts:
    """What the tiles of one array are like; every array has shape (samples,).

    Attributes
    ----------
    missing, wet, drizzle : ndarray of int64
        Pixels that are NaN, that are wet, and that are neither 0, wet nor NaN.
    largest : ndarray of float32
        Largest rate in mm/h.
    """

    missing: npt.NDArray[np.int64]
    wet: npt.NDArray[np.int64]
    drizzle: npt.NDArray[np.int64]
    largest: npt.NDArray[np.float32]


def _batches(view: StoreView, split: str, name: str) -> Iterator[npt.NDArray[np.float32]]:
    array = view.array(split, name)
    for first in range(0, array.shape[0], _AT_ONCE):
        yield np.asarray(array[first : first + _AT_ONCE])


def _tile_facts(view: StoreView, split: str, name: str) -> TileFacts:
    """Return the facts of one array, read once for all checks."""

    def read() -> TileFacts:
        parts = [_of_tiles(batch, view) for batch in _batches(view, split, name)]
        columns = zip(*parts, strict=True) if parts else ([np.zeros(0)] for _ in range(4))
        return TileFacts(*map(np.concatenate, columns))

    return view.once(f"tile facts of {split}/{name}", read)


def _of_tiles(tiles: npt.NDArray[np.float32], view: StoreView) -> tuple[npt.NDArray[Any], ...]:
    missing, wet = np.isnan(tiles), is_wet(tiles, view.recipe.tiles)
    within = (1, 2)
    return (
        missing.sum(within),
        wet.sum(within),
        (~missing & ~wet & (tiles != 0)).sum(within),
        np.where(missing, np.float32(0.0), tiles).max(within),
    )


@dataclass(frozen=True)
class GammaFacts:
    """What the γ-matrices of one array are like; every array has shape (samples,), bool."""

    not_finite: npt.NDArray[np.bool_]
    rising_area: npt.NDArray[np.bool_]
    not_zero: npt.NDArray[np.bool_]


def _gamma_facts(view: StoreView, split: str, name: str) -> GammaFacts:
    """Return the facts of one array, read once for all checks."""

    def read() -> GammaFacts:
        parts = [
            (
                ~np.isfinite(gamma).all((1, 2)),
                (np.diff(gamma[:, 0], axis=1) > 0).any(1),
                (gamma != 0).any((1, 2)),
            )
            for gamma in _batches(view, split, name)
        ]
        columns = zip(*parts, strict=True) if parts else ([np.zeros(0, bool)] for _ in range(3))
        return GammaFacts(*map(np.concatenate, columns))

    return view.once(f"gamma facts of {split}/{name}", read)


def _fields(view: StoreView, kind: str) -> list[tuple[str, str]]:
    return [(split, name) for split in SPLITS for name in view.fields(split, kind)]


def _count(view: StoreView, kind: str) -> int:
    return sum(view.count(split) for split, _ in _fields(view, kind))


def filled(view: StoreView) -> Finding:
    """Compare the missing pixels of all tiles with their covered fractions."""
    faults, tiles = Faults(), view.recipe.tiles
    pixels = tiles.size * tiles.size
    for split, name in _fields(view, "rain_rate"):
        missing = _tile_facts(view, split, name).missing
        covered = view.column(split, "covered_fraction")
        # A mixed tile counts missing pixels as dry.
        uncovered = np.rint((1.0 - covered) * pixels).astype(np.int64)
        wanted = uncovered if name == "rain_rate" else np.zeros_like(missing)
        faults.where(missing != wanted, partial(view.sample, split, name), missing, wanted)
    for split in SPLITS:
        covered = view.column(split, "covered_fraction")
        place = partial(view.sample, split, "covered_fraction")
        faults.where(~(covered >= tiles.min_coverage), place, covered, tiles.min_coverage)
    return faults.finding(_count(view, "rain_rate"), "tiles, mixed ones too", _ANEW)


def drizzle(view: StoreView) -> Finding:
    """Look for rates between 0 and the drizzle threshold, negative ones and infinities."""
    faults, limit = Faults(), view.recipe.tiles.drizzle_mm_h
    expected = f"0 or at least {limit:g} mm/h"
    for split, name in _fields(view, "rain_rate"):
        known, place = _tile_facts(view, split, name), partial(view.sample, split, name)
        faults.where(known.drizzle > 0, place, "rates between dry and wet, or below 0", expected)
        faults.where(~np.isfinite(known.largest), place, known.largest, "a finite rate")
    return faults.finding(_count(view, "rain_rate"), "tiles, mixed ones too", _ANEW)


def facts(view: StoreView) -> Finding:
    """Compare wet flag, wet fraction and largest rate with all tiles."""
    faults, tiles = Faults(), view.recipe.tiles
    limit = np.float32(tiles.drizzle_mm_h)
    for split in SPLITS:
        known = _tile_facts(view, split, "rain_rate")
        has_rain = known.wet > 0
        fractions = known.wet / (tiles.size * tiles.size)
        # The largest rate is taken before drizzle is zeroed: of a dry tile it is some drizzle.
        largest = view.column(split, "max_rate")
        of_wet, of_dry = largest == known.largest, (largest >= 0) & (largest < limit)
        wrong = {
            "wet": (view.column(split, "wet") != has_rain, has_rain),
            "wet_fraction": (view.column(split, "wet_fraction") != fractions, fractions),
            "max_rate": (~np.where(has_rain, of_wet, of_dry), known.largest),
        }
        for name, (differs, expected) in wrong.items():
            place = partial(view.sample, split, name)
            faults.where(differs, place, view.column(split, name), expected)
    return faults.finding(view.count(), "samples", _ANEW)


def gamma_finite(view: StoreView) -> Finding:
    """Look for NaN and infinities in all γ-matrices."""
    faults = Faults()
    for split, name in _fields(view, "gamma"):
        wrong = _gamma_facts(view, split, name).not_finite
        place = partial(view.sample, split, name)
        faults.where(wrong, place, "NaN or an infinity", "finite numbers")
    return faults.finding(_count(view, "gamma"), "γ-matrices, mixed ones too", _ANEW)


def area(view: StoreView) -> Finding:
    """Compare the areas at neighbouring thresholds in all γ-matrices."""
    faults = Faults()
    for split, name in _fields(view, "gamma"):
        wrong = _gamma_facts(view, split, name).rising_area
        place = partial(view.sample, split, name)
        faults.where(wrong, place, "an area that grows with the threshold", "none that grows")
    return faults.finding(_count(view, "gamma"), "γ-matrices, mixed ones too", _ANEW)


def dry(view: StoreView) -> Finding:
    """Look at γ of all samples that are not wet."""
    faults, count = Faults(), 0
    for split in SPLITS:
        is_dry = ~view.column(split, "wet").astype(np.bool_)
        count += int(is_dry.sum())
        wrong = is_dry & _gamma_facts(view, split, "gamma").not_zero
        faults.where(wrong, partial(view.sample, split, "gamma"), "numbers besides 0", "0")
    return faults.finding(count, "dry samples", _ANEW)
