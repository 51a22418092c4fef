"""Keys and folders of the archive."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from minkgen.errors import SourceError, TransferError
from minkgen.opera.fetching.folder import FolderSource
from minkgen.opera.fetching.sources import Fetched, Listed, choose_by_time
from minkgen.opera.keys import PRODUCT_NAMES, ArchiveKey, parse_key

TIME = datetime(2024, 7, 5, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize("name", [name for names in PRODUCT_NAMES.values() for name in names])
def test_keys_are_read_as_they_are_written(name: str) -> None:
    key = ArchiveKey(TIME, name)
    assert parse_key(key.path) == key


@pytest.mark.parametrize(
    "name",
    [
        "OPERA@20240705T0630@0@WIND.h5",
        "OPERA@20240705T2460@0@RATE.h5",
        "OPERA@20241305T0630@0@RATE.h5",
        "opera@20240705T0630@0@RATE.h5",
        "OPERA@20240705T0630@0@RATE.h5.partial",
        "../OPERA@20240705T0630@0@RATE.hdf",
        "OPERA@２０２４0705T0630@0@RATE.h5",
    ],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(SourceError, match="not one of the archive"):
        parse_key(name)


def put(root: Path, key: ArchiveKey, name: str | None = None) -> None:
    path = root / key.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(name or path.name).touch()


def test_a_day_lists_its_rates_and_nothing_else(tmp_path: Path) -> None:
    rate = ArchiveKey(TIME, "QIND_RATE")
    put(tmp_path, rate)
    put(tmp_path, ArchiveKey(TIME, "ACRR"))
    put(tmp_path, rate, "notes.txt")
    put(tmp_path, rate, "OPERA@20240705T9999@0@RATE.h5")
    put(tmp_path, rate, "OPERA@20240706T0630@0@RATE.h5")
    source = FolderSource(tmp_path)
    assert source.list_day(TIME.date()) == {TIME: Listed(rate, (tmp_path / rate.path).as_uri())}
    assert source.path(rate).exists()
    assert source.list_day(date(2024, 7, 6)) == {}
    assert source.can_tell_absence(TIME)


def test_the_younger_name_wins_in_the_hours_of_an_era_switch(tmp_path: Path) -> None:
    for name in ("RATE", "QIND_RATE"):
        put(tmp_path, ArchiveKey(TIME, name))
    assert FolderSource(tmp_path).list_day(TIME.date())[TIME].key.product_name == "RATE"


def test_a_missing_folder_is_no_empty_archive(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="source folder is not there"):
        FolderSource(tmp_path / "none").list_day(TIME.date())


def test_a_folder_that_cannot_be_read_is_no_empty_day(tmp_path: Path) -> None:
    path = tmp_path / ArchiveKey(TIME, "RATE").path
    path.parent.parent.mkdir(parents=True)
    path.parent.touch()
    with pytest.raises(TransferError, match="cannot be read"):
        FolderSource(tmp_path).list_day(TIME.date())


def test_a_local_file_is_taken_where_it_lies(tmp_path: Path) -> None:
    source, key = FolderSource(tmp_path), ArchiveKey(TIME, "RATE")
    put(tmp_path, key)
    source.path(key).write_bytes(b"rain")
    listed = source.list_day(TIME.date())[TIME]
    digest = hashlib.sha256(b"rain").hexdigest()
    assert source.fetch(listed, tmp_path / "unused") == Fetched(
        tmp_path / key.path, 4, digest, None, temporary=False
    )
    source.path(key).unlink()
    with pytest.raises(TransferError, match="No such file"):
        source.fetch(listed, tmp_path)


def test_of_two_names_the_younger_is_chosen_and_of_one_name_the_first() -> None:
    old, young = ArchiveKey(TIME, "QIND_RATE"), ArchiveKey(TIME, "RATE")
    first, second = Listed(young, "first"), Listed(young, "second")
    for files in ([Listed(old, "old"), first, second], [first, Listed(old, "old"), second]):
        assert choose_by_time(files, TIME.date(), "RATE") == {TIME: first}
    assert choose_by_time([first], date(2024, 7, 6), "RATE") == {}
    assert choose_by_time([first], TIME.date(), "ACRR") == {}
