"""Show: a picture of a composite, in a file or a store, and of a tile of it with its γ."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minkgen.errors import InputError, StoreError
from minkgen.evaluate.figures import as_png
from minkgen.evaluate.figures.quick_look import TileLook, quick_look
from minkgen.gamma.functionals import FUNCTIONALS
from minkgen.gamma.matrix import gamma_matrix
from minkgen.opera.conversion import rain_rate_of
from minkgen.opera.odim.composite import read_composite
from minkgen.products import GROUPS
from minkgen.store.composites import held_products
from minkgen.store.frames import read_frames
from minkgen.store.layout import StorePaths, attribution_of
from minkgen.store.ledger import read_ledger
from minkgen.store.snapshot import Snapshot, open_snapshot
from minkgen.workflows.rain import RainSource

__all__ = ["Look", "look_at_file", "look_at_store"]

# Where no snapshot says which: decades and halves of them.
DEFAULT_THRESHOLDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
DEFAULT_SIZE, DEFAULT_DRIZZLE_MM_H = 128, 0.1
# Places of the outlined thresholds, as shares of the way from the lowest to the highest.
OUTLINED = (0.0, 0.5, 0.8)

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Look:
    """A picture, and what it shows.

    Attributes
    ----------
    png : bytes
    content : dict
        Plain JSON values: time, product, largest rate, shares; of a tile its γ, too.
    """

    png: bytes
    content: dict[str, Any]


@dataclass(frozen=True)
class _Measure:
    """How γ is taken of a tile."""

    thresholds: tuple[float, ...] = DEFAULT_THRESHOLDS
    size: int = DEFAULT_SIZE
    drizzle_mm_h: float = DEFAULT_DRIZZLE_MM_H
    floors: tuple[float, float] = (0.0, 0.0)
    essential: str = "alive"
    snapshot: str | None = None

    @classmethod
    def of(cls, snapshot: Snapshot) -> _Measure:
        floors = snapshot.metadata["floors"]
        return cls(
            thresholds=tuple(snapshot.thresholds.tolist()),
            size=snapshot.tile_size,
            drizzle_mm_h=snapshot.drizzle,
            floors=(floors["components"]["epsilon"], floors["holes"]["epsilon"]),
            essential=snapshot.metadata["recipe"]["persistence"]["essential"],
            snapshot=snapshot.name,
        )


def look_at_file(path: Path, tile: tuple[int, int] | None = None) -> Look:
    """Draw a composite of a file, and a tile of it.

    Parameters
    ----------
    path : Path
        An OPERA composite (ODIM_H5).
    tile : tuple of int, optional
        Row and column of the tile's north-west pixel.

    Returns
    -------
    Look
        γ over thresholds from 0.1 to 50 mm/h, with every component and hole counted.

    Raises
    ------
    SourceError
        If the file cannot be read.
    InputError
        If the tile does not lie in the composite.
    """
    composite = read_composite(path)
    rain_rate = rain_rate_of(composite.values, composite.quantity, composite.z_r)
    attribution = attribution_of([composite.source])
    about = {
        "time": f"{composite.time:%Y-%m-%dT%H:%M}",
        "product": f"{composite.era} {composite.quantity}",
        "attribution": attribution,
    }
    return _look(rain_rate, composite.grid.pixel_km, about, _Measure(), tile)


def look_at_store(
    store: Path, time: datetime, tile: tuple[int, int] | None = None, product: str | None = None
) -> Look:
    """Draw a composite of a store, and a tile of it.

    Parameters
    ----------
    store : Path
    time : datetime
        Nominal time; UTC if it names no zone.
    tile : tuple of int, optional
        Row and column of the tile's north-west pixel.
    product : {"RATE", "ACRR", "DBZH", "OWN"}, optional
        By default the first that the store has.

    Returns
    -------
    Look
        γ over thresholds and floors of the store's current snapshot, where there is one.

    Raises
    ------
    StoreError
        If there is no such composite; the message says what the ledger knows of its time.
    InputError
        If the tile does not lie in the composite.
    """
    held = held_products(StorePaths(store))
    quantity = product or (held[0] if held else "RATE")
    paths = StorePaths(store.absolute(), GROUPS[quantity])
    source = RainSource(paths)
    composites = source.open()
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    _require_ok(paths, time)
    row = read_frames(paths, time.date())[time]
    about = {
        "time": f"{time:%Y-%m-%dT%H:%M}",
        "product": f"{row['era']} {row['product']}",
        "attribution": attribution_of([row["source"]]),
    }
    measure = _Measure.of(open_snapshot(store)) if paths.current.exists() else _Measure()
    return _look(source.read(composites, time), composites.grid.pixel_km, about, measure, tile)


def _require_ok(paths: StorePaths, time: datetime) -> None:
    ledger = read_ledger(paths, time.date())
    if ledger.ok(time):
        return
    slot = ledger.slots.get(time)
    there = [f"{each:%H:%M}" for each in sorted(ledger.slots) if ledger.ok(each)]
    raise StoreError(
        "the store has no composite of this time",
        where=f"{paths.root}, {time:%Y-%m-%dT%H:%M} UTC",
        got="nobody asked for it" if slot is None else f"{slot.state}: {slot.reason}",
        expected=f"{there[0]} to {there[-1]} of this day" if there else "another day",
        hint=f"see `minkgen inspect {paths.root}`",
    )


def _look(
    rain_rate: FloatArray,
    pixel_km: float,
    about: dict[str, Any],
    measure: _Measure,
    place: tuple[int, int] | None,
) -> Look:
    covered = np.isfinite(rain_rate)
    rates = rain_rate[covered]
    content = {
        **about,
        "pixel_km": pixel_km,
        "covered_fraction": float(covered.mean()),
        "wet_fraction": float((rates > 0).mean()) if rates.size else 0.0,
        "max_mm_h": float(rates.max()) if rates.size else None,
    }
    tile = None
    if place is not None:
        tile = _tile(rain_rate, pixel_km, measure, place)
        content["tile"] = {
            "row": tile.row,
            "column": tile.column,
            "snapshot": measure.snapshot,
            "thresholds_mm_h": tile.thresholds.tolist(),
            "gamma": {
                name: values.tolist()
                for name, values in zip(tile.functionals, tile.gamma, strict=True)
            },
        }
    title = f"{about['product']}, {about['time'].replace('T', ' ')} UTC"
    figure = quick_look(
        rain_rate,
        pixel_km=pixel_km,
        title=title,
        attribution=about["attribution"],
        tile=tile,
    )
    return Look(as_png(figure), content)


def _tile(
    rain_rate: FloatArray, pixel_km: float, measure: _Measure, place: tuple[int, int]
) -> TileLook:
    (row, column), size = place, measure.size
    height, width = rain_rate.shape
    if not (0 <= row <= height - size and 0 <= column <= width - size):
        raise InputError(
            "the tile does not lie in the composite",
            where="tile",
            got=f"row {row}, column {column}",
            expected=f"rows 0 to {height - size}, columns 0 to {width - size}",
        )
    cut = np.nan_to_num(rain_rate[row : row + size, column : column + size], nan=0.0)
    cut[cut < np.float32(measure.drizzle_mm_h)] = 0.0
    gamma = gamma_matrix(
        cut,
        measure.thresholds,
        pixel_km=pixel_km,
        min_persistence=measure.floors,
        essential=measure.essential,
    )
    last = len(measure.thresholds) - 1
    return TileLook(
        row=row,
        column=column,
        rain_rate=cut,
        thresholds=np.asarray(measure.thresholds, np.float32),
        outlined=tuple(sorted({round(share * last) for share in OUTLINED})),
        functionals=FUNCTIONALS,
        gamma=np.asarray(gamma),
    )
