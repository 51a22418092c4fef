"""Scan: which frames and tiles a recipe's region, months, hours and flags leave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from distributed import Client

from minkgen.errors import EmptySplitError
from minkgen.grid import TEST_2KM
from minkgen.opera.odim import Composite
from minkgen.recipe import Recipe
from minkgen.store.composites import create_composites
from minkgen.store.frames import describe_frame, write_frames
from minkgen.store.layout import StorePaths
from minkgen.store.ledger import DayLedger, Slot, write_ledger
from minkgen.tiles.eligibility import tile_corners
from minkgen.tiles.regions import corners_in_region
from minkgen.tiles.table import minutes
from minkgen.workflows.cluster import open_client
from minkgen.workflows.progress import Silent
from minkgen.workflows.rain import Frame, RainSource, ok_frames
from minkgen.workflows.scan import choose_frames, scan_tiles

Make = Callable[..., Recipe]
DAY = datetime(2024, 6, 30, tzinfo=UTC)
# Three days' turn of the month; 22:00 of the first day has a spike, 01:00 of the second a ceiling.
TIMES = [DAY + timedelta(hours=hour) for hour in (21, 22, 23, 24, 25, 26, 48)]
SPIKED, CAPPED = TIMES[1], TIMES[4]
HAMBURG = {"box": [9.0, 52.0, 12.0, 55.0]}
PERIOD = {"start": DAY, "end": DAY + timedelta(days=3)}


def rain_at(time: datetime) -> np.ndarray[Any, np.dtype[np.float32]]:
    rain_rate = np.zeros(TEST_2KM.shape, np.float32)
    rain_rate[100:110, 100:120] = np.linspace(1, 20, 200).reshape(10, 20).round(2)
    if time == SPIKED:
        rain_rate[300, 300] = 700.0
    if time == CAPPED:
        rain_rate[300:310, 300:310] = 364.63
    return rain_rate


def described(time: datetime, rain_rate: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return the row of a frame in the frame table."""
    window = (time, time)
    composite = Composite(
        "RATE", "NIMBUS", "2.4", TEST_2KM, time, window, rain_rate, None, "ORG:247", (), 0
    )
    return describe_frame(composite, f"{time:%d%H%M}")


def write_records(paths: StorePaths, rows: list[dict[str, Any]]) -> None:
    """Write the frame table and ledger of one day, in which another frame failed."""
    slots = {row["time"]: Slot("ok", 1, "2024-07-02T00:00:00Z") for row in rows}
    day = rows[0]["time"].date()
    slots[datetime(day.year, day.month, day.day, 12, tzinfo=UTC)] = Slot(
        "failed", 1, "2024-07-02T00:00:00Z", reason="503"
    )
    write_frames(paths, day, rows)
    write_ledger(paths, DayLedger(day, slots))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> StorePaths:
    paths = StorePaths(tmp_path_factory.mktemp("scan") / "store")
    composites = create_composites(paths, TEST_2KM, (2024, 2024))
    for index in range(3):
        day = (DAY + timedelta(days=index)).date()
        times = [time for time in TIMES if time.date() == day]
        for shard in composites.shards_of(day):
            values = np.full((len(shard), *TEST_2KM.shape), np.nan, np.float32)
            for time in set(shard) & set(times):
                values[shard.index(time)] = rain_at(time)
            composites.write_shard("rain_rate", shard, values)
        write_records(paths, [described(time, rain_at(time)) for time in times])
    return paths


@pytest.fixture(scope="module")
def client(recipe_data_in: Callable[[Path], dict[str, Any]]) -> Iterator[Client]:
    recipe = Recipe.model_validate(recipe_data_in(Path("nowhere")))
    with open_client(recipe.cluster) as client:
        yield client


@pytest.fixture
def make(make_recipe: Make) -> Make:
    """Return a function that makes a recipe for the days of this store."""
    hour = timedelta(hours=1)
    splits = {
        "train": {"start": DAY, "end": DAY + 24 * hour},
        "validation": {"start": DAY + 24 * hour, "end": DAY + 48 * hour},
        "test": {"start": DAY + 48 * hour, "end": DAY + 72 * hour},
        "gap_hours": 0,
    }

    def made(**sections: Any) -> Recipe:
        return make_recipe(period=PERIOD, splits=splits, **sections)

    return made


def chosen(store: StorePaths, recipe: Recipe) -> dict[datetime, Frame]:
    return choose_frames(ok_frames(store, recipe.period, recipe.flags), recipe)[0]


def places(rows: pa.Table) -> set[tuple[int, int]]:
    return set(zip(rows["row"].to_pylist(), rows["column"].to_pylist(), strict=True))


def test_every_ok_frame_of_the_period_is_there_with_its_flags(
    store: StorePaths, make: Make
) -> None:
    frames = ok_frames(store, make().period, make().flags)
    assert list(frames) == TIMES
    assert {time: frame.flags for time, frame in frames.items() if frame.flags} == {
        SPIKED: ("spike",),
        CAPPED: ("ceiling", "repeated_value"),
    }


