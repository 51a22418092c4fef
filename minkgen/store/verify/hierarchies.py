"""Checks of Zarr hierarchies as such: identity, and metadata that says one thing only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zarr

from minkgen.grid import GRIDS, OWN_GRID, Grid, grid_of
from minkgen.store.files import read_json
from minkgen.store.layout import LAYOUT_VERSION, grid_mapping_attributes
from minkgen.store.verify.findings import Faults, Finding, not_applicable
from minkgen.store.verify.view import StoreView

__all__ = ["consolidated", "identity", "require_attributes", "require_grid_mapping"]


def identity(view: StoreView) -> Finding:
    """Look at the identity of every product, and at the root of every hierarchy."""
    faults, count = Faults(), 0
    for path in [group.paths.identity for group in view.groups()] if view.has_composites else ():
        count += 1
        found = read_json(path)
        faults.equal(f"{path} layout_version", got=found["layout_version"], expected=LAYOUT_VERSION)
        grid = grid_of(found["grid"], found.get("own_grid"))
        known = f"{', '.join(GRIDS)}, or {OWN_GRID} with its own_grid"
        faults.require(grid is not None, f"{path} grid", found["grid"], known)
        years = found["first_year"], found["last_year"]
        faults.require(years[0] <= years[1], f"{path} years", years, "first to last")
    for root in (view.paths.composites, view.paths.static):
        if root.exists():
            count += 1
            version = zarr.open_group(root, mode="r").attrs.get("layout_version")
            faults.equal(f"{root} layout_version", got=version, expected=LAYOUT_VERSION)
    return faults.finding(
        count, "roots", "read the store with the version of minkgen that wrote it"
    )


def consolidated(view: StoreView) -> Finding:
    """Compare what a root says of its members with what they say themselves."""
    roots = [root for root in (view.paths.composites, view.paths.static) if root.exists()]
    if view.has_snapshot:
        roots.append(view.snapshot.path)
    if not roots:
        return not_applicable("no hierarchy")
    faults, count = Faults(), 0
    for root in roots:
        gathered = _json(root / "zarr.json")["consolidated_metadata"]["metadata"]
        own = {
            path.parent.relative_to(root).as_posix(): path
            for path in root.rglob("zarr.json")
            if path.parent != root
        }
        count += len(own)
        for name in sorted(gathered.keys() | own.keys()):
            if name not in own:
                faults.add(root / name, "no zarr.json", "that of an array or a group")
            elif name not in gathered:
                faults.add(root / name, "not in the root's metadata", "every array and group")
            else:
                said, meant = _json(own[name]), dict(gathered[name])
                meant.pop("consolidated_metadata", None)  # an empty one is added to groups
                said.pop("consolidated_metadata", None)
                differing = [
                    key for key in said.keys() | meant.keys() if said.get(key) != meant.get(key)
                ]
                for key in sorted(differing):
                    faults.add(f"{own[name]} {key}", said.get(key), meant.get(key))
    return faults.finding(
        count,
        f"arrays and groups of {', '.join(root.name for root in roots)}",
        "restore the files from a copy: part of the readers see one, part the other",
    )


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def require_attributes(
    faults: Faults, place: object, found: Mapping[str, Any], wanted: Mapping[str, Any]
) -> None:
    """Require attributes with these values among those found."""
    for name, value in wanted.items():
        faults.equal(f"{place} {name}", got=found.get(name), expected=value)


def require_grid_mapping(faults: Faults, group: zarr.Group, place: object, grid: Grid) -> None:
    """Require the variable that holds the coordinate reference system."""
    found = dict(group["spatial_ref"].attrs)
    require_attributes(
        faults,
        f"{place}/spatial_ref",
        found,
        json.loads(json.dumps(grid_mapping_attributes(grid.crs))),
    )
