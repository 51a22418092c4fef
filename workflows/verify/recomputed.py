"""Checks that compute a few samples anew: cut again, mixed again, γ by the slow twins."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minkgen.gamma.functionals import FUNCTIONALS
from minkgen.store.snapshot import SPLITS
from minkgen.store.verify.findings import Faults, Finding, not_applicable
from minkgen.store.verify.view import StoreView, at
from minkgen.tiles.eligibility import cut_tile
from minkgen.tiles.mixup import mix_tile
from minkgen.workflows.rain import RainSource

__all__ = ["mixed_gamma", "mixed_tiles", "oracle", "tiles_cut_anew"]

_ANEW = "compute the snapshot anew; do not train on this one"
_LENGTHS = frozenset({"perimeter", "perimeter_closed", "perimeter_crofton"})
# Lengths are sums of square roots, in another order in the twins.
_LENGTH_TOLERANCE = 2e-6


def tiles_cut_anew(view: StoreView) -> Finding:
    """Cut some tiles from the composites again."""
    if not view.has_composites:
        return not_applicable("the store has no composites to cut from")
    faults, count, tiles = Faults(), 0, view.recipe.tiles
    source = RainSource.of(view.recipe)
    composites = source.open()
    for split in SPLITS:
        for index in view.draw("tiles.cut-anew", split, view.count(split)):
            time, row, column = _identity(view, split, index)
            frame = source.read(composites, at(time))
            place = view.sample(split, "rain_rate", index)
            tile = cut_tile(frame, row, column, tiles)
            _require_tile(faults, place, _tile(view, split, "rain_rate", index), tile)
            count += 1
    return faults.finding(count, f"of {view.count()} samples", _ANEW)


def mixed_tiles(view: StoreView) -> Finding:
    """Mix some training tiles with their coarse selves again."""
    faults, drawn = Faults(), view.draw("mixup.tiles", "train", view.count("train"))
    for index in drawn:
        tile = _tile(view, "train", "rain_rate", index)
        mixed = mix_tile(tile, _identity(view, "train", index), view.recipe, view.grid.pixel_km)
        place = view.sample("train", "mixup_rain_rate", index)
        _require_tile(faults, place, _tile(view, "train", "mixup_rain_rate", index), mixed)
    return faults.finding(len(drawn), f"of {view.count('train')} training samples", _ANEW)


def oracle(view: StoreView) -> Finding:
    """Compute γ of some samples by GUDHI and scikit-image."""
    faults, count = Faults(), 0
    for split in SPLITS:
        count += _require_gamma(faults, view, "gamma.oracle", split, "")
    return faults.finding(count, f"of {view.count()} samples", _ANEW)


def mixed_gamma(view: StoreView) -> Finding:
    """Compute γ of some mixed tiles by GUDHI and scikit-image."""
    faults = Faults()
    count = _require_gamma(faults, view, "mixup.oracle", "train", "mixup_")
    return faults.finding(count, f"of {view.count('train')} mixed tiles", _ANEW)


def _require_gamma(faults: Faults, view: StoreView, check: str, split: str, prefix: str) -> int:
    """Compare γ of some tiles of an array with the twins; return how many."""
    # Here, because GUDHI and scikit-image take longer to import than most checks to run.
    from minkgen.gamma.oracle import oracle_gamma

    thresholds, name = view.snapshot.thresholds, f"{prefix}gamma"
    drawn = view.draw(check, split, view.count(split))
    for index in drawn:
        expected = oracle_gamma(
            _tile(view, split, f"{prefix}rain_rate", index),
            thresholds,
            pixel_km=view.grid.pixel_km,
            min_persistence=view.floors,
            essential=view.recipe.persistence.essential,
        )
        found = np.asarray(view.array(split, name)[index])
        place = view.sample(split, name, index)
        for functional, got, wanted in zip(FUNCTIONALS, found, expected, strict=True):
            tolerance = _LENGTH_TOLERANCE if functional in _LENGTHS else 0.0
            wrong = ~(np.abs(got.astype(np.float64) - wanted) <= tolerance * np.abs(wanted))
            places = [f"{place} {functional} at {u:.4g} mm/h" for u in thresholds]
            faults.where(wrong, places.__getitem__, got, wanted)
    return len(drawn)


def _identity(view: StoreView, split: str, index: int) -> tuple[int, int, int]:
    time, row, column = (view.column(split, name)[index] for name in ("time", "row", "column"))
    return int(time), int(row), int(column)


def _tile(view: StoreView, split: str, name: str, index: int) -> npt.NDArray[np.float32]:
    return np.asarray(view.array(split, name)[index])


def _require_tile(
    faults: Faults, place: str, got: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]
) -> None:
    """Require a tile to be another, bit for bit; the first pixel that differs is shown."""
    if got.shape != expected.shape:
        faults.add(place, got.shape, expected.shape)
        return
    differs = np.argwhere((got != expected) & ~(np.isnan(got) & np.isnan(expected)))
    if len(differs):
        row, column = differs[0].tolist()
        rate, wanted = float(got[row, column]), float(expected[row, column])
        faults.add(
            f"{place} pixel {row}, {column}", f"{rate:g}; {len(differs)} differ", f"{wanted:g}"
        )
