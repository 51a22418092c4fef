"""Checks of composites: the axes and units, and every slot as the ledger and the table say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from minkgen.opera.conversion import rain_rate_of
from minkgen.store.files import sha256_of
from minkgen.store.ledger import read_ledger
from minkgen.store.verify.findings import Faults, Finding
from minkgen.store.verify.hierarchies import require_attributes, require_grid_mapping
from minkgen.store.verify.shards import filled_chunks
from minkgen.store.verify.view import Group, StoreView

__all__ = [
    "conventions",
    "frames",
    "not_ok_slots",
    "ok_slots",
    "quality",
    "raw_files",
    "time_axis",
    "unrecorded_slots",
]

_INGEST_AGAIN = (
    "move the ledger and the frame table of the day away and run `minkgen ingest` again; "
    "samples that were cut from it are wrong, too"
)


def time_axis(view: StoreView) -> Finding:
    """Look at the time axis of every group."""
    faults, count = Faults(), 0
    for group in view.groups():
        array, composites = group.array("time"), group.composites
        units = f"minutes since {composites.start:%Y-%m-%d %H:%M:%S}"
        wanted = {"standard_name": "time", "units": units, "calendar": "proleptic_gregorian"}
        require_attributes(faults, f"{group.name}/time", dict(array.attrs), wanted)
        minutes = int(group.step.total_seconds() // 60) * np.arange(composites.slots)
        faults.arrays(f"{group.name}/time", np.asarray(array[:]), minutes)
        for name in group.variables:
            shape = group.array(name).shape
            faults.equal(f"{group.name}/{name} slots", got=shape[0], expected=composites.slots)
        count += composites.slots
    return faults.finding(count, "slots", "restore composites.zarr from a copy, or ingest anew")


def conventions(view: StoreView) -> Finding:
    """Look at dimensions, chunks, units and coordinates of every group."""
    faults, count = Faults(), 0
    attributes = dict(zarr.open_group(view.paths.composites, mode="r").attrs)
    require_attributes(faults, "composites.zarr", attributes, {"Conventions": "CF-1.11"})
    for key in ("title", "attribution"):
        faults.require(bool(attributes.get(key)), f"composites.zarr {key}", None, "a text")
    for group in view.groups():
        grid = group.composites.grid
        for name, wanted in group.variables.items():
            array, place = group.array(name), f"{group.name}/{name}"
            mapping = {"grid_mapping": "spatial_ref"}
            require_attributes(faults, place, dict(array.attrs), {**wanted, **mapping})
            layout = {
                "data type": (array.dtype, np.dtype(np.float32)),
                "dimensions": (_dimensions(array), ("time", "y", "x")),
                "frame": (array.shape[1:], grid.shape),
                "chunk": (array.chunks, (1, *grid.shape)),
                "shard": (array.shards, (group.frames_per_shard, *grid.shape)),
            }
            for what, (got, expected) in layout.items():
                faults.equal(f"{place} {what}", got=got, expected=expected)
            faults.require(
                bool(np.isnan(array.fill_value)), f"{place} fill value", array.fill_value, "NaN"
            )
        for axis, centres in (("y", grid.y), ("x", grid.x)):
            array, place = group.array(axis), f"{group.name}/{axis}"
            wanted = {"standard_name": f"projection_{axis}_coordinate", "units": "m"}
            require_attributes(faults, place, dict(array.attrs), wanted)
            faults.arrays(place, np.asarray(array[:]), centres)
        node = zarr.open_group(view.paths.composites, mode="r")[group.name]
        require_grid_mapping(faults, node, group.name, grid)  # type: ignore[arg-type]
        count += len(group.variables) + 3
    return faults.finding(count, "arrays", "restore composites.zarr from a copy, or ingest anew")


def _dimensions(array: zarr.Array[Any]) -> tuple[str | None, ...] | None:
    return getattr(array.metadata, "dimension_names", None)


def ok_slots(view: StoreView) -> Finding:
    """Look for the chunk of every ok slot, without decoding it."""
    faults, count = Faults(), 0
    for group in view.groups():
        for ledger in group.ledgers():
            rows, filled = group.frames(ledger.day), _filled(group, group.measured, ledger.day)
            for time in sorted(ledger.slots):
                # A frame without any coverage is nothing but NaN, and takes no place in a shard.
                if ledger.ok(time) and (time not in rows or rows[time]["covered_fraction"] > 0):
                    count += 1
                    faults.require(filled[time], _place(group, time), "no data", "a frame")
    return faults.finding(count, "ok slots with coverage", _INGEST_AGAIN)


def frames(view: StoreView) -> Finding:
    """Compare some ok slots with the frame table."""
    faults, count, total = Faults(), 0, 0
    for group in view.groups():
        times = group.ok_times()
        total += len(times)
        for time in (
            times[index] for index in view.draw("composites.frames", group.name, len(times))
        ):
            count += 1
            row = group.frames(time.date()).get(time)
            if row is None:
                faults.add(_place(group, time), "no row in the frame table", "one")
                continue
            for variable in group.variables:  # each must be readable
                frame = group.composites.read(variable, time)[0]
                if variable == group.measured:
                    for key, value in _described(_rates(group, frame, row)).items():
                        faults.equal(f"{_place(group, time)} {key}", got=value, expected=row[key])
    return faults.finding(count, f"of {total} ok slots", _INGEST_AGAIN)


def quality(view: StoreView) -> Finding:
    """Look for frames without quality among others of their era and product that have it."""
    faults, count = Faults(), 0
    for group in view.groups():
        if "quality" not in group.variables:
            continue
        has: dict[str, list[datetime]] = {}
        lacks: dict[str, list[datetime]] = {}
        for ledger in group.ledgers():
            rows, filled = group.frames(ledger.day), _filled(group, "quality", ledger.day)
            for time in (time for time in sorted(rows) if ledger.ok(time)):
                product = f"{rows[time]['era']} {rows[time]['product']}"
                (has if filled[time] else lacks).setdefault(product, []).append(time)
                count += 1
        for product in has.keys() & lacks.keys():
            others = f"quality, as {len(has[product])} others of {product} have"
            for time in lacks[product]:
                faults.add(_place(group, time), "none", others)
    return faults.finding(
        count, "ok slots", "look at the source file: has it quality? If so, ingest the day anew"
    )


def _rates(
    group: Group, frame: npt.NDArray[np.float32], row: Mapping[str, Any]
) -> npt.NDArray[np.float32]:
    """Return a frame as the rain rates that the frame table describes."""
    z_r = None if row["zr_a"] is None else (row["zr_a"], row["zr_b"])
    return rain_rate_of(frame, group.composites.product.quantity, z_r)


def _described(frame: npt.NDArray[np.float32]) -> dict[str, float]:
    """Return what the frame table says of a frame, where it has coverage."""
    covered = np.isfinite(frame)
    rates = frame[covered]
    described = {"covered_fraction": float(covered.mean())}
    if rates.size:
        described |= {
            "wet_fraction": float((rates > 0).mean()),
            "max_rate": float(rates.max()),
            "pixels_above_150": int(np.count_nonzero(rates > 150)),
            "pixels_above_500": int(np.count_nonzero(rates > 500)),
        }
    return described


def not_ok_slots(view: StoreView) -> Finding:
    """Look for numbers in slots that the ledger says are absent, failed or corrupt."""
    faults, count = Faults(), 0
    for group in view.groups():
        for ledger in group.ledgers():
            times = [time for time in ledger.slots if not ledger.ok(time)]
            count += len(times)
            for time in _with_numbers(group, ledger.day, times):
                state = ledger.slots[time].state
                faults.add(_place(group, time), f"numbers in a slot that is {state}", "NaN")
    return faults.finding(
        count,
        "slots that are not ok",
        "run `minkgen ingest` again if one was interrupted; otherwise nobody may read these slots",
    )


def unrecorded_slots(view: StoreView) -> Finding:
    """Look for numbers in slots that are in no ledger, as an interrupted ingest leaves them."""
    faults, count = Faults(), 0
    for group in view.groups():
        for day in _days_with_shards(group):
            known = read_ledger(group.paths, day).slots
            times = [
                t for shard in group.composites.shards_of(day) for t in shard if t not in known
            ]
            count += len(times)
            for time in _with_numbers(group, day, times):
                faults.add(_place(group, time), "numbers in a slot without a state", "NaN")
    return faults.finding(
        count, "slots without a state, on days with data", "run `minkgen ingest` for these days"
    )


def raw_files(view: StoreView) -> Finding:
    """Compare the digests of kept source files with the ledger's."""
    kept = []
    for group in view.groups():
        for ledger in group.ledgers():
            for time, slot in sorted(ledger.slots.items()):
                if slot.source is not None and (path := group.paths.raw / slot.source).exists():
                    kept.append((_place(group, time), path, slot.sha256))
    faults = Faults()
    drawn = view.draw("composites.raw-files", "", len(kept))
    for place, path, sha256 in (kept[index] for index in drawn):
        faults.equal(f"{place} {path.name}", got=sha256_of(path), expected=sha256)
    return faults.finding(
        len(drawn),
        f"of {len(kept)} source files that are kept",
        "move the file away; the composite came from one with the digest of the ledger",
    )


