"""Stores to make reports of: one with very many samples, and runs that nobody trained."""

from __future__ import annotations

import io
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from minkgen.gamma.functionals import FUNCTIONALS, UNITS
from minkgen.gamma.thresholds import ValueHistogram, quantile_thresholds
from minkgen.grid import OPERA_2KM
from minkgen.recipe import DEFAULT_LEVELS, Recipe
from minkgen.store.build import SnapshotPlan, create_staging, snapshot_path
from minkgen.store.layout import LAYOUT_VERSION, SAMPLES_PER_SHARD, StorePaths
from minkgen.tiles.table import TILE_SCHEMA

LARGE_TILE = 16


def write_large_store(root: Path, samples: int) -> Path:
    """Write a store with a snapshot of very many training samples, in a few seconds.

    Columns are all different; of the fields, the first shard is written and the others are hard
    links to it, so that rates and γ repeat every 4096 samples.
    """
    thresholds = quantile_thresholds(
        ValueHistogram.from_values((np.arange(10, 5000) / 100).astype(np.float32)), DEFAULT_LEVELS
    )
    recipe = Recipe.model_validate(
        {
            "name": "large",
            "store": str(root),
            "source": {"path": "."},
            "period": {"start": "2012-01-01T00:00", "end": "2025-01-01T00:00"},
            "splits": {
                "train": {"start": "2012-01-01T00:00", "end": "2023-01-01T00:00"},
                "validation": {"start": "2023-01-01T00:00", "end": "2024-01-01T00:00"},
                "test": {"start": "2024-01-01T00:00", "end": "2025-01-01T00:00"},
            },
            "tiles": {"size": LARGE_TILE, "stride": 128},
        }
    )
    counts = {"train": samples, "validation": samples // 10, "test": samples // 10}
    floor = {"epsilon": 0.5, "method": "given", "k_star": None, "percentile": None}
    metadata: dict[str, Any] = {
        "layout_version": LAYOUT_VERSION,
        "name": "large",
        "hash": "0" * 64,
        "recipe": recipe.numeric(),
        "thresholds": thresholds.as_dict(),
        "floors": {"components": floor, "holes": floor},
        "normalisation": {"max_rate": 100.0, "log1p_max": float(np.log1p(100.0))},
        "rows": dict.fromkeys(counts, "0" * 64),
        "inputs": {"composites": 9, "digest": "0" * 64, "excluded": {"composites": 0}},
        "grid": OPERA_2KM.name,
        "pixel_km": OPERA_2KM.pixel_km,
        "tile_size": LARGE_TILE,
        "functionals": list(FUNCTIONALS),
        "code_version": "0",
        "library_versions": {"numpy": np.__version__},
        "climate_from": None,
        "attribution": "made up",
    }
    rows = {
        split: _rows(recipe.splits.windows()[split].start, count, seed)
        for seed, (split, count) in enumerate(counts.items())
    }
    plan = SnapshotPlan("large-000000000000", metadata, rows, OPERA_2KM, LARGE_TILE, thresholds)
    paths = StorePaths(root)
    staging = create_staging(paths, plan)
    for split, count in counts.items():
        for name in ("rain_rate", "gamma"):
            _fill(staging / split / name, count)
    staging.rename(snapshot_path(paths, plan.name))
    paths.current.symlink_to(f"{plan.name}.zarr")
    return root


def _rows(start: datetime, count: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    quarters = np.sort(rng.integers(0, 365 * 96, count))
    time = (int(start.timestamp()) + 900 * quarters) * 1_000_000
    wet_fraction = np.maximum(rng.beta(0.5, 2.0, count) - 0.05, 0.0)
    columns = [
        pa.array(time).cast(TILE_SCHEMA.field("time").type),
        pa.array(128 * rng.integers(2, 15, count), pa.int32()),
        pa.array(128 * rng.integers(2, 12, count), pa.int32()),
        pa.array(np.ones(count)),
        pa.array(wet_fraction),
        pa.array(np.where(wet_fraction > 0, rng.gamma(2.0, 5.0, count), 0.0), pa.float32()),
        pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), ["NIMBUS_RATE"]).cast(
            pa.string()
        ),
    ]
    return pa.table(columns, schema=TILE_SCHEMA)


