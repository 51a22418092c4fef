"""Reading composites: three states, true centres, and errors that name what was found."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

import minkgen
from minkgen.errors import SourceError
from minkgen.grid import OPERA_1KM, OPERA_2KM, TEST_2KM
from minkgen.opera.keys import ArchiveKey, parse_key
from minkgen.opera.odim import PRODUCT_SCALING, Scaling, decoding, open_composite, read_composite
from minkgen.opera.synthetic import write_composite

NODATA, UNDETECT = -9999000.0, -8888000.0
TIME = datetime(2024, 7, 1, 12, 15, tzinfo=UTC)
LAYOUTS = {"odyssey": "QIND_RATE", "nimbus": "RATE"}


@pytest.fixture(params=LAYOUTS)
def composite_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a file with one pixel of each state, in the layout of either era."""
    rain_rate = np.zeros(TEST_2KM.shape, np.float32)
    rain_rate[:, :100] = np.nan
    rain_rate[100, 200] = 12.34
    quality = np.full(TEST_2KM.shape, 0.5, np.float32)
    path = tmp_path / ArchiveKey(TIME, LAYOUTS[request.param]).path
    write_composite(path, rain_rate, quality, time=TIME, grid=TEST_2KM, layout=request.param)
    return path


def change(path: Path, edit: Callable[[h5py.File], object]) -> None:
    with h5py.File(path, "r+") as file:
        edit(file)


def description(file: h5py.File) -> Any:
    """Return the attributes that describe the data, wherever the layout has them."""
    inner = file.get("dataset1/data1/what")
    return (inner if inner is not None else file["dataset1/what"]).attrs


def test_the_three_states_stay_three(composite_file: Path) -> None:
    rain_rate = minkgen.open_composite(composite_file)["rain_rate"]
    assert rain_rate.dtype == np.float32
    assert np.isnan(rain_rate.values[:, :100]).all()
    assert rain_rate.values[100, 200] == np.float32(12.34)
    others = rain_rate.values[:, 100:].copy()
    others[100, 100] = 0
    assert (others == 0).all()


def test_the_dataset_describes_itself(composite_file: Path) -> None:
    dataset = open_composite(composite_file)
    odyssey = "QIND" in composite_file.name
    assert dataset["rain_rate"].attrs["units"] == "mm/h"
    assert dataset["rain_rate"].attrs["grid_mapping"] == "spatial_ref"
    assert "PROJCRS" in dataset["spatial_ref"].attrs["crs_wkt"]
    assert dataset["time"].values == np.datetime64("2024-07-01T12:15")
    assert dataset.attrs["era"] == ("ODYSSEY" if odyssey else "NIMBUS")
    assert dataset.attrs["odim_version"] == ("2.0" if odyssey else "2.4")
    assert dataset.attrs["product"] == "RATE"
    assert np.array_equal(dataset["y"], TEST_2KM.y)
    assert np.array_equal(dataset["x"], TEST_2KM.x)
    assert len(dataset.attrs["radars"].split()) > 1


def test_infinite_values_count_as_missing_and_are_counted(composite_file: Path) -> None:
    def edit(file: h5py.File) -> None:
        data = file["dataset1/data1/data"]
        data[5, 300], data[5, 301], data[5, 302] = np.inf, -np.inf, np.nan

    change(composite_file, edit)
    dataset = open_composite(composite_file)
    assert np.isnan(dataset["rain_rate"].values[5, 300:303]).all()
    assert dataset.attrs["not_finite"] == 3


def test_values_beyond_float32_count_as_missing(composite_file: Path) -> None:
    """-1e300 would become -inf, which says `undetect` in reflectivities."""

    def edit(file: h5py.File) -> None:
        data = file["dataset1/data1/data"]
        data[5, 300], data[5, 301], data[5, 302] = 1e300, -1e300, 3e38
        description(file)["quantity"] = "DBZH"

    change(composite_file, edit)
    composite = read_composite(composite_file)
    assert np.isnan(composite.values[5, 300:302]).all()
    assert composite.values[5, 302] == np.float32(3e38)
    assert composite.values[5, 303] == -np.inf
    assert composite.not_finite == 2


def test_another_scaling_is_read_only_if_it_is_accepted(composite_file: Path) -> None:
    def edit(file: h5py.File) -> None:
        description(file)["gain"], description(file)["offset"] = 2.0, 1.0

    change(composite_file, edit)
    doubled = PRODUCT_SCALING._replace(gain=2.0, offset=1.0)
    for accepted in ((), (doubled._replace(gain=3.0),)):
        with pytest.raises(SourceError, match=r"gain 2.0, offset 1.0, nodata -9999000.0"):
            open_composite(composite_file, accepted=accepted)
    rain_rate = open_composite(composite_file, accepted=(doubled,))["rain_rate"].values
    assert rain_rate[100, 200] == np.float32(12.34 * 2 + 1)
    assert np.isnan(rain_rate[0, 0])
    assert rain_rate[0, 150] == 0.0


