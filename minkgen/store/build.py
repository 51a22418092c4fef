"""Building snapshots: a folder beside the target, written in whole shards."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import zarr

from minkgen.errors import StoreError
from minkgen.gamma.functionals import FUNCTIONALS, UNITS
from minkgen.gamma.thresholds import Thresholds
from minkgen.grid import Grid
from minkgen.store.layout import (
    SAMPLES_PER_CHUNK,
    SAMPLES_PER_SHARD,
    StorePaths,
    consolidate,
    grid_mapping_attributes,
    zstd,
)
from minkgen.store.manifest import begin_marks, mark, marked, marks_folder

__all__ = [
    "Part",
    "SnapshotPlan",
    "create_staging",
    "fresh_folders",
    "is_begun",
    "is_written",
    "parts_of",
    "snapshot_path",
    "staging_path",
    "write_part",
]

_SAMPLE_ATTRIBUTES: dict[str, dict[str, str]] = {
    "time": {
        "standard_name": "time",
        "units": "minutes since 1970-01-01 00:00:00",
        "calendar": "proleptic_gregorian",
    },
    "row": {"long_name": "row of the north-west pixel in the composite", "units": "1"},
    "column": {"long_name": "column of the north-west pixel in the composite", "units": "1"},
    "y0": {"long_name": "y of the centre of the north-west pixel", "units": "m"},
    "x0": {"long_name": "x of the centre of the north-west pixel", "units": "m"},
    "wet": {"long_name": "has a pixel of at least the drizzle threshold"},
    "product": {"long_name": "production line and ODIM quantity of the composite"},
    "covered_fraction": {"long_name": "share of pixels with radar coverage", "units": "1"},
    "wet_fraction": {
        "long_name": "share of pixels at or above the drizzle rate",
        "units": "1",
    },
    "max_rate": {"long_name": "largest rate before drizzle is zeroed", "units": "mm/h"},
}


@dataclass(frozen=True)
class SnapshotPlan:
    """Everything that fixes a snapshot before its first shard is written.

    Attributes
    ----------
    name : str
        Name and hash: the folder is `features/<name>.zarr`.
    metadata : dict
        What decided the numbers, as plain JSON values; kept at the root.
    rows : mapping of str to pyarrow.Table
        The samples of every split, in order.
    grid : Grid
    tile_size : int
    thresholds : Thresholds
    decided_by : mapping of str to str, optional
        The digest of everything that decides the bytes of a shard, by its path, as
        `linking.shard_digests` gives them. Shards without one are shared with no other snapshot.
    """

    name: str
    metadata: dict[str, Any]
    rows: Mapping[str, pa.Table]
    grid: Grid
    tile_size: int
    thresholds: Thresholds
    decided_by: Mapping[str, str] = field(default_factory=dict)

    def parts(self) -> list[Part]:
        """Return the parts of all splits, in order."""
        return parts_of(self.rows)


def parts_of(rows: Mapping[str, pa.Table]) -> list[Part]:
    """Return the parts into which the samples of all splits are cut, in order."""
    return [
        Part(split, index, min(SAMPLES_PER_SHARD, table.num_rows - index * SAMPLES_PER_SHARD))
        for split, table in rows.items()
        for index in range(-(-table.num_rows // SAMPLES_PER_SHARD))
    ]


@dataclass(frozen=True)
class Part:
    """The samples of one shard: the unit of work, written whole by one task."""

    split: str
    index: int
    count: int

    @property
    def start(self) -> int:
        """First sample."""
        return self.index * SAMPLES_PER_SHARD

    @property
    def samples(self) -> slice:
        """The samples as a slice."""
        return slice(self.start, self.start + self.count)

    @property
    def arrays(self) -> tuple[str, ...]:
        """The arrays that the part's task writes."""
        real = ("rain_rate", "gamma")
        return (*real, *(f"mixup_{name}" for name in real)) if self.split == "train" else real

    def shard(self, name: str) -> str:
        """Return the path of the part's shard of an array, in the snapshot."""
        return f"{self.split}/{name}/c/{self.index}/0/0"


def snapshot_path(paths: StorePaths, name: str) -> Path:
    """Return the folder of a published snapshot."""
    return paths.features / f"{name}.zarr"


def staging_path(paths: StorePaths, name: str) -> Path:
    """Return the folder in which a snapshot grows."""
    return paths.features / f".building-{name}.zarr"