def test_flags_exclude_nothing_unless_the_recipe_says_so(store: StorePaths, make: Make) -> None:
    assert list(chosen(store, make())) == TIMES
    recipe = make(exclude_flags=["ceiling", "spike"])
    kept, excluded = choose_frames(ok_frames(store, recipe.period, recipe.flags), recipe)
    assert list(kept) == [time for time in TIMES if time not in (SPIKED, CAPPED)]
    assert excluded == {SPIKED: ("spike",), CAPPED: ("ceiling",)}
    recipe = make(exclude_flags=["spike"], flags={"spike": {"above_mm_h": 800}})
    assert list(chosen(store, recipe)) == TIMES


def test_frames_outside_the_period_change_no_flag(make: Make, tmp_path: Path) -> None:
    paths, half = StorePaths(tmp_path), rain_at(DAY)
    half[:, 320:] = np.nan
    fields = {DAY + timedelta(hours=hour): rain_at(DAY) if hour < 2 else half for hour in range(4)}
    write_records(paths, [described(*item) for item in fields.items()])
    whole, times, rules = make().period, list(fields), make().flags
    drop = ("coverage_drop",)
    assert [frame.flags for frame in ok_frames(paths, whole, rules).values()] == [
        (),
        (),
        drop,
        drop,
    ]
    late = whole.model_copy(update={"start": times[2]})
    assert [frame.flags for frame in ok_frames(paths, late, rules).values()] == [(), ()]


@pytest.mark.parametrize(
    ("tiles", "kept"),
    [
        ({"months": [6]}, TIMES[:3]),
        ({"months": [7, 8]}, TIMES[3:]),
        ({"hours": [0, 22]}, [TIMES[1], TIMES[3], TIMES[6]]),
        ({"hours": [0], "months": [6]}, []),
    ],
)
def test_months_and_hours_are_those_of_the_nominal_time(
    store: StorePaths, make: Make, tiles: dict[str, Any], kept: list[datetime]
) -> None:
    assert list(chosen(store, make(tiles=tiles))) == kept


def test_excluded_frames_of_other_hours_are_not_counted(store: StorePaths, make: Make) -> None:
    recipe = make(exclude_flags=["ceiling", "spike"], tiles={"hours": [22, 23]})
    _, excluded = choose_frames(ok_frames(store, recipe.period, recipe.flags), recipe)
    assert list(excluded) == [SPIKED]


def test_the_tile_table_holds_the_tiles_of_the_region_alone(
    client: Client, store: StorePaths, make: Make
) -> None:
    recipe = make(tiles={"size": 64, "stride": 64, "region": HAMBURG})
    rows = scan_tiles(client, RainSource(store), recipe, chosen(store, recipe), Silent())
    expected = set(corners_in_region(TEST_2KM, recipe.tiles))
    assert places(rows) == expected
    assert 0 < len(expected) < len(list(tile_corners(TEST_2KM.shape, recipe.tiles)))
    assert rows.num_rows == len(expected) * len(TIMES)
    row, column = (index // 64 * 64 for index in TEST_2KM.pixel_of(9.99, 53.55))
    assert (row, column) in expected


def test_excluded_frames_are_not_in_the_tile_table(
    client: Client, store: StorePaths, make: Make
) -> None:
    recipe = make(exclude_flags=["ceiling", "spike"])
    rows = scan_tiles(client, RainSource(store), recipe, chosen(store, recipe), Silent())
    found = {DAY.fromtimestamp(60 * minute, UTC) for minute in minutes(rows).tolist()}
    assert found == set(TIMES) - {SPIKED, CAPPED}
    assert max(rows["max_rate"].to_pylist()) == 20.0


@pytest.mark.parametrize(
    "sections",
    [
        {"tiles": {"region": HAMBURG}},
        {"tiles": {"region": {"polygon": [[5, 50], [12, 50], [12, 56]]}}},
        {"tiles": {"months": [6]}},
        {"tiles": {"hours": [22]}},
        {"exclude_flags": ["spike"]},
    ],
    ids=["box", "polygon", "months", "hours", "flags"],
)
def test_no_other_recipes_tile_table_is_taken(
    client: Client, store: StorePaths, make: Make, sections: dict[str, Any]
) -> None:
    """All of the store's tables are kept side by side, and each is found again."""
    tables = [
        scan_tiles(client, RainSource(store), recipe, chosen(store, recipe), Silent())
        for recipe in (make(), make(**sections), make(), make(**sections))
    ]
    assert tables[0].equals(tables[2])
    assert tables[1].equals(tables[3])
    assert tables[1].num_rows < tables[0].num_rows


def test_a_region_without_a_tile_is_refused(client: Client, store: StorePaths, make: Make) -> None:
    recipe = make(tiles={"region": {"box": [-30, 30, -29, 31]}})
    with pytest.raises(EmptySplitError, match="the region holds no tile"):
        scan_tiles(client, RainSource(store), recipe, chosen(store, recipe), Silent())
