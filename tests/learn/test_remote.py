"""A store behind a URL reads as its folder does: on an S3 peer, and as file://."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from moto.server import ThreadedMotoServer
from torch.utils.data import DataLoader

import minkgen
from minkgen.errors import StoreError
from minkgen.learn.data import Batch, ShuffledTiles, TileReader
from minkgen.store.remote import RemoteFolder
from minkgen.store.snapshot import Snapshot, open_snapshot

NAMES = ("area", "components")
BUCKET, URL = "laboratory", "s3://laboratory/radar/store"
SECRET = "never-to-be-shown"  # noqa: S105 - the S3 peer takes any


class Peer(NamedTuple):
    """An S3 server on loopback that holds a store, and how to reach it."""

    client: Any
    options: dict[str, Any]

    def put(self, name: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=f"radar/store/features/{name}", Body=content)


@pytest.fixture(scope="module")
def local(make_snapshot: Callable[..., Snapshot]) -> Snapshot:
    """Return a snapshot in a folder; treat as read-only."""
    return make_snapshot({"train": 120, "validation": 20, "test": 20}, frame_sizes=(12,))


@pytest.fixture(scope="module")
def peer(local: Snapshot) -> Iterator[Peer]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        options = {"endpoint_url": f"http://{host}:{port}", "key": "testing", "secret": SECRET}
        client = boto3.client(
            "s3",
            endpoint_url=options["endpoint_url"],
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key=SECRET,
        )
        client.create_bucket(Bucket=BUCKET)
        peer = Peer(client, options)
        features = local.path.parent
        for path in features.rglob("*"):
            if path.is_file() and "current/" not in str(path):
                peer.put(str(path.relative_to(features)), path.read_bytes())
        yield peer
    finally:
        server.stop()


@pytest.fixture(scope="module")
def remote(peer: Peer) -> Snapshot:
    return open_snapshot(URL, storage_options=peer.options)


def content(batches: Iterable[Batch]) -> list[tuple[bytes, bytes]]:
    return [(batch.rain_rate.numpy().tobytes(), batch.gamma.numpy().tobytes()) for batch in batches]


def epoch(snapshot: Snapshot, **options: Any) -> Any:
    reader = TileReader(snapshot, "train", NAMES, mixup=True, **options)
    return ShuffledTiles(reader, batch_size=32, seed=0).epoch(1, done=1)


def test_a_bucket_reads_as_the_folder_does(local: Snapshot, remote: Snapshot) -> None:
    assert (remote.name, remote.metadata) == (local.name, local.metadata)
    assert remote.rows("validation") == 20
    assert str(remote.location) == f"{URL}/features/{local.name}.zarr"
    assert content(epoch(remote)) == content(epoch(local))
    assert content(epoch(remote, in_memory=True)) == content(epoch(local))


def test_workers_read_a_bucket(local: Snapshot, remote: Snapshot) -> None:
    loader = DataLoader(epoch(remote), batch_size=None, num_workers=2)
    assert sorted(content(loader)) == sorted(content(epoch(local)))


def test_a_bucket_opens_in_xarray(local: Snapshot, peer: Peer) -> None:
    found = minkgen.open_features(URL, "test", storage_options=peer.options)
    expected = minkgen.open_features(local.path.parent.parent, "test")
    assert found.identical(expected)


def test_a_file_url_reads_as_the_folder_does(local: Snapshot) -> None:
    root = local.path.parent.parent
    by_url = open_snapshot(root.as_uri())
    assert isinstance(by_url.location, RemoteFolder)
    assert open_snapshot(f"{root.as_uri()}/", local.name).location == by_url.location
    assert content(epoch(by_url)) == content(epoch(local))
    with pytest.raises(StoreError, match="needs a store in a folder"):
        _ = by_url.path


def test_current_is_resolved_once(peer: Peer, remote: Snapshot, local: Snapshot) -> None:
    before = content(epoch(remote))
    for path in local.path.rglob("*"):
        name = str(path.relative_to(local.path))
        if path.is_file() and "rain_rate/c/" not in name:
            peer.put(f"other-4567.zarr/{name}", path.read_bytes())
    peer.put("current.json", json.dumps({"snapshot": "other-4567.zarr"}).encode())
    try:
        assert open_snapshot(URL, storage_options=peer.options).name == "other-4567"
        assert open_snapshot(URL, local.name, storage_options=peer.options).name == local.name
        assert content(epoch(remote)) == before
        unfilled = TileReader(
            open_snapshot(URL, "other-4567.zarr", storage_options=peer.options), "test", NAMES
        )
    finally:
        peer.put("current.json", json.dumps({"snapshot": f"{local.name}.zarr"}).encode())
    with pytest.raises(StoreError, match="cannot be read"):
        list(unfilled.in_order(8))


@pytest.mark.parametrize(
    "text", ["", "[]", '{"snapshot": 3}', '{"snapshot": "../../other.zarr"}', '{"snapshot": "x"}']
)
def test_a_strange_current_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "current.json").write_text(text, encoding="utf-8")
    with pytest.raises(StoreError, match="names no snapshot"):
        open_snapshot(tmp_path.as_uri())


def test_what_is_not_there_is_named(peer: Peer, tmp_path: Path, local: Snapshot) -> None:
    with pytest.raises(StoreError, match=rf"no snapshot 'small-9'(.|\n)*got: .*{local.name}"):
        open_snapshot(URL, "small-9", storage_options=peer.options)
    for url, options in (
        (f"{URL}-of-nobody", peer.options),
        ("s3://no-such-bucket/store", peer.options),
        (tmp_path.as_uri(), None),
    ):
        with pytest.raises(StoreError, match=r"no snapshot 'current'(.|\n)*no snapshot at all"):
            open_snapshot(url, storage_options=options)
    (tmp_path / "features").mkdir()
    named = tmp_path / "features" / "current.json"
    named.write_text('{"snapshot": "gone.zarr"}', encoding="utf-8")
    with pytest.raises(StoreError, match="the snapshot is not there"):
        open_snapshot(tmp_path.as_uri())


def test_a_refusal_is_explained_and_shows_no_secret(peer: Peer, remote: Snapshot) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}"
    once = {"retries": {"max_attempts": 0}}
    with pytest.raises(StoreError, match="check the URL, the endpoint") as caught:
        open_snapshot(
            URL, storage_options=peer.options | {"endpoint_url": nobody, "config_kwargs": once}
        )
    for shown in (str(caught.value), repr(remote), str(remote.location)):
        assert SECRET not in shown
    with pytest.raises(StoreError, match=r"cannot be read here(.|\n)*minkgen\[remote\]"):
        open_snapshot("no-such-protocol://bucket/store")
