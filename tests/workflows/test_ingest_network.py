"""Ingest over the network: from an S3 peer, from servers that fail, and from the API."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from xml.sax.saxutils import escape

import boto3
import numpy as np
import pytest
import xarray as xr
from moto.server import ThreadedMotoServer

from minkgen.errors import PlanRefused, TransferError
from minkgen.opera.keys import ArchiveKey, parse_key
from minkgen.recipe import Recipe
from minkgen.recipe_file import load_recipe
from minkgen.store.files import sha256_of
from minkgen.store.layout import StorePaths
from minkgen.store.ledger import read_ledger
from minkgen.workflows import ingest as ingest_module
from minkgen.workflows.ingest import ingest
from tests.opera.servers import HTML_503, Handler, Server, reply, running

START = datetime(2024, 7, 1, tzinfo=UTC)
DAY = START.date()
QUARTERS = [START + timedelta(minutes=15 * quarter) for quarter in range(24)]
ARCHIVE, RECENT = "openradar-archive", "openradar-24h"
SWIFT = {"attempts": 1, "requests_per_second": 1000.0, "connections": 2}
Make = Callable[..., Recipe]


def key_of(time: datetime) -> ArchiveKey:
    return ArchiveKey(time, "RATE")


def network_recipe(make_recipe: Make, endpoint: str, **download: object) -> Recipe:
    return make_recipe(
        source={"kind": "archive", "endpoint": endpoint},
        download={**SWIFT, **download},
        cluster={"workers": 1},
    )


class S3Double(Server):
    """A server that lists and serves the files of a folder, but for the faults it is told."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self.faults: dict[str, Callable[[Handler], None]] = {}
        self.listing_fault: Callable[[Handler], None] | None = None
        self.served: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()
        self.respond = self._answer

    def _answer(self, handler: Handler) -> None:
        if "list-type=2" in handler.path:
            self._list(handler)
            return
        name = handler.path.split("/", 2)[2].replace("%40", "@")
        with self._lock:
            self.served[name] += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            time.sleep(0.005)
            answer = self.faults.get(name) or reply(
                200, (self.root / name).read_bytes(), {"ETag": f'"{name[-20:]}"'}
            )
            answer(handler)
        finally:
            with self._lock:
                self.at_once -= 1

    def _list(self, handler: Handler) -> None:
        if self.listing_fault is not None:
            self.listing_fault(handler)
            return
        match = re.search(r"^/([a-z0-9-]+)/\?.*prefix=([^&]*)", handler.path)
        names: list[Path] = []
        if match is not None and match[1] == ARCHIVE:
            names = sorted((self.root / match[2].replace("%2F", "/")).glob("*.h5"))
        objects = "".join(
            f"<Contents><Key>{escape(str(path.relative_to(self.root)))}</Key>"
            f"<Size>{path.stat().st_size}</Size>"
            f"<ETag>&quot;{str(path)[-20:]}&quot;</ETag></Contents>"
            for path in names
        )
        reply(200, f"<ListBucketResult>{objects}</ListBucketResult>".encode())(handler)


@pytest.fixture
def double(synthetic_archive: Path) -> Iterator[S3Double]:
    with running(S3Double(synthetic_archive)) as server:
        assert isinstance(server, S3Double)
        yield server