def _fill(folder: Path, count: int) -> None:
    """Write the first shard of an array, and link the others to it."""
    import zarr

    array = zarr.open_array(folder, mode="r+")
    shape = (min(count, SAMPLES_PER_SHARD), *array.shape[1:])
    values = np.random.default_rng(0).gamma(0.3, 3.0, shape)
    falling = np.sort(values, axis=-1)[..., ::-1]
    array[: shape[0]] = (falling if folder.name == "gamma" else values).astype(np.float32)
    first = folder / "c/0/0/0"
    for shard in range(1, -(-count // SAMPLES_PER_SHARD)):
        other = folder / f"c/{shard}/0/0"
        other.parent.mkdir(parents=True)
        os.link(first, other)


def put_runs(store: Path, snapshot: str) -> dict[str, Path]:
    """Put made-up runs into a store: two evaluations with figures, and two trainings.

    Returns
    -------
    dict of str to Path
        The folders of `surrogates`, `superres`, `emulator` and `model`.
    """
    names = {
        "surrogates": "evaluation-00000001",
        "superres": "superres-evaluation-00000002",
        "emulator": "emulator-00000003",
        "model": "superres-00000004",
    }
    folders = {kind: store / "runs" / name for kind, name in names.items()}
    for folder in folders.values():
        folder.mkdir(parents=True)
    common = {
        "snapshot": snapshot,
        "split": "test",
        "pixel_km": 2.0,
        "attribution": "made up",
    }
    _put_surrogates(folders["surrogates"], common)
    _put_superres(folders["superres"], common)
    _put_trainings(folders["emulator"], folders["model"])
    # The latest evaluation is shown first.
    os.utime(folders["surrogates"] / "scores.json", (1, 1))
    return folders


def _run(name: str) -> dict[str, Any]:
    spent = {"run": name, "epochs": 3, "best_epoch": 2, "tiles": 40, "seconds": 7.5}
    return {**spent, "hardware": "1 thread of a CPU"}


def _put_surrogates(folder: Path, common: dict[str, Any]) -> None:
    functionals = ["area", "perimeter", "components"]
    r2 = dict.fromkeys(("mean", *functionals), 0.5)
    classes = {"0-2 %": {"samples": 4, "loss": {"counting": 3.0}, "r2": {"log1p": r2}}}
    seed = {
        "classes": classes,
        "r2_per_threshold": {"log1p": {name: [0.5] for name in functionals}},
    }
    about = {
        "exact": {"title": "Exact", "settings": {}},
        "lip-cnn": {"title": "Lip-CNN", "seeds": {"0": _run("emulator-00000003")}},
    }
    table = [
        {"name": "Exact", "loss_counting": 0.0, "isoperimetric_sets": None, "spread": {}},
        {
            "name": "Lip-CNN",
            "loss_counting": 15.25,
            "isoperimetric_sets": 0.125,
            "spread": {"loss_counting": 0.5},
        },
    ]
    scores = {
        **common,
        "functionals": functionals,
        "units": UNITS,
        "thresholds_mm_h": [1.0],
        "tiles": {"wet": 9, "dry": 1},
        "about": about,
        "surrogates": {name: {"0": seed} for name in about},
        "table": table,
    }
    found = {"cosine": {"median": 0.9}, "relative_l2": None}
    fidelity = {
        "curves": {name: {"1.0": {"both": {"1": {"all": found}}}} for name in about},
        "directions": 2,
        "rows": [0],
    }
    timed = {"forward": 10.0, "forward_backward": 5.0, "batch": 4, "threads": 1, "device": "cpu"}
    throughput = dict.fromkeys(about, timed)
    _write(folder, {"scores": scores, "fidelity": fidelity, "throughput": throughput})
    _picture(folder / "gamma_curves.png")


def _put_superres(folder: Path, common: dict[str, Any]) -> None:
    about = {
        "interpolation": {"title": "Bicubic", "settings": {}},
        "unet": {"title": "U-Net", "seeds": {"0": _run("superres-00000004")}},
    }
    table = [
        {"name": "Bicubic", "loss/counting": 9.5, "mae": 0.07, "spread": {}},
        {"name": "U-Net", "loss/counting": 8.25, "mae": 0.06, "spread": {}},
    ]
    content = {
        **common,
        "tiles": {"wet": 9, "dry": 1},
        "days": ["2024-07-01"],
        "about": about,
        "models": {name: {"0": {"members": 1}} for name in about},
        "bootstrap": {},
        "batch_size": 4,
        "table": table,
    }
    timed = {"fields_per_second": 3.0, "steps": 1, "threads": 1, "device": "cpu"}
    _write(folder, {"superres": content, "superres_throughput": dict.fromkeys(about, timed)})
    _picture(folder / "superres_spectra.png")
    _picture(folder / "superres_sal.png")


def _put_trainings(emulator: Path, model: Path) -> None:
    losses = [4.0, 3.0, 2.5]
    epochs = [
        {
            "epoch": epoch,
            "train": {"total": loss},
            "validation": {"counting": {"total": loss + 1.0}},
        }
        for epoch, loss in enumerate(losses, start=1)
    ]
    _write(emulator, {"recipe": {"emulator": {"architecture": "lip-cnn", "seed": 0}}})
    (emulator / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in epochs))
    epochs = [
        {"epoch": epoch, "train": {"own": loss / 10}, "validation": {"score": loss}}
        for epoch, loss in enumerate(losses, start=1)
    ]
    settings = {"model": "unet", "minkowski": "exact", "seed": 1}
    _write(model, {"recipe": {"superres": settings}})
    (model / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in epochs))


def _write(folder: Path, files: dict[str, Any]) -> None:
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def _picture(path: Path) -> None:
    figure = Figure(figsize=(12.0, 3.0), dpi=100)
    figure.subplots().plot([0, 1], [1, 0])
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    path.write_bytes(stream.getvalue())
