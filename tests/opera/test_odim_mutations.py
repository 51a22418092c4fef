"""Changed composites: what is read follows an independent reading of ODIM, or nothing is read."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from minkgen.errors import SourceError
from minkgen.grid import TEST_2KM
from minkgen.opera.keys import ArchiveKey
from minkgen.opera.odim import Composite, read_composite
from minkgen.opera.odim.isolated import IsolatedReader
from minkgen.opera.synthetic.odim_writer import Layout, write_composite
from tests.opera.odim_mutations import MUTATIONS

SEED = 20240701
TIME = datetime(2024, 7, 1, 12, 15, tzinfo=UTC)
PRODUCT_NAMES: dict[Layout, str] = {"odyssey": "QIND_RATE", "nimbus": "RATE"}
LAYOUTS = tuple(PRODUCT_NAMES)
# Cases of every mutation in the default suite and with the slow one: more than 300 and 2,000.
CASES, SLOW_CASES = 7, 45
BYTE_CASES, SLOW_BYTE_CASES = 60, 600

Field = npt.NDArray[np.floating[Any]]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[Layout, bytes]:
    """Return a composite of both layouts, with many pixels of every state."""
    random = np.random.default_rng(SEED)
    height, width = TEST_2KM.shape
    rain_rate = np.zeros((height, width))
    rain_rate[:, :150] = np.nan
    rain_rate[200:300, 100:400] = random.gamma(0.3, 3.0, (100, 300))
    quality = np.round(random.random((height, width)), 1)
    quality[~(rain_rate > 0)] = np.nan
    made: dict[Layout, bytes] = {}
    for layout in LAYOUTS:
        path = tmp_path_factory.mktemp("images") / "composite.h5"
        write_composite(
            path,
            rain_rate,
            quality,
            time=TIME,
            grid=TEST_2KM,
            layout=layout,
            measured_zero=rain_rate == 0.0,
        )
        made[layout] = path.read_bytes()
    return made


# --- ODIM, written plainly -----------------------------------------------------------------------


def attribute(file: h5py.File, name: str, *places: str) -> Any:
    for place in places:
        if place in file and name in file[place].attrs:
            value = file[place].attrs[name]
            return value.decode() if isinstance(value, bytes) else value
    return None


def moment(file: h5py.File, place: str, date: str, time: str) -> datetime:
    digits = attribute(file, date, place) + attribute(file, time, place)
    parts = [int(part) for part in re.findall("..", digits)]
    return datetime(parts[0] * 100 + parts[1], *parts[2:], tzinfo=UTC)


def physical(
    file: h5py.File, group: str, places: tuple[str, ...], undetect_value: float
) -> tuple[Field, int]:
    """Return the values of an array, and how many of them are not finite."""
    raw = file[f"{group}/data"][...].astype(np.float64)
    gain, offset = attribute(file, "gain", *places), attribute(file, "offset", *places)
    nodata, undetect = attribute(file, "nodata", *places), attribute(file, "undetect", *places)
    missing = np.zeros(raw.shape, bool) if nodata is None else raw == nodata
    no_echo = np.zeros(raw.shape, bool) if undetect is None else raw == undetect
    with np.errstate(over="ignore"):
        values = (raw * gain + offset).astype(np.float32)
    not_finite = ~np.isfinite(values)
    values[not_finite] = np.nan
    values[no_echo] = undetect_value
    values[missing] = np.nan
    return values, np.count_nonzero(not_finite)


def odim_reading(path: Path) -> dict[str, Any]:
    with h5py.File(path, "r") as file:
        data = ("dataset1/data1/what", "dataset1/what")
        quantity = attribute(file, "quantity", *data)
        undetect_value = -np.inf if quantity == "DBZH" else 0.0
        values, not_finite = physical(file, "dataset1/data1", data, undetect_value)
        quality = None
        if attribute(file, "quantity", "dataset2/what") == "QIND":
            quality, _ = physical(file, "dataset2/data1", ("dataset2/what",), np.nan)
        elif "dataset1/data1/quality1" in file:
            below = "dataset1/data1/quality1"
            quality, _ = physical(file, below, (f"{below}/what",), np.nan)
        nodes = attribute(file, "nodes", "how") or ""
        return {
            "quantity": quantity,
            "odim_version": attribute(file, "Conventions", "/")[-3:].replace("_", "."),
            "time": moment(file, "what", "date", "time"),
            "window": (
                moment(file, "dataset1/what", "startdate", "starttime"),
                moment(file, "dataset1/what", "enddate", "endtime"),
            ),
            "values": values,
            "quality": quality,
            "source": attribute(file, "source", "what"),
            "radars": tuple(sorted(set(re.findall("zz[a-z]+", nodes)))),
            "not_finite": not_finite,
        }


def assert_is_reading(composite: Composite, reading: dict[str, Any]) -> None:
    assert composite.grid == TEST_2KM
    for name, expected in reading.items():
        found = getattr(composite, name)
        if isinstance(expected, np.ndarray):
            assert found.dtype == np.float32, name
            assert np.array_equal(found, expected, equal_nan=True), name
        else:
            assert found == expected, name


# --- Structured mutations ------------------------------------------------------------------------


def test_the_reading_of_the_tests_agrees_on_unchanged_files(
    images: dict[Layout, bytes], tmp_path: Path
) -> None:
    for layout, image in images.items():
        path = tmp_path / f"{layout}.h5"
        path.write_bytes(image)
        reading = odim_reading(path)
        assert_is_reading(read_composite(path), reading)
        assert reading["quality"] is not None
        assert 0 < np.isnan(reading["values"]).mean() < 1
        assert (reading["values"] > 0).mean() > 0.01


def check_case(images: dict[Layout, bytes], path: Path, name: str, case: int) -> None:
    """Change a file in one or two ways and read it."""
    random = np.random.default_rng([SEED, list(MUTATIONS).index(name), case])
    mutation = MUTATIONS[name]
    harmless = [other for other, mutation in MUTATIONS.items() if mutation.fate == "read"]
    harmless.remove("no_quality")
    first = harmless[int(random.integers(len(harmless)))] if random.random() < 0.4 else "nothing"
    path.write_bytes(images[LAYOUTS[case % 2]])
    with h5py.File(path, "r+") as file:
        MUTATIONS[first].change(file, random)
        mutation.change(file, random)
    told = f"{name} case {case} after {first}"
    try:
        composite = read_composite(path)
    except SourceError as error:
        refusal = str(error)
        assert mutation.fate != "read", f"{told}: {refusal}"
        assert str(path) in refusal, told
        assert len(refusal) < 2000, told
    else:
        assert mutation.fate != "refused", told
        assert_is_reading(composite, odim_reading(path))


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutated_files_are_read_as_they_say_or_refused(
    images: dict[Layout, bytes], tmp_path: Path, name: str
) -> None:
    for case in range(CASES):
        check_case(images, tmp_path / "composite.h5", name, case)


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTATIONS)
def test_many_more_mutated_files(images: dict[Layout, bytes], tmp_path: Path, name: str) -> None:
    for case in range(CASES, SLOW_CASES):
        check_case(images, tmp_path / "composite.h5", name, case)


def test_the_slow_suite_has_two_thousand_cases() -> None:
    assert len(MUTATIONS) * SLOW_CASES >= 2000
    assert len(MUTATIONS) * CASES >= 300


HUGE = {
    "declared_shape_is_huge": "unknown grid",
    "huge_shape": "not what the file should hold",
    "absurd_chunks": "not what the file should hold",
    "values_that_are_no_numbers": "not what the file should hold",
    "chunk_without_end": "a chunk of an array",
}


@pytest.mark.parametrize("name", HUGE)
def test_whatever_files_declare_takes_little_memory(
    images: dict[Layout, bytes], tmp_path: Path, name: str
) -> None:
    """Gigabytes are declared and 100 MB allowed: it is still the file that is refused."""
    path = tmp_path / "composite.h5"
    with IsolatedReader(memory_bytes=100_000_000) as reader:
        for case in range(6):
            path.write_bytes(images[LAYOUTS[case % 2]])
            with h5py.File(path, "r+") as file:
                MUTATIONS[name].change(file, np.random.default_rng([SEED, case]))
            with pytest.raises(SourceError, match=HUGE[name]):
                reader.read(path)


# --- Mutated bytes -------------------------------------------------------------------------------


def outside_chunks(image: bytes) -> npt.NDArray[np.int64]:
    """Return the positions of all bytes that are no pixels."""
    inside = np.zeros(len(image), bool)
    with h5py.File.in_memory(image) as file:
        for group in ("dataset1/data1", "dataset2/data1", "dataset1/data1/quality1"):
            if group in file:
                infos: list[Any] = []
                file[f"{group}/data"].id.chunk_iter(infos.append)
                for info in infos:
                    inside[info.byte_offset : info.byte_offset + info.size] = True
    return np.flatnonzero(~inside)


def flipped_bits(image: bytes, random: np.random.Generator) -> bytes:
    places = outside_chunks(image) if random.random() < 0.8 else np.arange(len(image))
    changed = bytearray(image)
    for place in random.choice(places, int(random.integers(1, 20))):
        changed[place] ^= 1 << int(random.integers(8))
    return bytes(changed)


def random_bytes(image: bytes, random: np.random.Generator) -> bytes:
    places = outside_chunks(image)
    changed = bytearray(image)
    for place in random.choice(places, int(random.integers(1, 8))):
        changed[place] = int(random.choice([0, 1, 0x7F, 0x80, 0xFF, *random.integers(0, 256, 3)]))
    return bytes(changed)


def truncated(image: bytes, random: np.random.Generator) -> bytes:
    return image[: int(random.integers(len(image)))]


def duplicated_block(image: bytes, random: np.random.Generator) -> bytes:
    size = int(random.choice([8, 64, 512, 2048]))
    source, target = random.choice(outside_chunks(image), 2)
    return image[:target] + image[source : source + size] + image[target + size :]


def inserted_block(image: bytes, random: np.random.Generator) -> bytes:
    place, size = int(random.integers(len(image))), int(random.integers(1, 600))
    return image[:place] + image[place : place + size] + image[place:]


def zeroed_block(image: bytes, random: np.random.Generator) -> bytes:
    place, size = int(random.choice(outside_chunks(image))), int(random.choice([1, 4, 64, 512]))
    return image[:place] + bytes(size) + image[place + size :]


BYTE_CHANGES: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (
    flipped_bits,
    random_bytes,
    truncated,
    duplicated_block,
    inserted_block,
    zeroed_block,
)


def read_if_possible(reader: IsolatedReader, path: Path, key: ArchiveKey) -> Composite | None:
    try:
        return reader.read(path, key)
    except SourceError:
        return None


def check_changed_bytes(images: dict[Layout, bytes], folder: Path, cases: range) -> None:
    """Read files with changed bytes: the very pixels of the undamaged file, or SourceError."""
    path = folder / "composite.h5"
    read = 0
    with IsolatedReader(time_limit_seconds=20.0) as reader:
        truths = {}
        for layout in LAYOUTS:
            path.write_bytes(images[layout])
            truths[layout] = reader.read(path)
        for case in cases:
            random = np.random.default_rng([SEED, case])
            layout = LAYOUTS[case % 2]
            change = BYTE_CHANGES[case // 2 % len(BYTE_CHANGES)]
            path.write_bytes(change(images[layout], random))
            composite = read_if_possible(reader, path, ArchiveKey(TIME, PRODUCT_NAMES[layout]))
            if composite is None:
                continue
            read += 1
            truth = truths[layout]
            told = f"{change.__name__}, case {case}"
            assert (composite.time, composite.grid) == (truth.time, truth.grid), told
            assert np.array_equal(composite.values, truth.values, equal_nan=True), told
            assert composite.not_finite == 0, told
            assert truth.quality is not None
            if composite.quality is not None:
                assert np.array_equal(composite.quality, truth.quality, equal_nan=True), told
    assert 0 < read < len(cases)


def test_changed_bytes_give_the_same_pixels_or_an_error(
    images: dict[Layout, bytes], tmp_path: Path
) -> None:
    check_changed_bytes(images, tmp_path, range(BYTE_CASES))


@pytest.mark.slow
def test_many_more_changed_bytes(images: dict[Layout, bytes], tmp_path: Path) -> None:
    check_changed_bytes(images, tmp_path, range(BYTE_CASES, SLOW_BYTE_CASES))