def create_staging(paths: StorePaths, plan: SnapshotPlan, *, shared: bool = False) -> Path:
    """Create the folder in which a snapshot grows, or find that of an interrupted build.

    A folder left by an interrupted build of the same plan by the same code is taken up, with the
    shards that are marked as written. Several processes may do this at one moment: the folder of
    whoever is first is that of all.

    Parameters
    ----------
    paths : StorePaths
    plan : SnapshotPlan
    shared : bool, optional
        Whether other processes may be at the same work. A folder of other code is then left alone;
        otherwise it is removed.

    Returns
    -------
    Path

    Raises
    ------
    StoreError
        If the work is shared, and the folder is of other code.
    """
    staging = staging_path(paths, plan.name)
    if is_begun(staging, plan):
        return staging
    if not shared:
        for left_over in (staging, marks_folder(staging)):
            if left_over.exists():
                shutil.rmtree(left_over)
    fresh = _fresh_path(paths, plan.name, uuid4().hex)
    _create_hierarchy(fresh, plan)
    if not staging.exists():
        shards = [part.shard(name) for part in plan.parts() for name in part.arrays]
        begin_marks(staging, {shard: plan.decided_by.get(shard) for shard in shards})
    try:
        fresh.rename(staging)
    except OSError:
        shutil.rmtree(fresh)
        if not staging.exists():  # otherwise somebody else was first
            raise
    if not is_begun(staging, plan):
        raise StoreError(
            "other code has begun to build this snapshot",
            where=staging,
            expected="the version of minkgen and the libraries that this process has",
            hint="go on with the environment that began it; or remove that folder when "
            "nothing writes to it, and begin anew",
        )
    return staging


def _fresh_path(paths: StorePaths, name: str, unique: str) -> Path:
    return paths.features / f".new-{name}-{unique}.zarr"


def fresh_folders(paths: StorePaths, name: str) -> list[Path]:
    """Return what killed processes left that were about to create the staging folder."""
    return list(paths.features.glob(_fresh_path(paths, name, "*").name))


def is_begun(staging: Path, plan: SnapshotPlan) -> bool:
    """Return whether a folder is that of a build of this plan by this code."""
    try:
        found = dict(zarr.open_group(staging, mode="r").attrs).get("minkgen")
    except FileNotFoundError:  # nothing, or what a process left that was writing when all ended
        return False
    return bool(found == plan.metadata) and marks_folder(staging).exists()


def _create_hierarchy(folder: Path, plan: SnapshotPlan) -> None:
    root = zarr.open_group(folder, mode="w", zarr_format=3)
    root.attrs.update(
        {
            "title": "γ-matrices of rain tiles",
            "attribution": plan.metadata["attribution"],
            "Conventions": "CF-1.11",
            "minkgen": plan.metadata,
        }
    )
    for split, rows in plan.rows.items():
        group = root.create_group(split)
        _create_coordinates(group, plan)
        _create_sample_columns(group, rows, plan.grid)
        _create_fields(group, rows.num_rows, split, plan)
    consolidate(folder)


def _create_coordinates(group: zarr.Group, plan: SnapshotPlan) -> None:
    thresholds = plan.thresholds
    offsets = plan.grid.pixel_m * np.arange(plan.tile_size)
    distance = {"units": "m", "long_name": "offset from the centre of the north-west pixel"}
    coordinates: dict[str, tuple[str, npt.NDArray[Any], dict[str, str]]] = {
        "functional": ("functional", np.array(FUNCTIONALS, object), {"long_name": "functional"}),
        "threshold": (
            "threshold",
            thresholds.values,
            {"long_name": "rain rate threshold u of the set {x >= u}", "units": "mm/h"},
        ),
        "measure": (
            "threshold",
            thresholds.measure,
            {"long_name": "integration weight of the threshold", "units": "1"},
        ),
        "y": ("y", 0.0 - offsets, {**distance, "axis": "Y"}),
        "x": ("x", offsets, {**distance, "axis": "X"}),
    }
    if thresholds.levels is not None:
        quantile = {"long_name": "quantile level of the training climatology", "units": "1"}
        coordinates["quantile"] = ("threshold", thresholds.levels, quantile)
    for name, (dimension, values, attributes) in coordinates.items():
        _create_vector(group, name, dimension, values, attributes)
    mapping = group.create_array("spatial_ref", shape=(), dtype="int32", fill_value=0)
    mapping.attrs.update(grid_mapping_attributes(plan.grid.crs))


