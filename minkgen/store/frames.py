"""The frame table: what each ingested composite is like, one Parquet file a day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from minkgen.opera.conversion import rain_rate_of
from minkgen.opera.odim import Composite
from minkgen.store.files import write_table
from minkgen.store.layout import StorePaths

__all__ = ["FRAME_SCHEMA", "describe_frame", "read_frames", "write_frames"]

_TIME = pa.timestamp("us", tz="UTC")
FRAME_SCHEMA = pa.schema(
    [
        ("time", _TIME),
        ("product", pa.string()),
        ("era", pa.string()),
        ("odim_version", pa.string()),
        ("source", pa.string()),
        ("window_start", _TIME),
        ("window_end", _TIME),
        ("covered_fraction", pa.float64()),
        ("wet_fraction", pa.float64()),
        ("max_rate", pa.float32()),
        ("pixels_from_31", pa.int64()),
        ("pixels_above_150", pa.int64()),
        ("pixels_above_500", pa.int64()),
        ("most_repeated_rate", pa.float32()),
        ("most_repeated_count", pa.int64()),
        ("not_finite", pa.int64()),
        ("zr_a", pa.float64()),
        ("zr_b", pa.float64()),
        ("radars", pa.list_(pa.string())),
        ("sha256", pa.string()),
    ]
)
REPEATED_FROM_MM_H = 31.0


def describe_frame(composite: Composite, sha256: str) -> dict[str, Any]:
    """Return the row of a composite in the frame table.

    All rates are mm/h; those of reflectivity follow from the Z-R relation that the file states
    (`zr_a` and `zr_b`, null where it states none), else from Marshall and Palmer's: a row depends
    on the file alone.

    `wet_fraction` is the share of covered pixels above 0; `pixels_from_31` counts the pixels of at
    least 31 mm/h, and `most_repeated_rate` is the value among them that occurs most often (the
    lowest of equals), NaN where there is none: ceilings of failing radars repeat one value in many
    pixels. `not_finite` counts raw values that were infinite or NaN.

    Flags are no part of the row: `minkgen.store.flags` derives them by the rules of a recipe.
    """
    values = rain_rate_of(composite.values, composite.quantity, composite.z_r)
    zr_a, zr_b = composite.z_r or (None, None)
    covered = np.isfinite(values)
    rates = values[covered]
    high = rates[rates >= REPEATED_FROM_MM_H]
    repeated, counts = np.unique(high, return_counts=True)
    most = int(np.argmax(counts)) if counts.size else None
    return {
        "time": composite.time,
        "product": composite.quantity,
        "era": composite.era,
        "odim_version": composite.odim_version,
        "source": composite.source,
        "window_start": composite.window[0],
        "window_end": composite.window[1],
        "covered_fraction": float(covered.mean()),
        "wet_fraction": float((rates > 0).mean()) if rates.size else 0.0,
        "max_rate": float(rates.max()) if rates.size else float("nan"),
        "pixels_from_31": int(high.size),
        "pixels_above_150": int(np.count_nonzero(rates > 150)),
        "pixels_above_500": int(np.count_nonzero(rates > 500)),
        "most_repeated_rate": float("nan") if most is None else float(repeated[most]),
        "most_repeated_count": 0 if most is None else int(counts[most]),
        "not_finite": composite.not_finite,
        "zr_a": zr_a,
        "zr_b": zr_b,
        "radars": list(composite.radars),
        "sha256": sha256,
    }


def read_frames(paths: StorePaths, day: date) -> dict[datetime, dict[str, Any]]:
    """Return the rows of a day by nominal time."""
    path = paths.frames(day)
    if not path.exists():
        return {}
    rows = pq.read_table(path, schema=FRAME_SCHEMA).to_pylist()
    return {row["time"].astimezone(UTC): row for row in rows}


def write_frames(paths: StorePaths, day: date, rows: Sequence[dict[str, Any]]) -> None:
    """Replace the frame table of a day; rows are put in the order of their times."""
    in_order = sorted(rows, key=lambda row: row["time"])
    write_table(paths.frames(day), pa.Table.from_pylist(in_order, schema=FRAME_SCHEMA))
