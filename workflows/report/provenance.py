"""The section of provenance: what decided the numbers, who made them with what, and the licence."""

from __future__ import annotations

import json
from collections.abc import Iterator

from minkgen.evaluate.report.blocks import Block, Facts, Row, Section, Table, Text
from minkgen.recipe import leaves
from minkgen.store.history import read_history
from minkgen.store.manifest import MANIFEST, read_manifest
from minkgen.store.snapshot import SPLITS, Snapshot
from minkgen.workflows.inspect import inspect_snapshots
from minkgen.workflows.report.contents import Contents

__all__ = ["provenance_section"]


def provenance_section(contents: Contents) -> Section:
    """Return licence, snapshots and their history, and all that decided the current one."""
    return Section("provenance", "Provenance and licence", tuple(_blocks(contents)))


def _blocks(contents: Contents) -> Iterator[Block]:
    yield Text(f"{contents.attribution}.")
    snapshots = inspect_snapshots(contents.paths)
    if snapshots:
        rows = [
            Row(
                (
                    each.name,
                    "yes" if each.current else "no",
                    *(each.rows[split] for split in SPLITS),
                    each.thresholds,
                    each.size_bytes / 1e6,
                )
            )
            for each in snapshots
        ]
        columns = ("snapshot", "current", *SPLITS, "thresholds", "size [MB]")
        yield Table("Snapshots", columns, tuple(rows), digits=9)
    history = read_history(contents.paths)
    if history:
        lines = [Row((f"{e.time:%Y-%m-%d %H:%M:%S}", e.action, e.snapshot)) for e in history]
        heads = ("time (UTC)", "action", "snapshot")
        yield Table("What `current` was", heads, tuple(lines), "The last one is current.")
    if contents.snapshot is not None:
        yield from _of_snapshot(contents.snapshot)


def _of_snapshot(snapshot: Snapshot) -> Iterator[Block]:
    metadata = snapshot.metadata
    pairs = {
        "snapshot": snapshot.name,
        "SHA-256 of what decides its numbers": snapshot.hash,
        "composites": str(metadata["inputs"]["composites"]),
        "digest of the composites": metadata["inputs"]["digest"],
        **{f"digest of the {name} rows": value for name, value in metadata["rows"].items()},
        "minkgen": metadata["code_version"],
        "layout": str(metadata["layout_version"]),
        "licence": metadata["attribution"],
    }
    if (snapshot.path / MANIFEST).exists():
        files = read_manifest(snapshot.path).values()
        size = sum(record.size for record in files) / 1e6
        pairs["files"] = f"{len(files)} with SHA-256 in {MANIFEST}, {size:.1f} MB"
    yield Facts("Snapshot", tuple(pairs.items()))
    yield Facts("Libraries", tuple(metadata["library_versions"].items()))
    recipe = {
        path: value if isinstance(value, str) else json.dumps(value)
        for path, value in leaves(metadata["recipe"]).items()
    }
    yield Facts("Recipe: every key that decides a number", tuple(recipe.items()))