def _create_vector(
    group: zarr.Group,
    name: str,
    dimension: str,
    values: npt.NDArray[Any],
    attributes: Mapping[str, str],
) -> None:
    is_text = values.dtype == object
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=str if is_text else values.dtype,
        chunks=(min(SAMPLES_PER_SHARD, max(1, len(values))),),
        compressors=zstd(),
        fill_value="" if is_text else np.zeros((), values.dtype)[()],
        dimension_names=(dimension,),
        attributes=dict(attributes),
        # A column of zeros is data; left out as "empty" it would read the same but look unwritten.
        config={"write_empty_chunks": True},
    )
    array[:] = values


def _create_sample_columns(group: zarr.Group, rows: pa.Table, grid: Grid) -> None:
    row, column = rows["row"].to_numpy(), rows["column"].to_numpy()
    wet_fraction = rows["wet_fraction"].to_numpy()
    columns: dict[str, npt.NDArray[Any]] = {
        "time": rows["time"].cast(pa.int64()).to_numpy() // 60_000_000,
        "row": row,
        "column": column,
        "y0": grid.y[row],
        "x0": grid.x[column],
        "wet": wet_fraction > 0,
        "product": np.array(rows["product"].to_pylist(), object),
        "covered_fraction": rows["covered_fraction"].to_numpy(),
        "wet_fraction": wet_fraction,
        "max_rate": rows["max_rate"].to_numpy(),
    }
    for name, values in columns.items():
        _create_vector(group, name, "sample", values, _SAMPLE_ATTRIBUTES[name])


def _create_fields(group: zarr.Group, count: int, split: str, plan: SnapshotPlan) -> None:
    located = " ".join((*_SAMPLE_ATTRIBUTES, "measure", "spatial_ref"))
    if plan.thresholds.levels is not None:
        located += " quantile"
    image = (plan.tile_size, plan.tile_size)
    matrix = (len(FUNCTIONALS), len(plan.thresholds.values))
    units = ", ".join(f"{name} {unit}" for name, unit in UNITS.items())
    kinds: dict[str, tuple[tuple[int, int], tuple[str, str], dict[str, str]]] = {
        "rain_rate": (
            image,
            ("y", "x"),
            {
                "long_name": "rain rate with drizzle zeroed, north first",
                "standard_name": "rainfall_rate",
                "units": "mm/h",
                "grid_mapping": "spatial_ref",
            },
        ),
        "gamma": (
            matrix,
            ("functional", "threshold"),
            {"long_name": "γ-matrix", "comment": f"units by functional: {units}"},
        ),
    }
    prefixes = {"": "", "mixup_": "mixed with its coarse self: "} if split == "train" else {"": ""}
    for prefix, meaning in prefixes.items():
        for name, (shape, dimensions, attributes) in kinds.items():
            group.create_array(
                f"{prefix}{name}",
                shape=(count, *shape),
                dtype="float32",
                chunks=(SAMPLES_PER_CHUNK, *shape),
                shards=(SAMPLES_PER_SHARD, *shape),
                compressors=zstd(),
                fill_value=float("nan"),
                dimension_names=("sample", *dimensions),
                attributes={
                    **attributes,
                    "long_name": meaning + attributes["long_name"],
                    "coordinates": located,
                },
            )


def is_written(staging: Path, part: Part) -> bool:
    """Return whether all shards of a part are in place and marked as written."""
    return all(marked(staging, part.shard(name)) is not None for name in part.arrays)


def write_part(staging: Path, part: Part, name: str, values: npt.NDArray[np.float32]) -> None:
    """Write one whole shard of one array, and mark it as written.

    Raises
    ------
    StoreError
        If a γ-matrix holds a value that is not finite, or the shape is not the part's.
    """
    array = zarr.open_group(staging, mode="r+")[f"{part.split}/{name}"]
    if not isinstance(array, zarr.Array) or values.shape != (part.count, *array.shape[1:]):
        raise StoreError("a shard does not fit its array", where=f"{part}/{name}", got=values.shape)
    if name.endswith("gamma") and not np.isfinite(values).all():
        raise StoreError("a γ-matrix is not finite", where=f"{part}/{name}")
    array[part.samples] = values
    mark(staging, part.shard(name))
