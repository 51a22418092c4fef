"""Tiny snapshots of known content: tiles of 8 x 8 pixels, parts of 16 samples."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from minkgen.gamma.thresholds import physical_thresholds
from minkgen.grid import TEST_2KM
from minkgen.recipe import digest
from minkgen.store import build
from minkgen.store.build import SnapshotPlan, create_staging, is_written, staging_path, write_part
from minkgen.store.layout import LAYOUT_VERSION, StorePaths
from minkgen.store.linking import shard_digests
from minkgen.store.manifest import marks_folder
from minkgen.tiles.eligibility import FrameTiles
from minkgen.tiles.table import frame_rows, merge_rows

SIZE, SAMPLES_PER_PART = 8, 16
START = datetime(2024, 7, 1, tzinfo=UTC)


def use_tiny_parts() -> None:
    """Cut parts of 16 samples, in a process of its own; tests in this one use monkeypatch."""
    build.SAMPLES_PER_SHARD = SAMPLES_PER_PART


@dataclass(frozen=True)
class Tiny:
    """A snapshot whose samples are hours after START; two numbers are added to all values."""

    name: str
    train: tuple[int, ...] = tuple(range(0, 40, 2))
    validation: tuple[int, ...] = (100, 101, 102)
    test: tuple[int, ...] = (200, 201)
    rain: int = 0
    gamma: int = 0

    def rows(self) -> dict[str, pa.Table]:
        """Return one tile per hour."""
        return {split: merge_rows([_row(hour) for hour in hours]) for split, hours in self._hours()}

    def _hours(self) -> Iterable[tuple[str, tuple[int, ...]]]:
        return ("train", self.train), ("validation", self.validation), ("test", self.test)

    def plan(self) -> SnapshotPlan:
        """Return the plan, with the digests by which shards are shared."""
        thresholds = physical_thresholds([0.1, 1.0])
        rows = self.rows()
        inputs = {
            START + timedelta(hours=hour): f"{hour}" for _, hours in self._hours() for hour in hours
        }
        metadata: Mapping[str, Any] = {
            "layout_version": LAYOUT_VERSION,
            "name": "tiny",
            "hash": self.name,
            "attribution": "made up",
            "recipe": {"tiles": {"drizzle_mm_h": 0.1}, "seed": self.rain},
            "thresholds": thresholds.as_dict(),
            "added": {"rain_rate": self.rain, "gamma": self.gamma},
        }
        choices = {
            "rain_rate": [self.rain],
            "gamma": [self.rain, self.gamma],
            "mixup_rain_rate": [self.rain, "mixed"],
            "mixup_gamma": [self.rain, self.gamma, "mixed"],
        }
        digests = shard_digests(rows, inputs, choices)
        return SnapshotPlan(
            self.name, dict(metadata), rows, TEST_2KM, SIZE, thresholds, decided_by=digests
        )

    def values(self, split: str, array: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return what an array of a split holds."""
        hours = dict(self._hours())[split]
        mixed = array.startswith("mixup_")
        kind = array.removeprefix("mixup_")
        shape, added = (
            ((8, 2), self.rain + self.gamma) if kind == "gamma" else ((SIZE, SIZE), self.rain)
        )
        noise = [np.random.default_rng((hour, mixed)).integers(0, 99, shape) for hour in hours]
        return (np.array(noise) + 100.0 * added).astype(np.float32)

    def place(self, paths: StorePaths, kept: Path) -> Path:
        """Put down a finished build, kept in a folder from the first time on: the rest is slow."""
        alone = StorePaths(kept / digest(repr(self))[:12])  # tests give names more than once
        built = staging_path(alone, self.name)
        if not built.exists():
            self.write(alone)
        staging = staging_path(paths, self.name)
        for source, target in ((built, staging), (marks_folder(built), marks_folder(staging))):
            shutil.copytree(source, target)
        return staging

    def write(self, paths: StorePaths, parts: Iterable[int] | None = None) -> Path:
        """Begin, or take up, and write the missing ones of some parts, in the order given."""
        plan = self.plan()
        staging = create_staging(paths, plan)
        for index in range(len(plan.parts())) if parts is None else parts:
            part = plan.parts()[index]
            if not is_written(staging, part):
                for array in part.arrays:
                    write_part(staging, part, array, self.values(part.split, array)[part.samples])
        return staging


def _row(hour: int) -> pa.Table:
    one = np.array([hour % 60], np.int32)
    rate = np.array([hour], np.float32)
    tiles = FrameTiles(one, one * 2, np.ones(1), np.full(1, 0.5), rate)
    return frame_rows(START + timedelta(hours=hour), "NIMBUS_RATE", tiles)


def content(root: Path) -> dict[str, bytes]:
    """Return all files below a folder."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
