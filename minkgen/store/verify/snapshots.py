"""Checks of a snapshot as a whole: resolvable, complete, named by what decided it."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import zarr

from minkgen.gamma.functionals import FUNCTIONALS
from minkgen.recipe import digest
from minkgen.store.files import read_json
from minkgen.store.layout import SAMPLES_PER_CHUNK, SAMPLES_PER_SHARD
from minkgen.store.snapshot import SPLITS
from minkgen.store.verify.findings import Faults, Finding
from minkgen.store.verify.hierarchies import require_attributes, require_grid_mapping
from minkgen.store.verify.shards import chunk_files, expected_chunk_files, filled_chunks
from minkgen.store.verify.view import StoreView

__all__ = ["attributes", "complete", "current", "current_json", "hashed", "layout"]

_ANEW = "run `minkgen compute`; the damaged snapshot is not to be trained on"
# What is hashed into a snapshot's name.
DECIDING = ("recipe", "thresholds", "floors", "normalisation", "rows", "inputs")
# The columns of the samples, with the attributes that readers rely on.
_COLUMNS: dict[str, dict[str, str]] = {
    "time": {
        "standard_name": "time",
        "units": "minutes since 1970-01-01 00:00:00",
        "calendar": "proleptic_gregorian",
    },
    "row": {"units": "1"},
    "column": {"units": "1"},
    "y0": {"units": "m"},
    "x0": {"units": "m"},
    "wet": {},
    "product": {},
    "covered_fraction": {"units": "1"},
    "wet_fraction": {"units": "1"},
    "max_rate": {"units": "mm/h"},
}
_COORDINATES: dict[str, dict[str, str]] = {
    "functional": {},
    "threshold": {"units": "mm/h"},
    "measure": {"units": "1"},
    "y": {"units": "m"},
    "x": {"units": "m"},
}
_RAIN = {"standard_name": "rainfall_rate", "units": "mm/h", "grid_mapping": "spatial_ref"}


def current(view: StoreView) -> Finding:
    """Follow the link that readers follow."""
    faults, link = Faults(), view.paths.current
    if not link.is_symlink():
        got = "a folder or a file" if link.exists() else "nothing"
        faults.add(link, got, "a symbolic link to a snapshot beside it")
    else:
        target = os.readlink(link)
        beside = target in {path.name for path in view.published()}
        faults.require(beside, link, target, "the name of a snapshot beside it")
    return faults.finding(
        1, "link", "point `current` at a snapshot: `minkgen compute` with its recipe does"
    )


def current_json(view: StoreView) -> Finding:
    """Compare what readers by URL resolve with what the link says."""
    faults, path = Faults(), view.paths.features / "current.json"
    said = read_json(path)["snapshot"] if path.exists() else "no such file"
    faults.equal(path, got=said, expected=view.paths.current.resolve().name)
    return faults.finding(
        1, "file", "run `minkgen compute` with the snapshot's recipe: it writes both"
    )


def layout(view: StoreView) -> Finding:
    """Look at the splits, their arrays, dimensions, chunks and coordinates."""
    faults, count = Faults(), 0
    metadata, recipe, grid = view.snapshot.metadata, view.recipe, view.grid
    recorded = {
        "grid": grid.name,
        "pixel_km": grid.pixel_km,
        "tile_size": recipe.tiles.size,
        "functionals": list(FUNCTIONALS),
    }
    require_attributes(faults, "snapshot", metadata, recorded)
    offsets = grid.pixel_m * np.arange(recipe.tiles.size)
    for split in SPLITS:
        samples = view.count(split)
        for kind, inner in _inner(view).items():
            for name in view.fields(split, kind):
                _require_field(faults, view.array(split, name), (samples, *inner))
        for name in _COLUMNS:
            shape = view.array(split, name).shape
            faults.equal(f"{split}/{name} shape", got=shape, expected=(samples,))
        names = np.array(view.array(split, "functional")[:], object)
        faults.arrays(f"{split}/functional", names, np.array(FUNCTIONALS, object))
        for name, values in (("y", 0.0 - offsets), ("x", offsets)):
            found = np.asarray(view.array(split, name)[:])
            faults.arrays(f"{split}/{name}", found, values)
        count += len(_COLUMNS) + len(_COORDINATES) + 2
    return faults.finding(count, "arrays", _ANEW)


def _inner(view: StoreView) -> dict[str, tuple[int, int]]:
    size = view.recipe.tiles.size
    thresholds = len(view.snapshot.metadata["thresholds"]["values"])
    return {"rain_rate": (size, size), "gamma": (len(FUNCTIONALS), thresholds)}


def _require_field(faults: Faults, array: zarr.Array[Any], shape: tuple[int, ...]) -> None:
    found = {
        "shape": (array.shape, shape),
        "data type": (array.dtype, np.dtype(np.float32)),
        "chunk": (array.chunks, (SAMPLES_PER_CHUNK, *shape[1:])),
        "shard": (array.shards, (SAMPLES_PER_SHARD, *shape[1:])),
    }
    for what, (got, expected) in found.items():
        faults.equal(f"{array.path} {what}", got=got, expected=expected)
    faults.require(bool(np.isnan(array.fill_value)), f"{array.path} fill", array.fill_value, "NaN")


def hashed(view: StoreView) -> Finding:
    """Hash what decided the numbers anew."""
    faults, metadata = Faults(), view.snapshot.metadata
    own_grid = {key: metadata[key] for key in ("own_grid",) if key in metadata}
    found = digest({name: metadata[name] for name in DECIDING} | own_grid)
    faults.equal("recorded hash", got=metadata["hash"], expected=found)
    wanted = f"{metadata['name']}-{found[:12]}"
    faults.equal("name of the folder", got=view.snapshot.name, expected=wanted)
    return faults.finding(
        1, "hash", "what decided the numbers was changed after they were computed: compute anew"
    )


def complete(view: StoreView) -> Finding:
    """Compare the files of every array with its shape, and look into the index of every shard."""
    faults, count = Faults(), 0
    for split in SPLITS:
        for name, array in sorted(view.group(split).arrays()):
            folder, expected = view.snapshot.path / split / name, expected_chunk_files(array)
            found = chunk_files(folder)
            count += len(found)
            for file in sorted(expected - found):
                faults.add(folder / file, "no file", "a shard or a chunk")
            for file in sorted(found - expected):
                faults.add(folder / file, "a file", "none: the array ends before it")
            if array.shards is not None:
                for file in sorted(expected & found):
                    _require_filled(faults, array, folder, file)
    return faults.finding(count, "files", _ANEW)


def _require_filled(faults: Faults, array: zarr.Array[Any], folder: Any, file: str) -> None:
    """Require every inner chunk of a shard that holds samples."""
    filled = filled_chunks(folder / file, SAMPLES_PER_SHARD // SAMPLES_PER_CHUNK)
    first = int(file.split("/")[1]) * SAMPLES_PER_SHARD
    samples = min(SAMPLES_PER_SHARD, array.shape[0] - first)
    wanted = -(-samples // SAMPLES_PER_CHUNK)
    faults.where(~filled[:wanted], f"{folder / file} chunk {{}}".format, "not written", "samples")


def attributes(view: StoreView) -> Finding:
    """Look at titles, units, conventions and the coordinate reference system."""
    faults, count = Faults(), 0
    root = zarr.open_group(view.snapshot.path, mode="r")
    require_attributes(faults, "snapshot", dict(root.attrs), {"Conventions": "CF-1.11"})
    faults.require(bool(root.attrs.get("title")), "snapshot title", None, "a text")
    for split in SPLITS:
        group = view.group(split)
        wanted: dict[str, dict[str, str]] = {
            **_COLUMNS,
            **_COORDINATES,
            **dict.fromkeys(view.fields(split, "rain_rate"), _RAIN),
        }
        for name, attributes in wanted.items():
            require_attributes(faults, f"{split}/{name}", dict(group[name].attrs), attributes)
        for kind in ("rain_rate", "gamma"):
            for name in view.fields(split, kind):
                _require_dimensions(faults, f"{split}/{name}", group[name], kind)
        require_grid_mapping(faults, group, split, view.grid)
        count += len(wanted) + 1
    return faults.finding(count, "arrays", "compute anew, or mend the attributes by hand")


def _require_dimensions(faults: Faults, place: str, array: Any, kind: str) -> None:
    inner = ("y", "x") if kind == "rain_rate" else ("functional", "threshold")
    faults.equal(
        f"{place} dimensions", got=array.metadata.dimension_names, expected=("sample", *inner)
    )
    named = str(array.attrs.get("coordinates", "")).split()
    missing = [name for name in _COLUMNS if name not in named]
    faults.require(not missing, f"{place} coordinates", " ".join(named), "all of the samples'")