def _place(group: Group, time: datetime) -> str:
    return f"{group.name} {time:%FT%R}"


def _filled(group: Group, variable: str, day: date) -> dict[datetime, bool]:
    """Return of every slot of a day whether its chunk is in a shard."""
    filled: dict[datetime, bool] = {}
    for times in group.composites.shards_of(day):
        index = group.composites.slot(times[0]) // group.frames_per_shard
        shard = group.shard_of(variable, index)
        filled |= zip(times, filled_chunks(shard, len(times)).tolist(), strict=True)
    return filled


def _with_numbers(group: Group, day: date, times: Sequence[datetime]) -> Iterator[datetime]:
    """Yield those of some slots of a day in which anything but NaN stands."""
    filled = {name: _filled(group, name, day) for name in group.variables}
    for time in times:
        if any(
            filled[name][time] and not bool(np.isnan(group.composites.read(name, time)).all())
            for name in group.variables
        ):
            yield time


def _days_with_shards(group: Group) -> list[date]:
    """Return the days that have a shard of any variable on disk."""
    per_shard = group.frames_per_shard * group.step
    shards = {
        int(path.parent.parent.name)
        for name in group.variables
        for path in (group.folder / name / "c").glob("*/0/0")
    }
    return sorted({(group.composites.start + shard * per_shard).date() for shard in shards})
