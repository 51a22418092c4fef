"""Fields of one's own: north first and in mm/h, whatever the file looks like, or refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from pyproj import CRS, Transformer

from minkgen.errors import SourceError, TransferError
from minkgen.own import fields
from minkgen.own.fields import OwnFields, survey
from tests.own.made_up import NORTH, PROJECTION, START, WEST, Float32, dataset, ramp

Change = Callable[[xr.Dataset], xr.Dataset]


def written(data: xr.Dataset, path: Path, **encoding: Any) -> str:
    data.to_netcdf(path, engine="h5netcdf", encoding={"rain": encoding} if encoding else None)
    return str(path)


def read_all(found: OwnFields) -> Float32:
    """Return all fields; none may be faulty."""
    values = [each for _, each in found.read(list(found.positions))]
    assert all(isinstance(each, np.ndarray) for each in values), values
    return np.array(values)


def read_one(data: xr.Dataset, path: Path) -> Any:
    found = survey([written(data, path)])
    return next(found.read(list(found.positions)))[1]


def test_the_grid_follows_from_the_coordinates(tmp_path: Path) -> None:
    found = survey([written(dataset(ramp(), pixel_m=2500.0), tmp_path / "rain.nc")])
    grid = found.grid
    assert (grid.shape, grid.pixel_km, found.minutes) == ((4, 6), 2.5, 10)
    assert (grid.west, grid.north) == (WEST, NORTH)
    np.testing.assert_array_equal(grid.x, WEST + 2500.0 * (np.arange(6) + 0.5))
    np.testing.assert_array_equal(grid.y, NORTH - 2500.0 * (np.arange(4) + 0.5))
    assert grid.crs == CRS.from_user_input(PROJECTION)


@pytest.mark.parametrize("order", list(permutations(("time", "y", "x"))))
@pytest.mark.parametrize("southward", [True, False])
@pytest.mark.parametrize("eastward", [True, False])
def test_fields_come_north_first(
    tmp_path: Path, order: tuple[str, ...], southward: bool, eastward: bool
) -> None:
    data = dataset(ramp()).transpose(*order)
    data = data.isel(y=slice(None, None, 1 if southward else -1))
    data = data.isel(x=slice(None, None, 1 if eastward else -1))
    found = survey([written(data, tmp_path / "rain.nc")])
    np.testing.assert_array_equal(read_all(found), ramp())
    assert (found.grid.west, found.grid.north) == (WEST, NORTH)


def test_names_do_not_matter_where_axes_are_told(tmp_path: Path) -> None:
    data = dataset(ramp()).rename(y="rows", x="columns", time="when")
    data["columns"].attrs = {"axis": "X", "units": "m"}
    found = survey([written(data, tmp_path / "rain.nc")])
    np.testing.assert_array_equal(read_all(found), ramp())


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("mm/h", 1.0),
        ("mm h-1", 1.0),
        ("mm  hr^-1", 1.0),
        ("mm hour**-1", 1.0),
        ("kg m-2 h-1", 1.0),
        ("kg m-2 s-1", 3600.0),
        ("kg m**-2 s**-1", 3600.0),
        ("mm/s", 3600.0),
        ("m s-1", 3.6e6),
    ],
)
def test_units_are_converted(tmp_path: Path, unit: str, factor: float) -> None:
    data = dataset(ramp() / factor)
    data["rain"].attrs["units"] = unit
    found = survey([written(data, tmp_path / "rain.nc")])
    np.testing.assert_array_equal(read_all(found), ramp())


def test_rates_are_kept_to_a_hundredth(tmp_path: Path) -> None:
    rates = ramp() + np.float32(0.1234)
    rates[0, 0, 0] = -1e-7  # as regridding leaves it
    read = read_one(dataset(rates), tmp_path / "rain.nc")
    np.testing.assert_array_equal(read, rates[0].round(2))
    assert not np.signbit(read).any()


def test_packed_fields_are_unpacked_and_nan_is_no_coverage(tmp_path: Path) -> None:
    rates = ramp()
    rates[1, 2, 3] = np.nan
    packing = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 5.0, "_FillValue": -9999}
    found = survey([written(dataset(rates), tmp_path / "rain.nc", **packing)])
    np.testing.assert_array_equal(read_all(found), rates)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_is_read_as_netcdf_is(tmp_path: Path, zarr_format: int) -> None:
    folder = tmp_path / "rain.zarr"
    dataset(ramp()).to_zarr(folder, zarr_format=zarr_format, consolidated=False)  # type: ignore[call-overload]
    found = survey([str(folder)])
    np.testing.assert_array_equal(read_all(found), ramp())


def test_files_make_one_series_with_gaps(tmp_path: Path) -> None:
    data = dataset(ramp(fields=9))
    written(data.isel(time=slice(5, 9)), tmp_path / "a.nc")
    written(data.isel(time=slice(0, 3)), tmp_path / "b.nc")
    found = survey([str(tmp_path / "*.nc")])
    assert [time.minute + 60 * time.hour for time in found.positions] == [
        *range(0, 30, 10),
        *range(50, 90, 10),
    ]
    np.testing.assert_array_equal(read_all(found), ramp(fields=9)[[0, 1, 2, 5, 6, 7, 8]])


def test_some_fields_are_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []
    decoded = fields._decoded

    def counted(data: Any, layout: Any, chosen: slice) -> Float32:
        lengths.append(chosen.stop - chosen.start)
        return decoded(data, layout, chosen)

    monkeypatch.setattr(fields, "_decoded", counted)
    monkeypatch.setattr(fields, "_PIXELS_AT_ONCE", 2 * 4 * 6)
    found = survey([written(dataset(ramp(fields=5)), tmp_path / "rain.nc")])
    np.testing.assert_array_equal(read_all(found), ramp(fields=5))
    assert lengths == [2, 2, 1]


def test_kilometres_become_metres(tmp_path: Path) -> None:
    # PROJ's x_0 and y_0 are metres, whatever the units of the coordinates.
    projection = "+proj=stere +lat_0=90 +lat_ts=60 +lon_0=10 +x_0=500000 +y_0=-20000 +units=km"
    projection += " +R=6370040"
    data = dataset(ramp()).drop_vars("crs")
    del data["rain"].attrs["grid_mapping"]
    for axis in ("x", "y"):
        data[axis] = (axis, data[axis].values / 1000.0, {**data[axis].attrs, "units": "km"})
    path = written(data, tmp_path / "rain.nc")
    grid = survey([path], crs=projection).grid
    assert (grid.pixel_km, grid.west, grid.north) == (1.0, WEST, NORTH)
    there = Transformer.from_crs(projection, CRS(projection).geodetic_crs, always_xy=True)
    expected = there.transform(WEST / 1000.0, NORTH / 1000.0)
    np.testing.assert_allclose(grid.corners_lonlat["UL"], expected, atol=1e-9)


@pytest.mark.parametrize(("value", "text"), [(-0.5, "negative"), (np.inf, "infinite")])
def test_what_is_no_rain_rate_is_refused_field_by_field(
    tmp_path: Path, value: float, text: str
) -> None:
    rates = ramp()
    rates[1, 2, 3] = value
    found = survey([written(dataset(rates), tmp_path / "rain.nc")])
    first, second, third = (each for _, each in found.read(list(found.positions)))
    assert isinstance(second, SourceError)
    assert f"a rain rate is {text}" in str(second)
    assert "row 2, column 3" in str(second)
    np.testing.assert_array_equal(first, rates[0])
    np.testing.assert_array_equal(third, rates[2])


def test_a_file_that_changed_since_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rain.nc"
    found = survey([written(dataset(ramp()), path)])
    written(dataset(ramp(), start=START + np.timedelta64(1, "D")), path)
    faults = [each for _, each in found.read(list(found.positions))]
    assert all(isinstance(fault, TransferError) for fault in faults)
    assert "has changed" in str(faults[0])


def with_attribute(name: str, key: str, value: object) -> Change:
    def change(data: xr.Dataset) -> xr.Dataset:
        data[name].attrs[key] = value
        return data

    return change


def without_attribute(name: str, key: str) -> Change:
    def change(data: xr.Dataset) -> xr.Dataset:
        del data[name].attrs[key]
        return data

    return change


def with_values(axis: str, number: int, shift: float) -> Change:
    def change(data: xr.Dataset) -> xr.Dataset:
        values = data[axis].values.copy()
        values[number] += shift
        return data.assign_coords({axis: (axis, values, data[axis].attrs)})

    return change


def stretched(data: xr.Dataset) -> xr.Dataset:
    return data.assign_coords(y=("y", NORTH - 1010.0 * np.arange(4), data["y"].attrs))


def in_degrees(data: xr.Dataset) -> xr.Dataset:
    return data.rename(x="lon", y="lat")


def later(minutes: list[int]) -> Change:
    def change(data: xr.Dataset) -> xr.Dataset:
        return data.assign_coords(time=START + np.array(minutes, "timedelta64[m]"))

    return change


def with_second_rate(data: xr.Dataset) -> xr.Dataset:
    return data.assign(snow=data["rain"])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (with_attribute("rain", "units", "dBZ"), "is none of a rain rate"),
        (without_attribute("rain", "units"), "no units attribute"),
        (without_attribute("x", "units"), "no length that is known"),
        (with_attribute("y", "units", "degrees_north"), "reproject first"),
        (in_degrees, "reproject first"),
        (with_values("x", 2, 30.0), "not evenly spaced"),
        (with_values("y", 1, float("nan")), "no row of pixel centres"),
        (stretched, "pixels are not square"),
        (lambda data: data.drop_vars("x"), "a dimension has no coordinate"),
        (lambda data: data.isel(x=[0]), "no row of pixel centres"),
        (lambda data: data.drop_vars("crs"), "the grid mapping is missing"),
        (with_second_rate, "not clear which variable is the rain rate"),
        (lambda data: data.isel(time=0, drop=True), "not clear which variable"),
        (later([0, 7, 14]), "does not divide a day"),
        (later([0, 10, 27]), "lies off the time step"),
        (later([5, 15, 25]), "lies off the time step"),
        (later([0, 10, 10]), "a time comes twice"),
        (lambda data: data.isel(time=[0]), "a time step needs two fields"),
        (lambda data: data.assign_coords(time=[0, 1, 2]), "the times cannot be read"),
    ],
)
def test_what_is_not_clear_or_regular_is_refused(
    tmp_path: Path, change: Change, expected: str
) -> None:
    path = written(change(dataset(ramp())), tmp_path / "rain.nc")
    with pytest.raises(SourceError) as caught:
        survey([path])
    assert expected in str(caught.value)
    assert "rain.nc" in str(caught.value.where)


def test_times_between_minutes_are_refused(tmp_path: Path) -> None:
    data = dataset(ramp())
    data = data.assign_coords(time=data["time"] + np.timedelta64(30, "s"))
    with pytest.raises(SourceError, match="no whole minute"):
        survey([written(data, tmp_path / "rain.nc")])


@pytest.mark.parametrize(
    ("crs", "expected"),
    [
        (None, "the projection is not known"),
        ("EPSG:4326", "no projection in metres"),
        ("EPSG:2263", "no projection in metres"),  # US survey feet
        ("no such thing", "the projection cannot be read"),
    ],
)
def test_a_projection_is_needed(tmp_path: Path, crs: str | None, expected: str) -> None:
    data = dataset(ramp()).drop_vars("crs")
    del data["rain"].attrs["grid_mapping"]
    path = written(data, tmp_path / "rain.nc")
    with pytest.raises(SourceError, match=expected):
        survey([path], crs=crs)
    assert survey([path], crs=PROJECTION).grid.crs == CRS.from_user_input(PROJECTION)


def test_two_projections_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="another projection than the recipe"):
        survey([written(dataset(ramp()), tmp_path / "rain.nc")], crs="EPSG:32632")


def test_zero_as_fill_value_is_refused(tmp_path: Path) -> None:
    path = written(dataset(ramp()), tmp_path / "rain.nc", _FillValue=np.float32(0.0))
    with pytest.raises(SourceError, match="dry pixels would count as without coverage"):
        survey([path])


def test_a_variable_can_be_named(tmp_path: Path) -> None:
    path = written(with_second_rate(dataset(ramp())), tmp_path / "rain.nc")
    assert survey([path], "snow").grid.shape == (4, 6)
    with pytest.raises(SourceError, match="no such variable"):
        survey([path], "hail")


def test_grids_of_two_files_must_be_the_same(tmp_path: Path) -> None:
    written(dataset(ramp()), tmp_path / "a.nc")
    later_start = START + np.timedelta64(1, "h")
    written(dataset(ramp(), pixel_m=500.0, start=later_start), tmp_path / "b.nc")
    with pytest.raises(SourceError, match="two files are on different grids") as caught:
        survey([str(tmp_path / "?.nc")])
    assert "b.nc" in str(caught.value)


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file of rain fields"):
        survey([str(tmp_path / "none-*.nc")])
    broken = tmp_path / "broken.nc"
    broken.write_bytes(b"\x89HDF\r\n\x1a\nand no more")
    with pytest.raises(SourceError, match="cannot be opened"):
        survey([str(broken)])
    classic = tmp_path / "classic.nc"
    dataset(ramp()).to_netcdf(classic, engine="scipy", format="NETCDF3_64BIT")
    with pytest.raises(SourceError, match="nccopy"):
        survey([str(classic)])


def test_times_are_utc(tmp_path: Path) -> None:
    found = survey([written(dataset(ramp()), tmp_path / "rain.nc")])
    assert next(iter(found.positions)) == datetime(2024, 7, 1, tzinfo=UTC)