def test_states_may_be_numbers_beyond_float32(composite_file: Path) -> None:
    def edit(file: h5py.File) -> None:
        data = file["dataset1/data1/data"][...]
        data[data == NODATA], data[data == UNDETECT] = 1e300, -1e300
        file["dataset1/data1/data"][...] = data
        description(file)["nodata"], description(file)["undetect"] = 1e300, -1e300

    before = read_composite(composite_file)
    change(composite_file, edit)
    after = read_composite(composite_file, accepted=(Scaling(1.0, 0.0, 1e300, -1e300),))
    assert np.array_equal(after.values, before.values, equal_nan=True)
    assert after.not_finite == 0


def test_quality_may_do_without_states_only_where_its_product_does(composite_file: Path) -> None:
    def edit(file: h5py.File) -> None:
        del file["dataset2/what"].attrs["nodata"]

    if "QIND" in composite_file.name:
        change(composite_file, edit)
        with pytest.raises(SourceError, match="'nodata'"):
            read_composite(composite_file)
    else:
        quality = read_composite(composite_file).quality
        assert quality is not None
        assert (quality == 0.5).all()


def test_arrays_can_be_placed_by_the_caller(composite_file: Path) -> None:
    given = []

    def allocate(shape: tuple[int, int]) -> npt.NDArray[np.float32]:
        given.append(np.full(shape, 7, np.float32))
        return given[-1]

    composite = read_composite(composite_file, allocate=allocate)
    assert composite.values is given[0]
    assert composite.quality is given[1]
    assert np.array_equal(composite.values, read_composite(composite_file).values, equal_nan=True)