@contextmanager
def s3_peer(root: Path) -> Iterator[str]:
    """Start an S3 server that holds the files of a folder, and stop it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",  # noqa: S106 - the S3 peer takes any
        )
        for bucket in (ARCHIVE, RECENT):
            client.create_bucket(Bucket=bucket, ACL="public-read")
        for path in root.rglob("*.h5"):
            name = str(path.relative_to(root))
            client.put_object(Bucket=ARCHIVE, Key=name, Body=path.read_bytes(), ACL="public-read")
        yield endpoint
    finally:
        server.stop()


def arrays_of(recipe: Recipe) -> dict[str, bytes]:
    root = StorePaths(recipe.store).composites
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def test_an_s3_server_gives_the_same_store_as_the_folder(
    make_recipe: Make, synthetic_archive: Path, tmp_path: Path
) -> None:
    from_folder = make_recipe(
        source={"path": str(synthetic_archive)}, store=str(tmp_path / "of-folder")
    )
    ingest(from_folder)
    with s3_peer(synthetic_archive) as endpoint:
        recipe = network_recipe(make_recipe, endpoint, keep_raw=True)
        result = ingest(recipe)
    assert result.states == {"ok": 24, "absent": 0, "failed": 0, "corrupt": 0}
    assert arrays_of(recipe) == arrays_of(from_folder)
    paths = StorePaths(recipe.store)
    slots = read_ledger(paths, DAY).slots
    for quarter in QUARTERS:
        key, slot = key_of(quarter), slots[quarter]
        digest = sha256_of(synthetic_archive / key.path)
        assert (slot.source, slot.sha256) == (key.path, digest)
        assert slot.url == f"{endpoint}/{ARCHIVE}/{key.path}"
        assert slot.etag is not None
        assert sha256_of(paths.raw / key.path) == digest
    assert not any(paths.incoming(DAY).parent.iterdir())


def test_raw_files_are_not_kept_unless_asked_for(make_recipe: Make, double: S3Double) -> None:
    recipe = network_recipe(make_recipe, double.url)
    ingest(recipe)
    assert not StorePaths(recipe.store).raw.exists()
    assert not list(recipe.store.rglob("*.h5"))


def test_each_failure_has_its_state_and_a_retry_touches_only_what_is_not_ok(
    make_recipe: Make, double: S3Double
) -> None:
    refused, damaged, cut, gone = (key_of(QUARTERS[place]).path for place in (1, 7, 12, 20))
    good = (double.root / damaged).read_bytes()
    bent = bytearray(good)
    bent[len(bent) // 2 :] = bytes(len(bent) - len(bent) // 2)
    double.faults = {
        refused: HTML_503,
        damaged: reply(200, bytes(bent)),
        cut: reply(200, (double.root / cut).read_bytes()[:2000], length=10_000_000),
        gone: reply(404, b"<Error/>"),
    }
    recipe = network_recipe(make_recipe, double.url)
    result = ingest(recipe)
    paths = StorePaths(recipe.store)
    states = {
        parse_key(slot.source or "").path: slot.state
        for slot in read_ledger(paths, DAY).slots.values()
    }
    assert {name: states[name] for name in (refused, damaged, gone)} == {
        refused: "failed",
        damaged: "corrupt",
        gone: "failed",
    }
    assert states[cut] in ("failed", "corrupt")
    assert sum(state == "ok" for state in states.values()) == 20
    assert len(result.newly_bad) == 4
    assert (paths.corrupt / damaged).read_bytes() == bytes(bent)
    stored = xr.open_zarr(paths.composites, group="rain_rate")["rain_rate"]
    for place in (1, 7, 12, 20):
        assert np.isnan(stored.sel(time=QUARTERS[place].replace(tzinfo=None)).values).all()

    double.faults = {}
    double.served.clear()
    again = ingest(recipe)
    # The corrupt file is listed with the bytes that were fetched already: it is left alone.
    assert set(double.served) == {refused, gone} | ({cut} if states[cut] == "failed" else set())
    assert again.newly_ok == len(double.served)
    assert read_ledger(paths, DAY).slots[QUARTERS[1]].attempts == 2


def test_a_failed_listing_is_no_empty_day(make_recipe: Make, double: S3Double) -> None:
    recipe = network_recipe(make_recipe, double.url)
    ingest(recipe.model_copy(update={"period": _first_hours(recipe, 3)}))
    calls = iter(range(100))

    def fail_after_the_check(handler: Handler) -> None:
        answer = reply(200, b"<ListBucketResult/>") if next(calls) == 0 else HTML_503
        answer(handler)

    double.listing_fault = fail_after_the_check
    result = ingest(recipe)
    assert result.states == {"ok": 12, "absent": 0, "failed": 12, "corrupt": 0}
    slot = read_ledger(StorePaths(recipe.store), DAY).slots[QUARTERS[-1]]
    assert "503" in (slot.reason or "")
    double.listing_fault = None
    assert ingest(recipe).states["ok"] == 24


def _first_hours(recipe: Recipe, hours: int) -> object:
    return recipe.period.model_copy(update={"end": START + timedelta(hours=hours)})


def test_a_dead_server_stops_the_run_before_anything_is_written(make_recipe: Make) -> None:
    with running(Server()) as server:
        url = server.url
    recipe = network_recipe(make_recipe, url)
    with pytest.raises(TransferError):
        ingest(recipe)
    assert not recipe.store.exists()


def test_transfers_are_bounded_over_all_workers(make_recipe: Make, double: S3Double) -> None:
    recipe = network_recipe(make_recipe, double.url, connections=3)
    ingest(recipe.model_copy(update={"cluster": recipe.cluster.model_copy(update={"workers": 2})}))
    assert 1 < double.most_at_once <= 3


def test_absent_composites_are_asked_for_again_only_while_they_are_young(
    make_recipe: Make, double: S3Double, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    double.root = empty
    recipe = network_recipe(make_recipe, double.url)
    assert ingest(recipe).states["absent"] == 24
    double.seen.clear()
    assert ingest(recipe).states["absent"] == 24
    assert double.seen == []
    young = network_recipe(make_recipe, double.url, recheck_absent_hours=1e6)
    assert ingest(young).states["absent"] == 24
    assert len(double.seen) > 0


def test_what_is_all_there_starts_nothing(
    make_recipe: Make, double: S3Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = network_recipe(make_recipe, double.url)
    ingest(recipe)
    double.seen.clear()
    monkeypatch.setattr(ingest_module, "open_client", None)
    assert ingest(recipe).states["ok"] == 24
    assert double.seen == []


def test_slots_of_the_future_are_not_asked_for(make_recipe: Make, double: S3Double) -> None:
    tomorrow = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    tomorrow += timedelta(days=1)
    ends = [tomorrow + timedelta(hours=6 * part) for part in range(4)]
    splits = {
        name: {"start": start.isoformat(), "end": end.isoformat()}
        for name, start, end in zip(("train", "validation", "test"), ends, ends[1:], strict=False)
    }
    recipe = network_recipe(make_recipe, double.url).model_dump(mode="json")
    recipe |= {
        "period": {"start": ends[0].isoformat(), "end": ends[-1].isoformat()},
        "splits": {**splits, "gap_hours": 0},
    }
    assert ingest(Recipe.model_validate(recipe)).states == dict.fromkeys(
        ("ok", "absent", "failed", "corrupt"), 0
    )


def test_a_full_disk_is_refused_before_anything_begins(
    make_recipe: Make, double: S3Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = ingest_module.shutil.disk_usage("/")
    monkeypatch.setattr(
        ingest_module.shutil, "disk_usage", lambda path: usage._replace(free=10**9 + 1)
    )
    recipe = network_recipe(make_recipe, double.url)
    with pytest.raises(PlanRefused, match="would not fit"):
        ingest(recipe)
    assert not recipe.store.exists()


REFUSE_THE_WORLD = """
import socket
_connect = socket.socket.connect
def connect(self, address):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"no way to {address}")
    return _connect(self, address)
