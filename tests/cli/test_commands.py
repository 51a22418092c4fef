"""Commands as a user meets them: exit status, stdout, stderr, and what is on disk after."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from minkgen.grid import TEST_2KM
from minkgen.opera.synthetic import write_archive
from minkgen.store.composites import create_composites
from minkgen.store.layout import StorePaths
from minkgen.store.ledger import DayLedger, Slot, State, write_ledger


def minkgen(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from minkgen.cli.main import main; main()"]
    return subprocess.run(  # noqa: S603 - our own command
        [*command, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.fixture
def recipe_file(recipe_data: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe_data), encoding="utf-8")
    return path


def test_a_faulty_recipe_exits_2_and_writes_nothing(recipe_file: Path, tmp_path: Path) -> None:
    done = minkgen("ingest", recipe_file, "--set", "colour=blue", "--set", "seed=x", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "colour: unknown key" in done.stderr
    assert "seed: input should be a valid integer" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


@pytest.mark.parametrize(
    ("source", "setting", "status", "expected"),
    [
        ("api", "source.endpoint=foo", 2, "source.api.endpoint: string should match"),
        ("archive", "source.bucket=3", 2, "source.archive.bucket: input should be a valid string"),
        ("http://127.0.0.1:9", "download.attempts=1", 1, "the server cannot be reached"),
        ("./api", "seed=1", 1, "the source folder is not there"),
    ],
)
def test_a_source_is_a_folder_a_name_or_an_address_and_settings_refine_it(
    recipe_file: Path, tmp_path: Path, source: str, setting: str, status: int, expected: str
) -> None:
    done = minkgen("ingest", recipe_file, "--source", source, "--set", setting, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (status, "")
    assert expected in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["ingest"], "Missing argument 'RECIPE'"),
        (["ingest", "none.yaml"], "shipped recipes are"),
        (["ingest", "a", "b"], "unexpected extra argument"),
        (["digest"], "No such command 'digest'"),
        (["train", "gan", "a.yaml"], "No such command 'gan'"),
        (["train", "emulator", "demo", "--arch", "gan"], "emulator.architecture: "),
        (["train", "sr", "demo", "--model", "gan"], "superres.model: "),
        (["train", "sr", "demo", "--minkowski", "some"], "superres.minkowski: "),
        (["train", "emulator", "demo", "--tune", "9", "--seeds", "3"], "searches with one seed"),
        (["compute", "a.yaml", "--workers", "0"], "0 is not in the range"),
        (["compute", "demo", "--cluster", "slurm"], "cluster.slurm.site: field required"),
        (["compute", "demo", "--cluster", "slum"], "cluster.address.address: string should match"),
        (["ingest", "demo", "--site", "nowhere"], "shipped profiles are generic-slurm"),
        (["inspect"], "Missing argument 'STORE'"),
        (["inspect", "store", "--picture", "a.pdf"], "a.pdf does not end in .png"),
    ],
)
def test_wrong_usage_exits_2(tmp_path: Path, arguments: list[str], expected: str) -> None:
    done = minkgen(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_what_cannot_be_done_exits_1_and_says_what_next(recipe_file: Path, tmp_path: Path) -> None:
    for verb, expected in (("ingest", "give --source"), ("compute", "minkgen ingest")):
        done = minkgen(verb, recipe_file, cwd=tmp_path)
        assert done.returncode == 1
        assert expected in done.stderr
        assert "Traceback" not in done.stderr


def test_ingest_and_compute_with_a_corrupt_file(recipe_file: Path, tmp_path: Path) -> None:
    start = datetime(2024, 7, 1, tzinfo=UTC)
    paths = write_archive(
        tmp_path / "other", start=start, end=start.replace(hour=6), layout="odyssey", seed=3
    )
    paths[3].write_bytes(b"not HDF5")
    source = ("--source", tmp_path / "other")
    done = minkgen("ingest", recipe_file, *source, "--json", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    result = json.loads(done.stdout)
    assert result["states"] == {"ok": 23, "absent": 0, "failed": 0, "corrupt": 1}
    assert "00:45 corrupt: the file is not HDF5" in result["newly_bad"][0]
    assert "ingest: 1/1" in done.stderr
    again = minkgen("ingest", recipe_file, *source, "--quiet", cwd=tmp_path)
    assert again.returncode == 0
    assert again.stderr == ""
    assert "23 ok, 0 absent, 0 failed, 1 corrupt; 0 new in this run" in again.stdout
    computed = minkgen("compute", recipe_file, "--json", cwd=tmp_path)
    assert computed.returncode == 0, computed.stderr
    assert Path(json.loads(computed.stdout)["snapshot"]).is_dir()
    refused = minkgen("compute", recipe_file, "--set", "tiles.dry_fraction=0", cwd=tmp_path)
    assert refused.returncode == 1
    assert "tiles.dry_fraction: 0.1" in refused.stderr
    assert "--new-version" in refused.stderr


def test_a_task_that_fails_for_good_exits_3_with_its_attempts(
    recipe_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "archive").mkdir()
    frames = StorePaths(tmp_path / "store").frames(date(2024, 7, 1))
    frames.parent.mkdir(parents=True)
    frames.write_bytes(b"no parquet")
    done = minkgen("ingest", recipe_file, "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert "1 of 1 tasks failed" in done.stderr
    assert "attempt 3: ArrowInvalid" in done.stderr
    assert done.stderr.count("Traceback") == 1


def test_shorthands_of_a_cluster_refine_one_another(recipe_file: Path, tmp_path: Path) -> None:
    given = ("--cluster", "slurm", "--workers", "2", "--site", "mine.yaml")
    (tmp_path / "mine.yaml").write_text("queue: a b")
    done = minkgen("compute", recipe_file, *given, "--set", "cluster.memory_gb=0", cwd=tmp_path)
    assert done.returncode == 2
    assert "1 fault:" in done.stderr
    assert "cluster.slurm.memory_gb: input should be greater than 0" in done.stderr
    address = minkgen("ingest", recipe_file, "--site", "mine.yaml", cwd=tmp_path)
    assert address.returncode == 2
    assert "the site profile has" in address.stderr


def write_store(root: Path, first: datetime, days: int) -> None:
    """Write a store whose days hold one ok, one absent, one failed and 93 corrupt slots."""
    paths = StorePaths(root)
    create_composites(paths, TEST_2KM, (first.year, first.year))
    states: tuple[State, ...] = ("ok", "absent", "failed", *(("corrupt",) * 93))
    for midnight in (first + timedelta(days=index) for index in range(days)):
        slots = {
            midnight + quarter * timedelta(minutes=15): Slot(
                state, 1, "2024-07-01T00:00:00Z", reason=None if state == "ok" else "böse\x1b[2J"
            )
            for quarter, state in enumerate(states)
        }
        write_ledger(paths, DayLedger(midnight.date(), slots))


def test_a_short_period_is_shown_by_hours(tmp_path: Path) -> None:
    first = datetime(2024, 7, 1, tzinfo=UTC)
    write_store(tmp_path / "store", first, 1)
    day = DayLedger(date(2024, 7, 3), {datetime(2024, 7, 3, 6, tzinfo=UTC): Slot("ok", 1, "")})
    write_ledger(StorePaths(tmp_path / "store"), day)
    done = minkgen("inspect", "store", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    bad = [f"  {first + quarter * timedelta(minutes=15):%FT%R}" for quarter in range(2, 12)]
    assert done.stdout.splitlines() == [
        "store: RATE on test_2km, 2024 to 2024",
        "  512 x 640 pixels of 2 km, every 15 minutes",
        "  asked for: 97 slots from 2024-07-01T00:00 to 2024-07-03T06:00",
        "  days with a ledger: 2 of 3",
        "  states: 2 ok, 1 absent, 1 failed, 93 corrupt; 2.0 % are ok",
        "  ok by era: 2 unknown",
        "  flagged by the default rules: none",
        "  Data: EUMETNET OPERA, CC BY 4.0",
        "",
        "# all ok, + partly ok, . absent, F any failed, C any corrupt, blank not asked",
        "            00    06    12    18",
        "2024-07-01 |FCCCCCCCCCCCCCCCCCCCCCCC| 1 ok, 1 absent, 1 failed, 93 corrupt",
        "2024-07-02 |                        | nobody asked",
        "2024-07-03 |      +                 | 1 ok",
        "",
        "failed or corrupt slots: 94",
        f"{bad[0]} failed: b\\xf6se\\x1b[2J",
        *(f"{slot} corrupt: b\\xf6se\\x1b[2J" for slot in bad[1:]),
        "  and 84 more; see --json",
        "",
        "no snapshot: run `minkgen compute`",
    ]


def test_a_long_period_is_shown_by_days(tmp_path: Path) -> None:
    write_store(tmp_path / "store", datetime(2024, 1, 31, tzinfo=UTC), 41)
    lines = minkgen("inspect", "store", "--quiet", cwd=tmp_path).stdout.splitlines()
    counts = "{0} ok, {0} absent, {0} failed, {1} corrupt"
    assert lines[lines.index("         1         11        21        31") + 1 :][:3] == [
        f"2024-01 |{'':30}F| {counts.format(1, 93)}",
        f"2024-02 |{'F' * 29}|   {counts.format(29, 29 * 93)}",
        f"2024-03 |{'F' * 11}{'':20}| {counts.format(11, 11 * 93)}",
    ]


def test_a_hundred_percent_are_all(tmp_path: Path) -> None:
    write_store(tmp_path / "store", datetime(2024, 7, 1, tzinfo=UTC), 1)
    quarters = [datetime(2024, 7, 1, tzinfo=UTC) + n * timedelta(minutes=15) for n in range(3000)]
    for day in sorted({time.date() for time in quarters}):
        slots = {time: Slot("ok", 1, "") for time in quarters if time.date() == day}
        write_ledger(StorePaths(tmp_path / "store"), DayLedger(day, slots))
    done = minkgen("inspect", "store", cwd=tmp_path)
    assert "3000 ok, 0 absent, 0 failed, 0 corrupt; 100.0 % are ok" in done.stdout
    assert "failed or corrupt" not in done.stdout
    assert f"2024-07-05 |{'#' * 24}| 96 ok" in done.stdout
    slots = {time: Slot("ok", 1, "") for time in quarters[:96]}
    slots[quarters[0]] = Slot("absent", 1, "")
    write_ledger(StorePaths(tmp_path / "store"), DayLedger(date(2024, 7, 1), slots))
    done = minkgen("inspect", "store", cwd=tmp_path)
    assert "2999 ok, 1 absent, 0 failed, 0 corrupt; 99.9 % are ok" in done.stdout
    assert f"2024-07-01 |+{'#' * 23}| 95 ok, 1 absent" in done.stdout


def test_inspect_for_programs_and_as_a_picture(tmp_path: Path) -> None:
    write_store(tmp_path / "store", datetime(2024, 7, 1, tzinfo=UTC), 2)
    done = minkgen("inspect", "store", "--json", "--picture", "calendar.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "read ledgers: 2/2" in done.stderr
    assert "picture: calendar.png" in done.stderr
    assert (tmp_path / "calendar.png").read_bytes().startswith(b"\x89PNG")
    result = json.loads(done.stdout)
    days, counts = result.pop("days"), {"ok": 1, "absent": 1, "failed": 1, "corrupt": 93}
    assert result == {
        "store": "store",
        "grid": "test_2km",
        "product": "RATE",
        "products": ["RATE"],
        "years": [2024, 2024],
        "first": "2024-07-01T00:00",
        "last": "2024-07-02T23:45",
        "states": {state: 2 * count for state, count in counts.items()},
        "eras": {"unknown": 2},
        "flags": {"ceiling": 0, "spike": 0, "coverage_drop": 0, "repeated_value": 0},
        "missing_days": [],
        "snapshots": [],
        "builds": [],
        "attribution": "Data: EUMETNET OPERA, CC BY 4.0",
    }
    assert [day["day"] for day in days] == ["2024-07-01", "2024-07-02"]
    assert (days[0]["states"], days[0]["eras"], days[0]["flagged"]) == (counts, {"unknown": 1}, [])
    assert len(days[0]["not_ok"]) == 95
    absent = {"time": "2024-07-01T00:15", "state": "absent", "attempts": 1}
    assert days[0]["not_ok"][0] == {**absent, "reason": "böse\x1b[2J"}


def test_where_there_is_no_store_inspect_exits_1(tmp_path: Path) -> None:
    done = minkgen("inspect", "none", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no store here" in done.stderr
    assert "minkgen ingest" in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    assert minkgen("--version", cwd=tmp_path).stdout.startswith("minkgen 0.")


def test_a_warning_is_shown_without_the_place_in_the_code() -> None:
    program = (
        "import warnings, click; from minkgen.cli import main as m\n"
        "m.cli.get_command = lambda *_: click.Command('x', callback=lambda: "
        "warnings.warn('no terrain', stacklevel=1))\n"
        "m.main()"
    )
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", program, "show"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "warning: no terrain\n")