def test_zlib_inflates_to_the_same(composite_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = read_composite(composite_file)
    monkeypatch.setattr(decoding, "zlib_ng", zlib)
    plain = read_composite(composite_file)
    assert np.array_equal(plain.values, fast.values, equal_nan=True)
    _damage_chunk(composite_file)
    with pytest.raises(SourceError, match="damaged"):
        read_composite(composite_file)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _damage_chunk(path: Path) -> None:
    with h5py.File(path, "r") as file:
        chunk = file["dataset1/data1/data"].id.get_chunk_info(1)
    with path.open("r+b") as stream:
        stream.seek(chunk.byte_offset)
        stream.write(b"\xff" * chunk.size)


def _edit(edit: Callable[[h5py.File], object]) -> Callable[[Path], None]:
    return lambda path: change(path, edit)


def _replace_data(values: Any) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        del file["dataset1/data1/data"]
        file["dataset1/data1/data"] = values

    return edit


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: path.unlink(), "cannot be read"),
    "empty": (lambda path: path.write_bytes(b""), "not HDF5"),
    "html": (lambda path: path.write_bytes(b"<html>503</html>"), "not HDF5"),
    "truncated": (_truncate, "damaged"),
    "damaged chunk": (_damage_chunk, "damaged"),
    "no what": (_edit(lambda f: f.__delitem__("what")), "an attribute is missing"),
    "no where": (_edit(lambda f: f.__delitem__("where")), "an attribute is missing"),
    "no nodata": (_edit(lambda f: description(f).__delitem__("nodata")), "'nodata'"),
    "no data": (_edit(lambda f: f.__delitem__("dataset1/data1/data")), "array is missing"),
    "no conventions": (_edit(lambda f: f.attrs.__delitem__("Conventions")), "'Conventions'"),
    "other conventions": (_edit(lambda f: f.attrs.modify("Conventions", b"CF-1.8")), "CF-1.8"),
    "a volume": (_edit(lambda f: f["what"].attrs.modify("object", b"PVOL")), "PVOL"),
    "text as gain": (_edit(lambda f: description(f).__setitem__("gain", "one")), "'gain'"),
    "nan as gain": (_edit(lambda f: description(f).__setitem__("gain", np.nan)), "'gain'"),
    "a bad date": (_edit(lambda f: f["what"].attrs.modify("date", b"2024 Jul")), "YYYYMMDD"),
    "a number as date": (_edit(lambda f: f["what"].attrs.__setitem__("date", 3)), "'date'"),
    "an unknown quantity": (
        _edit(lambda f: description(f).__setitem__("quantity", b"VRAD")),
        "VRAD",
    ),
    "a huge shape": (
        _edit(lambda f: f["where"].attrs.modify("xsize", 1_000_000)),
        "unknown grid",
    ),
    "infinite nodata": (_edit(lambda f: description(f).__setitem__("nodata", -np.inf)), "'nodata'"),
    "another nodata": (
        _edit(lambda f: description(f).__setitem__("nodata", -1.0)),
        "scaled in an unknown way",
    ),
    "the year 9999": (_edit(lambda f: f["what"].attrs.modify("date", b"99991231")), "1999 to 2199"),
    "another window": (
        _edit(lambda f: f["dataset1/what"].attrs.modify("startdate", b"20240702")),
        "measuring window",
    ),
    "a link": (_edit(_replace_data(h5py.ExternalLink("b.h5", "/data"))), "leads elsewhere"),
    "another shape": (_edit(_replace_data(np.zeros((3, 4)))), r"shape \(3, 4\)"),
    "text as data": (_edit(_replace_data(b"rain")), "numbers of shape"),
    "another projection": (
        _edit(lambda f: f["where"].attrs.modify("projdef", b"+proj=merc +lon_0=0")),
        "unknown projection",
    ),
    "a shifted corner": (
        _edit(lambda f: f["where"].attrs.modify("UL_lon", f["where"].attrs["UL_lon"] + 0.01)),
        "unknown grid",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_refused_by_name(composite_file: Path, damage: str) -> None:
    harm, expected = DAMAGES[damage]
    harm(composite_file)
    with pytest.raises(SourceError, match=expected) as caught:
        open_composite(composite_file)
    assert str(composite_file) in str(caught.value)


def test_the_key_must_agree_with_the_file(composite_file: Path) -> None:
    key = parse_key(composite_file.name)
    assert read_composite(composite_file, key).time == TIME
    later = ArchiveKey(TIME.replace(hour=13), key.product_name)
    with pytest.raises(SourceError, match="not the one in its name"):
        read_composite(composite_file, later)
    with pytest.raises(SourceError, match="another quantity"):
        read_composite(composite_file, ArchiveKey(TIME, "ACRR"))


EXPECTED = {
    "QIND_RATE": ("rain_rate", "ODYSSEY", OPERA_2KM, 0.0),
    "RATE": ("rain_rate", "NIMBUS", OPERA_2KM, 0.0),
    "ACRR": ("rain_accumulation", "NIMBUS", OPERA_2KM, 0.0),
    "DBZH": ("reflectivity", "CIRRUS", OPERA_1KM, -np.inf),
}


@pytest.mark.shared_data
def test_every_real_file_follows_an_independent_reading(real_archive: Path) -> None:
    paths = sorted(real_archive.rglob("*.h5"))
    assert len(paths) == 22
    for path in paths:
        variable, era, grid, undetect = EXPECTED[parse_key(path.name).product_name]
        with h5py.File(path) as file:
            raw = file["dataset1/data1/data"][...]
        dataset = open_composite(path)
        values = dataset[variable].values
        assert dataset.attrs["era"] == era
        assert dataset.attrs["grid"] == grid.name
        assert np.array_equal(np.isnan(values), raw == NODATA)
        assert (values[raw == UNDETECT] == undetect).all()
        measured = (raw != NODATA) & (raw != UNDETECT)
        assert np.array_equal(values[measured], raw[measured].astype(np.float32))
        assert np.array_equal(dataset["y"], grid.y)
        assert "quality" in dataset


@pytest.mark.shared_data
def test_quality_is_raw_with_its_products_meaning(real_archive: Path) -> None:
    odyssey = open_composite(next(real_archive.rglob("*T1800*QIND_RATE.h5")))
    echo = np.isfinite(odyssey["quality"].values)
    assert not echo[odyssey["rain_rate"].values == 0].all()
    assert echo[odyssey["rain_rate"].values > 0].all()
    nimbus = open_composite(next(real_archive.rglob("*T0200*@RATE.h5")))
    assert (nimbus["quality"].values[np.isnan(nimbus["rain_rate"].values)] == 0).all()
    assert odyssey["quality"].attrs["comment"] != nimbus["quality"].attrs["comment"]


@pytest.mark.shared_data
def test_four_rates_make_the_real_accumulation(real_archive: Path) -> None:
    rates = [open_composite(path)["rain_rate"] for path in real_archive.rglob("*@0@RATE.h5")]
    total = 0.25 * np.sum([rate.values.astype(np.float64) for rate in rates], axis=0)
    stored = open_composite(next(real_archive.rglob("*ACRR.h5")))["rain_accumulation"].values
    known = np.isfinite(total) & np.isfinite(stored)
    assert known.mean() > 0.4
    assert np.abs(total - stored)[known].max() <= 0.005 + 1e-5


# Radars of the 2018 roster at known places, from the public OPERA radar database.
RADARS = {
    "chdol": (6.0997, 46.4251),  # La Dole, Switzerland
    "ukche": (-0.5306, 51.6892),  # Chenies, England
    "deumd": (11.1761, 52.1601),  # Ummendorf, Germany
    "frtou": (1.3765, 43.5743),  # Toulouse, France
}


@pytest.mark.shared_data
def test_radars_of_the_roster_are_covered_where_they_stand(real_archive: Path) -> None:
    dataset = open_composite(next(real_archive.rglob("*T1800*QIND_RATE.h5")))
    covered = np.isfinite(dataset["rain_rate"].values)
    for radar, (longitude, latitude) in RADARS.items():
        assert radar in dataset.attrs["radars"]
        row, column = OPERA_2KM.pixel_of(longitude, latitude)
        assert covered[row, column], radar
    # Italy sent nothing that evening; mirrored north-south, Rome would seem covered, Bodo not.
    for place, expected in (((12.5, 41.9), False), ((14.4, 67.28), True)):
        row, column = OPERA_2KM.pixel_of(*place)
        assert covered[row, column] == expected
        assert covered[OPERA_2KM.height - 1 - row, column] != expected