socket.socket.connect = connect
def getaddrinfo(host, *rest, _original=socket.getaddrinfo, **named):
    if host not in ("127.0.0.1", "::1", "localhost", None, ""):
        raise OSError(f"no way to look up {host}")
    return _original(host, *rest, **named)
socket.getaddrinfo = getaddrinfo
"""


def test_compute_needs_no_socket_but_the_schedulers(recipe: Recipe, tmp_path: Path) -> None:
    """Compute nodes often have no internet; in this process, and in all of its workers."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(REFUSE_THE_WORLD)
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.model_dump_json())
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    program = "from minkgen.cli.main import main; main()"
    command = [sys.executable, "-c", program, "compute", str(path), "--quiet"]
    refused = "import socket; socket.create_connection(('192.0.2.1', 80), 1)"
    check = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", refused], env=environment, capture_output=True, text=True
    )
    assert "no way to" in check.stderr
    done = subprocess.run(  # noqa: S603 - our own command
        command, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.shared_data
def test_the_papers_recipe_runs_against_a_copy_of_the_archive(
    real_archive: Path, tmp_path: Path
) -> None:
    """As docs/ingest.md says, with the hours that the copy holds."""
    hours = [f"2018-08-24T{hour}:00" for hour in (18, 20, 21, 22)]
    windows = zip(("train", "validation", "test"), hours[:-1], hours[1:], strict=True)
    splits = ", ".join(f"{name}: {{start: {a}, end: {b}}}" for name, a, b in windows)
    settings = [
        f"store={tmp_path / 'store'}",
        f"period={{start: {hours[0]}, end: {hours[-1]}}}",
        f"splits={{{splits}, gap_hours: 0}}",
        "download.contact=tests@example.org",
        "cluster.workers=1",
    ]
    with s3_peer(real_archive) as endpoint:
        source = f"source={{kind: archive, endpoint: {endpoint}}}"
        recipe = load_recipe("paper", [*settings, source])
        assert ingest(recipe).states == {"ok": 16, "absent": 0, "failed": 0, "corrupt": 0}
    slots = read_ledger(StorePaths(recipe.store), date(2018, 8, 24)).slots
    for slot in slots.values():
        assert slot.sha256 == sha256_of(real_archive / (slot.source or ""))
