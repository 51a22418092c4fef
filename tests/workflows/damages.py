"""A deliberate damage for every check of `verify`, each of a copy of a healthy store."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from minkgen.recipe import digest
from minkgen.store.composites import open_composites
from minkgen.store.files import sha256_of, switch_symlink, write_json
from minkgen.store.frames import read_frames, write_frames
from minkgen.store.layout import StorePaths, consolidate
from minkgen.store.ledger import DayLedger, Slot, read_ledger, write_ledger
from minkgen.store.manifest import MANIFEST
from minkgen.store.verify.snapshots import DECIDING
from minkgen.store.verify.view import StoreView
from minkgen.tiles.table import rows_digest

__all__ = ["DAMAGES", "DAY", "SAMPLES", "Copy", "at"]

DAY = date(2024, 7, 1)
# So few that damage beside the drawn samples is seen by the checks of all samples alone.
SAMPLES = 2
_DRAWS = ("tiles.cut-anew", "mixup.tiles", "gamma.oracle", "mixup.oracle")


def at(hour: int, minute: int) -> datetime:
    return datetime(2024, 7, 1, hour, minute, tzinfo=UTC)


class Copy:
    """A copy of a store by hard links, whose files are replaced and never edited in place."""

    def __init__(self, healthy: Path, root: Path) -> None:
        shutil.copytree(healthy, root, copy_function=os.link, symlinks=True)
        self.paths = StorePaths(root)

    @property
    def view(self) -> StoreView:
        return StoreView(self.paths.root, samples=SAMPLES)

    @property
    def snapshot(self) -> Path:
        return self.paths.current.resolve()

    def replace(self, path: Path, data: bytes) -> None:
        """Give a path a file of its own, with the permissions of the old one."""
        mode = path.stat().st_mode
        path.unlink()
        path.write_bytes(data)
        path.chmod(mode)

    def cut_off(self, path: Path) -> None:
        """Leave two thirds of a file."""
        data = path.read_bytes()
        self.replace(path, data[: 2 * len(data) // 3])

    def forge_files(self) -> None:
        """Record all files of the snapshots as they are now."""
        for manifest in self.paths.features.glob(f"*.zarr/{MANIFEST}"):
            known = json.loads(manifest.read_bytes())["files"]
            found = {
                path.relative_to(manifest.parent).as_posix(): path
                for path in manifest.parent.rglob("*")
                if path.is_file() and path != manifest
            }
            files = {
                name: {
                    **known.get(name, {}),
                    "size": path.stat().st_size,
                    "sha256": sha256_of(path),
                }
                for name, path in found.items()
            }
            self.replace(manifest, json.dumps({"files": files}).encode())

    def edit_json(self, path: Path, change: Callable[[Any], None]) -> None:
        content = json.loads(path.read_bytes())
        change(content)
        self.replace(path, json.dumps(content).encode())

    def edit_array(self, folder: Path, change: Callable[[Any], Any]) -> None:
        """Replace the values, and with them perhaps the length, of an array on disk."""
        files = [path for path in folder.rglob("*") if path.is_file()]
        mode = files[0].stat().st_mode
        for path in files:
            self.replace(path, path.read_bytes())
        array = zarr.open_array(folder, mode="r+")
        values = change(np.asarray(array[:]))
        if len(values) != array.shape[0]:
            array.resize((len(values), *array.shape[1:]))
        with zarr.config.set({"array.write_empty_chunks": True}):
            zarr.open_array(folder, mode="r+")[:] = values
        for path in folder.rglob("*"):
            if path.is_file():
                path.chmod(mode)

    def edit_field(self, split: str, name: str, change: Callable[[Any], Any]) -> None:
        self.edit_array(self.snapshot / split / name, change)

    def put(self, split: str, name: str, place: Any, value: Any) -> None:
        """Put a value into an array of the snapshot."""

        def change(values: Any) -> Any:
            values[place] = value
            return values

        self.edit_field(split, name, change)

    def edit_attributes(self, root: Path, name: str, change: Callable[[Any], None]) -> None:
        """Edit what an array says of itself, and what the root says of it."""
        self.edit_json(root / name / "zarr.json", lambda node: change(node["attributes"]))
        self.edit_json(
            root / "zarr.json",
            lambda node: change(node["consolidated_metadata"]["metadata"][name]["attributes"]),
        )

    def edit_metadata(self, change: Callable[[Any], None]) -> None:
        """Edit what decided the snapshot, and forge hash, name, link and JSON to fit."""
        old = self.snapshot

        def forge(node: Any) -> None:
            metadata = node["attributes"]["minkgen"]
            change(metadata)
            metadata["hash"] = digest({name: metadata[name] for name in DECIDING})

        self.edit_json(old / "zarr.json", forge)
        forged = json.loads((old / "zarr.json").read_bytes())["attributes"]["minkgen"]
        self.rename(f"{forged['name']}-{forged['hash'][:12]}.zarr")

    def rename(self, name: str) -> None:
        self.snapshot.rename(self.paths.features / name)
        switch_symlink(self.paths.current, name)
        write_json(self.paths.features / "current.json", {"snapshot": name})

    def forge_rows(self, split: str) -> None:
        """Record the rows of a split as they are now."""
        found = rows_digest(self.view.rows(split))
        self.edit_metadata(lambda metadata: metadata["rows"].update({split: found}))

    def choose_samples(self, split: str, chosen: Any) -> None:
        """Keep some samples of a split, in an order, and record them."""
        root = self.snapshot
        for node in sorted((root / split).glob("*/zarr.json")):
            if json.loads(node.read_bytes()).get("dimension_names", [])[:1] == ["sample"]:
                self.edit_array(node.parent, lambda values: values[chosen])
        mode = (root / "zarr.json").stat().st_mode
        self.replace(root / "zarr.json", (root / "zarr.json").read_bytes())
        consolidate(root)
        (root / "zarr.json").chmod(mode)
        self.forge_rows(split)

    def sample(self, split: str, *, wet: bool, drawn: Iterable[str] = ()) -> int:
        """Return a sample that these checks draw, and no other check does."""
        view = self.view
        drawn = set(drawn)
        return next(
            index
            for index in np.flatnonzero(view.column(split, "wet") == wet).tolist()
            if {name for name in _DRAWS if index in view.draw(name, split, view.count(split))}
            == drawn
        )

    def edit_slots(self, change: Callable[[dict[datetime, Slot]], None]) -> None:
        ledger = read_ledger(self.paths, DAY)
        slots = dict(ledger.slots)
        change(slots)
        write_ledger(self.paths, DayLedger(DAY, slots))

    def edit_rows(self, change: Callable[[dict[datetime, Any]], None]) -> None:
        rows = read_frames(self.paths, DAY)
        change(rows)
        write_frames(self.paths, DAY, list(rows.values()))

    def put_frame(self, time: datetime, value: float, variable: str = "rain_rate") -> None:
        """Fill a slot with a value, whatever the ledger says of it."""
        composites = open_composites(self.paths)
        times = next(shard for shard in composites.shards_of(DAY) if time in shard)
        values = composites.read(variable, times[0], len(times))
        values[times.index(time)] = value
        slot = composites.slot(times[0]) // len(times)
        file = self.paths.composites / f"rain_rate/{variable}/c/{slot}/0/0"
        file.unlink(missing_ok=True)
        composites.write_shard(variable, times, values)

    def climate(self) -> Path:
        return next((self.paths.root / "climate").glob("*.json"))

    @property
    def composites(self) -> Path:
        return self.paths.composites


def _root_version(copy: Copy) -> None:
    copy.edit_json(
        copy.composites / "zarr.json", lambda node: node["attributes"].update(layout_version=99)
    )


def _own_metadata(copy: Copy) -> None:
    copy.edit_json(
        copy.snapshot / "train/wet/zarr.json", lambda node: node["attributes"].update(comment="?")
    )


def _stray_build(copy: Copy) -> None:
    build = copy.paths.features / ".building-other-0123.zarr"
    build.mkdir()
    old = datetime.now(UTC) - timedelta(days=2)
    os.utime(build, (old.timestamp(), old.timestamp()))


def _time_axis(copy: Copy) -> None:
    def late(minutes: Any) -> Any:
        minutes[5] += 1
        return minutes

    copy.edit_array(copy.composites / "rain_rate/time", late)


def _composite_units(copy: Copy) -> None:
    copy.edit_attributes(
        copy.composites, "rain_rate/rain_rate", lambda attributes: attributes.update(units="m/s")
    )


def _unknown_state(copy: Copy) -> None:
    def change(slots: dict[datetime, Slot]) -> None:
        slots[at(3, 0)] = Slot("fine", 1, "2024-07-02T00:00:00Z")  # type: ignore[arg-type]

    copy.edit_slots(change)


def _row_too_many(copy: Copy) -> None:
    copy.edit_rows(lambda rows: rows.update({at(3, 0): {**rows[at(2, 0)], "time": at(3, 0)}}))


def _other_frame(copy: Copy) -> None:
    def change(rows: dict[datetime, Any]) -> None:
        for row in rows.values():
            row["wet_fraction"] += 0.25

    copy.edit_rows(change)


def _no_frame(copy: Copy) -> None:
    drawn = copy.view.draw("composites.frames", "rain_rate", len(copy.view.groups()[0].ok_times()))
    assert copy.view.groups()[0].ok_times().index(at(3, 15)) not in drawn
    copy.put_frame(at(3, 15), np.nan)


def _raw_file(copy: Copy) -> None:
    for path in copy.paths.raw.rglob("*.h5"):
        copy.replace(path, path.read_bytes()[:-1] + b"?")


def _southward_up(copy: Copy) -> None:
    copy.edit_array(copy.paths.static / "y", lambda y: y + 1.0)


def _hole_in_terrain(copy: Copy) -> None:
    land = np.argwhere(~zarr.open_array(copy.paths.static / "sea", mode="r")[:])
    row, column = land[-1]

    def change(terrain: Any) -> Any:
        terrain[row, column] = np.nan
        return terrain

    copy.edit_array(copy.paths.static / "terrain", change)


def _mirrored_terrain(copy: Copy) -> None:
    for name in ("terrain", "sea"):
        copy.edit_array(copy.paths.static / name, lambda values: values[::-1])


def _absolute_link(copy: Copy) -> None:
    target = copy.snapshot
    copy.paths.current.unlink()
    copy.paths.current.symlink_to(target)


def _other_json(copy: Copy) -> None:
    write_json(copy.paths.features / "current.json", {"snapshot": "small-000000000000.zarr"})


def _functionals(copy: Copy) -> None:
    copy.edit_metadata(lambda metadata: metadata["functionals"].reverse())


def _stray_shard(copy: Copy) -> None:
    folder = copy.snapshot / "train/gamma/c"
    (folder / "7/0").mkdir(parents=True)
    shutil.copy2(folder / "0/0/0", folder / "7/0/0")


def _partial_file(copy: Copy) -> None:
    path = copy.snapshot / "train/gamma/zarr.json"
    shutil.copy2(path, path.with_name("zarr.0123.partial"))
    (path.parent / "zarr.0123.partial").rename(copy.snapshot / "zarr.0123.partial")


def _writable(copy: Copy) -> None:
    path = copy.snapshot / "test/wet/zarr.json"
    copy.replace(path, path.read_bytes())
    path.chmod(0o644)


def _snapshot_units(copy: Copy) -> None:
    copy.edit_attributes(
        copy.snapshot, "test/rain_rate", lambda attributes: attributes.update(units="kg m-2 s-1")
    )


def _attribution(copy: Copy) -> None:
    copy.edit_json(
        copy.snapshot / "zarr.json", lambda node: node["attributes"].update(attribution="nobody")
    )


def _inputs(copy: Copy) -> None:
    copy.edit_metadata(lambda metadata: metadata["inputs"].update(digest="0" * 64))


def _swapped_samples(copy: Copy) -> None:
    order = np.arange(copy.view.count("test"))
    order[[0, 1]] = order[[1, 0]]
    copy.choose_samples("test", order)


def _rows(copy: Copy) -> None:
    copy.edit_metadata(lambda metadata: metadata["rows"].update(test="0" * 64))


def _positions(copy: Copy) -> None:
    copy.put("test", "y0", 0, 0.0)


def _no_dry_samples(copy: Copy) -> None:
    copy.choose_samples("test", np.flatnonzero(copy.view.column("test", "wet")))


def _in_the_gap(copy: Copy) -> None:
    assert copy.view.column("validation", "time")[0] == at(3, 30).timestamp() // 60
    assert not any(
        0 in copy.view.draw(name, "validation", copy.view.count("validation")) for name in _DRAWS
    )
    copy.put("validation", "time", 0, at(3, 15).timestamp() // 60)
    copy.forge_rows("validation")


def _dry_pixel(copy: Copy, value: float) -> None:
    sample = copy.sample("test", wet=True)
    tile = np.asarray(copy.view.array("test", "rain_rate")[sample])
    row, column = np.argwhere(tile == 0)[0]
    copy.put("test", "rain_rate", (sample, row, column), value)


def _largest_rate(copy: Copy) -> None:
    copy.put("test", "max_rate", copy.sample("test", wet=True), 99.0)


def _swapped_pixels(copy: Copy) -> None:
    sample = copy.sample("test", wet=True, drawn=["tiles.cut-anew"])
    copy.edit_field("test", "rain_rate", lambda tiles: _swap_two_rates(tiles, sample))


def _swap_two_rates(tiles: Any, sample: int) -> Any:
    tile = tiles[sample]
    wet = np.argwhere(tile > 0)
    first = tuple(wet[0])
    second = next(tuple(place) for place in wet if tile[tuple(place)] != tile[first])
    tile[first], tile[second] = tile[second], tile[first]
    return tiles


def _other_threshold(copy: Copy) -> None:
    copy.edit_field("test", "threshold", lambda values: np.nextafter(values, np.float32(np.inf)))


def _renamed_climate(copy: Copy) -> None:
    copy.climate().rename(copy.climate().with_name("0123456789abcdef.json"))


def _histogram(name: str, factor: Callable[[int, int], int]) -> Callable[[Copy], None]:
    """Multiply the counts of a kept histogram by a function of bin and number of bins."""

    def damage(copy: Copy) -> None:
        def change(climate: Any) -> None:
            counts = climate["histograms"][name]["counts"]
            counts[:] = [count * factor(index, len(counts)) for index, count in enumerate(counts)]

        copy.edit_json(copy.climate(), change)

    return damage


def _in_the_upper_half(index: int, bins: int) -> int:
    return 1000 if 2 * index > bins else 1


def _normalisation(copy: Copy) -> None:
    copy.edit_metadata(lambda metadata: metadata["normalisation"].update(log1p_max=1.0))


def _rising_area(copy: Copy) -> None:
    sample = copy.sample("test", wet=True)
    copy.put("test", "gamma", (sample, 0, -1), 1e6)


def _gamma_of_dry(copy: Copy) -> None:
    copy.put("test", "gamma", (copy.sample("test", wet=False), 1, 0), 4.0)


def _wrong_holes(copy: Copy) -> None:
    sample = copy.sample("test", wet=True, drawn=["gamma.oracle"])
    copy.put("test", "gamma", (sample, 3, 0), 17.0)


def _mixed_pixel(copy: Copy) -> None:
    sample = copy.view.draw("mixup.tiles", "train", copy.view.count("train"))[0]
    assert sample not in copy.view.draw("mixup.oracle", "train", copy.view.count("train"))
    copy.put("train", "mixup_rain_rate", (sample, 0, 0), 7.0)


def _mixed_gamma(copy: Copy) -> None:
    sample = copy.view.draw("mixup.oracle", "train", copy.view.count("train"))[0]
    copy.put("train", "mixup_gamma", (sample, 7, 0), 99.0)


DAMAGES: dict[str, Callable[[Copy], None]] = {
    "store.identity": _root_version,
    "store.consolidated": _own_metadata,
    "store.staging": _stray_build,
    "composites.time-axis": _time_axis,
    "composites.conventions": _composite_units,
    "composites.ledger": _unknown_state,
    "composites.frame-table": _row_too_many,
    "composites.ok-slots": _no_frame,
    "composites.frames": _other_frame,
    "composites.quality": lambda copy: copy.put_frame(at(2, 0), np.nan, "quality"),
    "composites.not-ok-slots": lambda copy: copy.put_frame(at(3, 0), 1.0),
    "composites.unrecorded-slots": lambda copy: copy.put_frame(at(12, 0), 0.0),
    "composites.raw-files": _raw_file,
    "terrain.grid": _southward_up,
    "terrain.heights": _hole_in_terrain,
    "terrain.orientation": _mirrored_terrain,
    "snapshot.current": _absolute_link,
    "snapshot.current-json": _other_json,
    "snapshot.layout": _functionals,
    "snapshot.hash": lambda copy: copy.rename("small-000000000000.zarr"),
    "snapshot.files": lambda copy: copy.replace(
        copy.snapshot / "test/zarr.json", (copy.snapshot / "test/zarr.json").read_bytes() + b"\n"
    ),
    "snapshot.complete": _stray_shard,
    "snapshot.published": _partial_file,
    "snapshot.read-only": _writable,
    "snapshot.attributes": _snapshot_units,
    "snapshot.attribution": _attribution,
    "inputs.frames-ok": lambda copy: copy.put("test", "product", 0, "CIRRUS_RATE"),
    "inputs.digest": _inputs,
    "samples.order": _swapped_samples,
    "samples.rows": _rows,
    "samples.positions": _positions,
    "samples.dry-share": _no_dry_samples,
    "splits.gap": _in_the_gap,
    "tiles.filled": lambda copy: _dry_pixel(copy, np.nan),
    "tiles.drizzle": lambda copy: _dry_pixel(copy, 0.05),
    "tiles.facts": _largest_rate,
    "tiles.cut-anew": _swapped_pixels,
    "thresholds.grid": _other_threshold,
    "climate.kept": _renamed_climate,
    "climate.thresholds": _histogram("wet_values", _in_the_upper_half),
    "climate.floors": _histogram("holes_lifetimes", _in_the_upper_half),
    "climate.normalisation": _normalisation,
    "climate.histograms": _histogram("wet_values", lambda index, bins: 2),
    "gamma.finite": lambda copy: copy.put(
        "test", "gamma", (copy.sample("test", wet=True), 4, 0), np.nan
    ),
    "gamma.area": _rising_area,
    "gamma.dry": _gamma_of_dry,
    "gamma.oracle": _wrong_holes,
    "mixup.tiles": _mixed_pixel,
    "mixup.oracle": _mixed_gamma,
}
