"""Small published snapshots of smooth random rain, written by the true writer."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from minkgen.gamma.matrix import gamma_matrix
from minkgen.gamma.thresholds import physical_thresholds
from minkgen.grid import TEST_2KM
from minkgen.store.build import SnapshotPlan, create_staging, write_part
from minkgen.store.layout import LAYOUT_VERSION, StorePaths
from minkgen.store.publishing import publish
from minkgen.store.snapshot import Snapshot, open_snapshot
from minkgen.tiles.eligibility import FrameTiles
from minkgen.tiles.table import frame_rows, merge_rows

SIZE = 32
THRESHOLDS = (0.1, 0.3, 1.0, 3.0, 10.0)
DRY_EVERY = 9
COUNTS = {"train": 100, "validation": 40, "test": 40}

MakeSnapshot = Callable[..., Snapshot]


def rain(count: int, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return smooth log-normal rain of very different amounts; every ninth tile is dry."""
    random = np.random.default_rng(seed)
    noise = gaussian_filter(random.standard_normal((count, SIZE, SIZE)), (0, 2, 2))
    noise /= noise.std()
    amount = random.uniform(-3.0, 1.0, (count, 1, 1))
    tiles = np.round(np.exp(1.5 * noise + amount), 2).astype(np.float32)
    tiles[tiles < np.float32(0.1)] = 0.0
    tiles[::DRY_EVERY] = 0.0
    return tiles


def gamma_of(tiles: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    gamma: np.ndarray[Any, np.dtype[np.float32]] = gamma_matrix(
        tiles, THRESHOLDS, pixel_km=2.0, min_persistence=(0.5, 0.5)
    )
    return gamma


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny networks gain nothing from threads, and lose 100 times where cores are shared."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def make_snapshot(tmp_path_factory: pytest.TempPathFactory) -> MakeSnapshot:
    """Return a function that publishes a snapshot; metadata can be replaced, splits dried."""

    def make(
        counts: dict[str, int] | None = None,
        all_dry: tuple[str, ...] = (),
        infinite_pixels: tuple[str, ...] = (),
        missing_pixels: tuple[str, ...] = (),
        frame_sizes: Sequence[int] = (1000,),
        **metadata: Any,
    ) -> Snapshot:
        counts = COUNTS | (counts or {})
        fields = {split: rain(count, seed=len(split)) for split, count in counts.items()}
        for split in all_dry:
            fields[split][:] = 0.0
        for split in infinite_pixels:
            fields[split][-2, :3] = np.inf
        for split in missing_pixels:
            fields[split][-2, :3] = np.nan
        thresholds = physical_thresholds(THRESHOLDS)
        root = {
            "layout_version": LAYOUT_VERSION,
            "attribution": "made up",
            "name": "small",
            "hash": "0123456789abcdef",
            "thresholds": thresholds.as_dict(),
            "pixel_km": 2.0,
            "tile_size": SIZE,
            "normalisation": {
                "log1p_max": float(
                    np.log1p(np.max(fields["train"], where=np.isfinite(fields["train"]), initial=0))
                )
            },
            "floors": {"components": {"epsilon": 0.5}, "holes": {"epsilon": 0.5}},
            "recipe": {
                "tiles": {"drizzle_mm_h": 0.1},
                "persistence": {"essential": "alive"},
            },
            **metadata,
        }
        plan = SnapshotPlan(
            "small-0123", root, _tables(fields, frame_sizes), TEST_2KM, SIZE, thresholds
        )
        paths = StorePaths(tmp_path_factory.mktemp("store"))
        _write(paths, plan, fields)
        publish(paths, plan.name)
        return open_snapshot(paths.root)

    return make


def _tables(fields: dict[str, np.ndarray[Any, Any]], frame_sizes: Sequence[int]) -> dict[str, Any]:
    """Return the rows of all splits: hourly frames of these sizes, again and again."""
    tables, hours = {}, itertools.count()
    for split, tiles in fields.items():
        frames = []
        ends = itertools.accumulate(itertools.cycle(frame_sizes), initial=0)
        for first, last in itertools.pairwise(ends):
            if first >= len(tiles):
                break
            of_frame = tiles[first:last]
            corners = np.arange(len(of_frame), dtype=np.int32)
            frame = FrameTiles(
                corners,
                corners,
                np.ones(len(of_frame)),
                (of_frame > 0).mean(axis=(1, 2)),
                of_frame.max(axis=(1, 2)),
            )
            time = datetime(2024, 7, 1, tzinfo=UTC) + timedelta(hours=next(hours))
            frames.append(frame_rows(time, "NIMBUS_RATE", frame))
        tables[split] = merge_rows(frames)
    return tables


def _write(paths: StorePaths, plan: SnapshotPlan, fields: dict[str, Any]) -> None:
    staging = create_staging(paths, plan)
    for part in plan.parts():
        tiles = fields[part.split][part.samples]
        write_part(staging, part, "rain_rate", tiles)
        write_part(staging, part, "gamma", gamma_of(tiles))
        if part.split == "train":
            # Stands for mix-up: other tiles than the real ones, with another γ.
            mixed = np.round(0.6 * tiles, 2)
            mixed[mixed < np.float32(0.1)] = 0.0
            write_part(staging, part, "mixup_rain_rate", mixed)
            write_part(staging, part, "mixup_gamma", gamma_of(mixed))


@pytest.fixture(scope="session")
def snapshot(make_snapshot: MakeSnapshot) -> Snapshot:
    """Return a snapshot of 100 + 40 + 40 samples of 32 x 32 pixels; treat as read-only."""
    return make_snapshot()
