"""Checks of thresholds, persistence floors and normalisation: they follow from what is kept."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minkgen.errors import StoreError
from minkgen.gamma.floors import LifetimeHistogram
from minkgen.gamma.histogram import ExactHistogram
from minkgen.gamma.pairs import persistence_pairs
from minkgen.gamma.thresholds import Thresholds, ValueHistogram
from minkgen.recipe import digest
from minkgen.store.files import read_json
from minkgen.store.snapshot import SPLITS, open_snapshot
from minkgen.store.verify.findings import Faults, Finding, listed, not_applicable
from minkgen.store.verify.view import StoreView
from minkgen.tiles.table import wet_rows
from minkgen.workflows.climate import (
    draw_lifetimes,
    fit_floor,
    fit_thresholds,
    largest_unflagged,
)

__all__ = ["floors", "grid", "histograms", "kept", "normalisation", "thresholds"]

_ANEW = "move the file in climate/ away and compute anew; compare the snapshots before training"
_AT_ONCE = 512


def grid(view: StoreView) -> Finding:
    """Look at the recorded thresholds, and at the coordinates that readers see."""
    faults = Faults()
    recorded = Thresholds.from_dict(view.snapshot.metadata["thresholds"])
    values = recorded.values
    exact = np.asarray(view.snapshot.metadata["thresholds"]["values"], np.float64)
    rounded = values.astype(np.float64)
    faults.where(rounded != exact, "threshold {}".format, exact, rounded)
    falls = ~(np.diff(values) > 0)
    faults.where(falls, "threshold {}".format, "not below the next one", "strictly increasing")
    faults.require(len(values) >= 2 and bool(values[0] > 0), "thresholds", values, "2 or more, > 0")
    coordinates: dict[str, npt.NDArray[Any]] = {"threshold": values, "measure": recorded.measure}
    if recorded.levels is not None:
        coordinates["quantile"] = recorded.levels
    for split in SPLITS:
        for name, expected in coordinates.items():
            faults.arrays(f"{split}/{name}", view.column(split, name), expected)
    return faults.finding(len(values), "thresholds, recorded and in three splits", "compute anew")


def kept(view: StoreView) -> Finding:
    """Look for the climate of the snapshot, and at the names of all climates."""
    faults = Faults()
    paths = _files(view)
    for path in paths:
        name = digest(read_json(path)["decided_by"])[:16]
        faults.equal(path, got=path.stem, expected=name)
    if _kept_of(view) is None:
        _climate(view)
    return faults.finding(len(paths), "climates", _ANEW)


def thresholds(view: StoreView) -> Finding:
    """Take the thresholds from the kept histogram of wet values again."""
    if (name := _kept_of(view)) is not None:
        return _same_as(view, name, "thresholds")
    faults, path, climate = Faults(), *_climate(view)
    wet = ValueHistogram.from_dict(climate["histograms"]["wet_values"])
    expected = fit_thresholds(view.recipe, wet).as_dict()
    recorded = view.snapshot.metadata["thresholds"]
    for key in sorted(expected.keys() | recorded.keys()):
        faults.equal(f"{path.name} {key}", got=recorded.get(key), expected=expected.get(key))
    return faults.finding(wet.total, "wet pixels in the histogram", _ANEW)


def floors(view: StoreView) -> Finding:
    """Take the persistence floors from the kept histograms of lifetimes again."""
    if (name := _kept_of(view)) is not None:
        return _same_as(view, name, "floors")
    faults, path, climate, total = Faults(), *_climate(view), 0
    persistence, recorded = view.recipe.persistence, view.snapshot.metadata["floors"]
    for name, choice in (("components", persistence.components), ("holes", persistence.holes)):
        lifetimes = LifetimeHistogram.from_dict(climate["histograms"][f"{name}_lifetimes"])
        total += lifetimes.total
        expected = fit_floor(choice, lifetimes).as_dict()
        faults.equal(f"{path.name} {name}", got=recorded[name], expected=expected)
    return faults.finding(2, f"floors, {total} lifetimes in the histograms", _ANEW)


def normalisation(view: StoreView) -> Finding:
    """Look for the largest rate of the unflagged training samples again."""
    if (name := _kept_of(view)) is not None:
        return _same_as(view, name, "normalisation")
    faults, path, climate = Faults(), *_climate(view)
    flagged = [_time(text) for text in climate["decided_by"]["flagged"]]
    eligible = wet_rows(view.rows("train"))
    largest = largest_unflagged(eligible, flagged)
    expected = {"max_rate": largest, "log1p_max": float(np.log1p(largest))}
    recorded = view.snapshot.metadata["normalisation"]
    for key, value in expected.items():
        faults.equal(f"normalisation {key}", got=recorded.get(key), expected=value)
        kept_value = climate["normalisation"].get(key)
        faults.equal(f"{path.name} normalisation {key}", got=kept_value, expected=value)
    return faults.finding(eligible.num_rows, f"wet samples, {len(flagged)} frames flagged", _ANEW)


def histograms(view: StoreView) -> Finding:
    """Count the wet values and the lifetimes of the training tiles again."""
    if (name := _kept_of(view)) is not None:
        return not_applicable(f"thresholds and floors are those of {name}")
    if not view.deep:
        return not_applicable("asked for with --deep: all training tiles are measured")
    faults, path, climate = Faults(), *_climate(view)
    values, components, holes, count = _count_anew(view)
    counted: dict[str, ExactHistogram] = {
        "wet_values": values,
        "components_lifetimes": components,
        "holes_lifetimes": holes,
    }
    for name, expected in counted.items():
        found = type(expected).from_dict(climate["histograms"][name])
        got = f"{found.total} in {len(found.values)} bins"
        wanted = f"{expected.total} in {len(expected.values)} bins"
        faults.require(found == expected, f"{path.name} {name}", got, wanted)
    return faults.finding(count, "wet training tiles", _ANEW)


def _count_anew(
    view: StoreView,
) -> tuple[ValueHistogram, LifetimeHistogram, LifetimeHistogram, int]:
    wet = np.flatnonzero(view.column("train", "wet_fraction") > 0)
    drawn = wet[draw_lifetimes(wet_rows(view.rows("train")), view.recipe)]
    values = ValueHistogram.from_values(np.empty(0, np.float32))
    lifetimes = [LifetimeHistogram.from_pairs(np.empty((0, 2), np.float32)) for _ in range(2)]
    array = view.array("train", "rain_rate")
    for first in range(0, array.shape[0], _AT_ONCE):
        tiles = np.asarray(array[first : first + _AT_ONCE])
        values = values.merge(ValueHistogram.from_values(tiles[tiles > 0]))
        here = drawn[(drawn >= first) & (drawn < first + _AT_ONCE)] - first
        pairs = persistence_pairs(tiles[here])
        for dimension in (0, 1):
            found = LifetimeHistogram.from_pairs(pairs.finite(dimension))
            lifetimes[dimension] = lifetimes[dimension].merge(found)
    return values, lifetimes[0], lifetimes[1], len(wet)


def _kept_of(view: StoreView) -> str | None:
    """Return the snapshot whose thresholds, floors and normalisation this one has, if any."""
    name: str | None = view.snapshot.metadata.get("climate_from")
    return name


def _same_as(view: StoreView, name: str, section: str) -> Finding:
    """Compare a section of the metadata with that of the snapshot it was taken from."""
    if not (view.paths.features / f"{name}.zarr").exists():
        return not_applicable(f"taken from {name}, which was removed")
    faults, kept_ones = Faults(), open_snapshot(view.paths.root, name).metadata[section]
    recorded = view.snapshot.metadata[section]
    for key in sorted(kept_ones.keys() | recorded.keys()):
        faults.equal(f"{section} {key}", got=recorded.get(key), expected=kept_ones.get(key))
    return faults.finding(len(kept_ones), f"values of {name}", _ANEW)


def _files(view: StoreView) -> list[Path]:
    return sorted(view.paths.climate("x").parent.glob("[!.]*.json"))


def _climate(view: StoreView) -> tuple[Path, dict[str, Any]]:
    """Return the kept climate that was decided by what decided the snapshot's.

    Several may have the same recipe and window, of fewer or more frames; a snapshot records no
    digest of its training frames alone, so that the one with its thresholds is taken.
    """
    recipe = view.recipe
    window = recipe.splits.trimmed()["train"].model_dump(mode="json")
    alike: list[tuple[Path, dict[str, Any]]] = []
    for path in _files(view):
        climate = read_json(path)
        sections = climate["decided_by"]["recipe"]
        wanted = recipe.model_dump(mode="json", include=set(sections))
        if sections == wanted and climate["decided_by"]["window"] == window:
            alike.append((path, climate))
    if not alike:
        raise StoreError(
            "the climate of the snapshot is not there",
            where=view.paths.climate("*"),
            got=listed(path.name for path in _files(view)) or "no climate at all",
            expected="one of the snapshot's recipe and training window",
            hint="run `minkgen compute` with the snapshot's recipe: it fits the climate again",
        )
    metadata = view.snapshot.metadata
    fits = [each for each in alike if each[1]["thresholds"] == metadata["thresholds"]]
    return (fits or alike)[-1]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
