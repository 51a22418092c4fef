"""Written composites: the same tree, types and values as in the real files, whole or not there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pyproj import Transformer

from minkgen.errors import InputError
from minkgen.grid import OPERA_2KM, TEST_2KM, Grid, match_grid, opera_crs
from minkgen.opera.keys import parse_key
from minkgen.opera.odim import read_composite
from minkgen.opera.synthetic.odim_writer import SYNTHETIC_SOURCE, Layout, write_composite

TINY = Grid("tiny", 4, 5, 2.0, 0.0, 0.0)
TIME = datetime(2024, 7, 1, 0, 5, tzinfo=UTC)
LAYOUTS: tuple[Layout, ...] = ("odyssey", "nimbus")
NODATA, UNDETECT = -9_999_000.0, -8_888_000.0
REAL_FILES: dict[Layout, str] = {
    "odyssey": "2018/08/24/OPERA/COMP/OPERA@20180824T1800@0@QIND_RATE.h5",
    "nimbus": "2024/11/26/OPERA/COMP/OPERA@20241126T0115@0@RATE.h5",
}
# Made-up data say so, and are made up by other radars; all else is as in the real files.
DIFFERENCES = {("what", "source"), ("how", "nodes")}


def write(path: Path, layout: Layout, rain_rate: Any = None, **changed: Any) -> Path:
    """Write a composite on the tiny grid, changed as given."""
    arguments: dict[str, Any] = {"time": TIME, "grid": TINY, "layout": layout, **changed}
    shape = arguments["grid"].shape
    rate = np.zeros(shape, np.float32) if rain_rate is None else rain_rate
    quality = arguments.pop("quality", np.full(shape, 0.5, np.float32))
    write_composite(path, rate, quality, **arguments)
    return path


def attributes(file: h5py.File) -> Iterator[tuple[tuple[str, str], str, Any]]:
    """Return place, type on disk, and value of every attribute."""
    places = ["/"]
    file.visit(places.append)
    for place in places:
        for name, value in file[place].attrs.items():
            kind = file[place].attrs.get_id(name).get_type()
            text = isinstance(kind, h5py.h5t.TypeStringID)
            described = f"text, padding {kind.get_strpad()}" if text else str(kind.dtype)
            if text and (place, name) not in DIFFERENCES:
                described += f", {kind.get_size()} bytes"
            yield (place, name), described, value


def arrays_of(file: h5py.File) -> dict[str, tuple[Any, ...]]:
    """Return how every array is stored."""
    found: dict[str, tuple[Any, ...]] = {}

    def visit(place: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            filters = node.compression, node.compression_opts, node.shuffle, node.fletcher32
            found[place] = (node.dtype, node.shape, node.maxshape, node.chunks, filters)
            found[place] += (node.fillvalue,)

    file.visititems(visit)
    return found


@pytest.mark.shared_data
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_tree_is_that_of_a_real_file(
    layout: Layout, real_archive: Path, tmp_path: Path
) -> None:
    time = parse_key(REAL_FILES[layout]).time
    path = write(tmp_path / "made.h5", layout, time=time, grid=OPERA_2KM)
    with h5py.File(path) as made, h5py.File(real_archive / REAL_FILES[layout]) as real:
        made_attributes = {place: (kind, value) for place, kind, value in attributes(made)}
        real_attributes = {place: (kind, value) for place, kind, value in attributes(real)}
        assert arrays_of(made) == arrays_of(real)
        assert made.id.get_create_plist().get_version() == real.id.get_create_plist().get_version()
    assert {place: kind for place, (kind, _) in made_attributes.items()} == {
        place: kind for place, (kind, _) in real_attributes.items()
    }
    for place, (_, value) in real_attributes.items():
        if place[0] == "where" and value.dtype.kind == "f":
            assert made_attributes[place][1] == pytest.approx(value, abs=2e-8), place
        elif place not in DIFFERENCES:
            assert made_attributes[place][1] == value, place


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_data_say_that_they_are_made_up(layout: Layout, tmp_path: Path) -> None:
    with h5py.File(write(tmp_path / "a.h5", layout)) as file:
        assert file["what"].attrs["source"] == SYNTHETIC_SOURCE.encode() == b"ORG:247,CMT:synthetic"


@pytest.mark.parametrize(
    ("layout", "spelling"), [("odyssey", b"NOD:zzone,NOD:zztwo"), ("nimbus", b"'zzone','zztwo'")]
)
def test_nodes_are_spelled_as_the_era_did(layout: Layout, spelling: bytes, tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", layout, grid=TEST_2KM, nodes=("zzone", "zztwo"))
    with h5py.File(path) as file:
        assert file["how"].attrs["nodes"] == spelling
    assert read_composite(path).radars == ("zzone", "zztwo")


@pytest.mark.parametrize("grid", [TEST_2KM, OPERA_2KM], ids=lambda grid: grid.name)
@pytest.mark.parametrize(("layout", "off"), [("odyssey", (0.0, 0.0)), ("nimbus", (-2.53, -1.03))])
def test_corners_are_those_of_the_grid(
    layout: Layout, off: tuple[float, float], grid: Grid, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.h5", layout, grid=grid)
    with h5py.File(path) as file:
        where = dict(file["where"].attrs)
    lonlat = {key: (where[f"{key}_lon"], where[f"{key}_lat"]) for key in ("UL", "UR", "LL", "LR")}
    projdef = where["projdef"].decode()
    shape = int(where["ysize"]), int(where["xsize"])
    assert (
        match_grid(projdef, shape, (where["xscale"], where["yscale"]), lonlat, where=path) == grid
    )
    to_metres = Transformer.from_crs(opera_crs().geodetic_crs, opera_crs(), always_xy=True)
    for key, (x, y) in grid.corners.items():
        found = np.subtract(to_metres.transform(*lonlat[key]), (x, y))
        assert found == pytest.approx(off, abs=0.01)


@pytest.mark.parametrize(
    ("layout", "window"),
    [
        ("odyssey", (b"20240630", b"235500", b"20240701", b"001000")),
        ("nimbus", (b"20240701", b"000500", b"20240701", b"000500")),
    ],
)
def test_times_across_midnight(layout: Layout, window: tuple[bytes, ...], tmp_path: Path) -> None:
    with h5py.File(write(tmp_path / "a.h5", layout)) as file:
        what = file["dataset1/what"].attrs
        names = ("startdate", "starttime", "enddate", "endtime")
        assert tuple(what[name] for name in names) == window
        assert file["what"].attrs["date"] == b"20240701"
        assert file["what"].attrs["time"] == b"000500"


rates = arrays(
    np.float32,
    TINY.shape,
    elements=st.one_of(st.just(np.nan), st.just(0.0), st.floats(0.0, 2**14, width=32)),
)


@settings(deadline=None)  # a file each: as fast as the disk
@given(rain_rate=rates, measured_zero=arrays(np.bool_, TINY.shape), layout=st.sampled_from(LAYOUTS))
def test_every_pixel_has_one_of_three_states(
    tmp_path_factory: pytest.TempPathFactory, rain_rate: Any, measured_zero: Any, layout: Layout
) -> None:
    path = tmp_path_factory.mktemp("states") / "a.h5"
    with h5py.File(write(path, layout, rain_rate, measured_zero=measured_zero)) as file:
        raw = file["dataset1/data1/data"][...]
    missing = np.isnan(rain_rate)
    rounded = np.round(rain_rate.astype(float), 2)
    dry = rounded == 0
    assert (raw[missing] == NODATA).all()
    assert (raw[dry & ~measured_zero] == UNDETECT).all()
    assert (raw[dry & measured_zero] == 0).all()
    others = ~missing & ~dry
    assert np.array_equal(raw[others], rounded[others])


@pytest.mark.parametrize(
    ("layout", "place", "undefined"),
    [("odyssey", "dataset2/data1", NODATA), ("nimbus", "dataset1/data1/quality1", 0.0)],
)
def test_quality_is_written_as_given(
    layout: Layout, place: str, undefined: float, tmp_path: Path
) -> None:
    quality = np.linspace(0.0, 0.9, TINY.height * TINY.width).reshape(TINY.shape)
    quality[0, 0] = np.nan
    with h5py.File(write(tmp_path / "a.h5", layout, quality=quality)) as file:
        raw = file[f"{place}/data"][...]
    assert raw[0, 0] == undefined
    assert np.array_equal(raw.ravel()[1:], quality.ravel()[1:])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_is_replaced_by_the_same_bytes(layout: Layout, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.h5"
    first = write(path, layout).read_bytes()
    path.write_bytes(b"torn")
    assert write(path, layout).read_bytes() == first
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        write(path, "odyssey")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rain_rate": np.zeros((5, 4), np.float32)}, "rain_rate does not cover the grid tiny"),
        ({"quality": np.zeros((1, 1), np.float32)}, "quality does not cover the grid tiny"),
        ({"measured_zero": np.zeros((1, 1), bool)}, "measured_zero does not cover"),
        ({"rain_rate": np.full(TINY.shape, -0.1)}, "negative or infinite"),
        ({"rain_rate": np.full(TINY.shape, np.inf)}, "negative or infinite"),
        ({"time": TIME.replace(tzinfo=None)}, "whole minute in UTC"),
        ({"time": TIME.replace(second=30)}, "whole minute in UTC"),
        ({"layout": "cirrus"}, "the layout is unknown"),
    ],
)
def test_unusable_arguments_write_nothing(
    changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        write(tmp_path / "a.h5", **{"layout": "odyssey", **changed})
    assert not list(tmp_path.iterdir())
