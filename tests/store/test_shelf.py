"""The shelf: rolling back, holding, pruning and comparing snapshots."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from minkgen.errors import InputError, StoreError, StoreLockedError
from minkgen.recipe import Sharing
from minkgen.store import shelf
from minkgen.store.comparison import Overlap, compare
from minkgen.store.history import current_name, read_history
from minkgen.store.layout import StorePaths
from minkgen.store.lock import hold_lock
from minkgen.store.permissions import permissions_of
from minkgen.store.publishing import publish
from minkgen.store.shelf import (
    hold_snapshot,
    list_snapshots,
    list_unfinished,
    prune,
    publish_snapshot,
    roll_back,
)
from minkgen.store.snapshot import open_snapshot
from tests.store.tiny import Tiny, content

USUAL = permissions_of(Sharing())
NAMES = ("first", "second", "third", "fourth")
FORTNIGHT = timedelta(days=14)


def later(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


def there(paths: StorePaths) -> set[str]:
    return {path.stem for path in paths.features.glob("[!.]*.zarr")}


@pytest.fixture
def filled(tiny_store: StorePaths, kept: Path) -> StorePaths:
    """Return a store in which four snapshots were published, one after the other."""
    for number, name in enumerate(NAMES):
        Tiny(name, rain=number).place(tiny_store, kept)
        publish(tiny_store, name)
    return tiny_store


def test_rolling_back_undoes_one_publication_after_the_other(filled: StorePaths) -> None:
    assert roll_back(filled, USUAL) == current_name(filled) == "third"
    assert open_snapshot(filled.root).name == "third"
    assert json.loads((filled.features / "current.json").read_text()) == {"snapshot": "third.zarr"}
    assert roll_back(filled, USUAL) == "second"
    publish(filled, "fourth")
    assert roll_back(filled, USUAL) == "second"  # what was rolled back from is not come back to
    assert roll_back(filled, USUAL) == "first"
    with pytest.raises(StoreError, match="nothing to roll back to"):
        roll_back(filled, USUAL)
    assert roll_back(filled, USUAL, "third") == "third"
    actions = [(entry.snapshot, entry.action) for entry in read_history(filled)][4:]
    assert actions == [
        ("third", "rollback"),
        ("second", "rollback"),
        ("fourth", "publish"),
        ("second", "rollback"),
        ("first", "rollback"),
        ("third", "rollback"),
    ]


def test_a_damaged_snapshot_does_not_become_current(filled: StorePaths) -> None:
    victim = filled.features / "third.zarr/train/gamma/c/0/0/0"
    victim.chmod(0o644)
    victim.write_bytes(victim.read_bytes()[:-1] + b"?")
    for attempt in (
        lambda: roll_back(filled, USUAL),
        lambda: roll_back(filled, USUAL, "third"),
        lambda: publish_snapshot(filled, "third", USUAL),
    ):
        with pytest.raises(StoreError, match="the snapshot is damaged"):
            attempt()
    assert current_name(filled) == "fourth"
    assert roll_back(filled, USUAL, "second") == "second"


def test_what_is_not_there_cannot_become_current(filled: StorePaths) -> None:
    with pytest.raises(StoreError, match="no such snapshot") as caught:
        roll_back(filled, USUAL, "fifth")
    assert caught.value.expected == "first, fourth, second, third"
    with pytest.raises(StoreError, match="no such snapshot"):
        publish_snapshot(filled, "fifth", USUAL)


def test_a_finished_snapshot_is_published_and_an_unfinished_one_is_not(
    tiny_store: StorePaths,
) -> None:
    Tiny("new").write(tiny_store, parts=[0, 1, 2])
    assert list_unfinished(tiny_store) == [shelf.Unfinished("new", shards=12, written=10)]
    with pytest.raises(StoreError, match="incomplete"):
        publish_snapshot(tiny_store, "new", USUAL)
    Tiny("new").write(tiny_store)
    with hold_lock(tiny_store.lock("build")), pytest.raises(StoreLockedError):
        publish_snapshot(tiny_store, "new", USUAL)
    publish_snapshot(tiny_store, "new", USUAL)
    assert current_name(tiny_store) == "new"
    assert list_unfinished(tiny_store) == []


def test_the_shelf_is_listed_in_the_order_of_publications(filled: StorePaths) -> None:
    hold_snapshot(filled, "second", 3)
    roll_back(filled, USUAL, "first")
    listed = list_snapshots(filled)
    assert [each.name for each in listed] == ["second", "third", "fourth", "first"]
    assert [each.current for each in listed] == [False, False, False, True]
    assert [each.retired is None for each in listed] == [False, False, False, True]
    assert [each.held_until is not None for each in listed] == [True, False, False, False]
    assert all(each.published is not None for each in listed)


def test_pruning_keeps_the_latest_and_what_readers_may_have_open(filled: StorePaths) -> None:
    assert prune(filled, 1, FORTNIGHT).removed == ()
    assert prune(filled, 1, FORTNIGHT, now=later(13.9)).removed == ()
    shown = prune(filled, 2, FORTNIGHT, now=later(14.1), dry_run=True)
    assert shown.removed == ("first", "second")
    assert shown.kept == {"third": "among the 2 latest", "fourth": "current"}
    assert there(filled) == set(NAMES)
    kept = content(filled.features / "fourth.zarr")
    assert prune(filled, 2, FORTNIGHT, now=later(14.1)) == shown
    assert there(filled) == {"third", "fourth"}
    assert not list(filled.features.glob(".*"))
    assert content(filled.features / "fourth.zarr") == kept
    with pytest.raises(InputError, match="at least the current"):
        prune(filled, 0, FORTNIGHT)


def test_the_current_snapshot_stays_however_old_its_publication(filled: StorePaths) -> None:
    roll_back(filled, USUAL, "first")
    pruned = prune(filled, 1, timedelta(0), now=later(100))
    assert set(pruned.removed) == {"second", "third", "fourth"}
    assert open_snapshot(filled.root).name == "first"


def test_grace_counts_from_the_last_moment_as_current(filled: StorePaths) -> None:
    """A snapshot that was current for a year may have been opened a minute ago."""
    lines = json.loads(filled.history.read_text())
    for entry, days in zip(lines, (400, 300, 10, 1), strict=True):
        entry["time"] = f"{later(-days):%FT%T+00:00}"
    filled.history.write_text(json.dumps(lines))
    pruned = prune(filled, 1, FORTNIGHT)
    assert pruned.removed == ("first",)  # the second was current until 10 days ago


def test_what_nobody_recorded_is_as_old_as_its_folder(filled: StorePaths) -> None:
    filled.history.unlink()
    assert prune(filled, 1, FORTNIGHT).removed == ()
    past = later(-15).timestamp()
    os.utime(filled.features / "second.zarr", (past, past))
    assert prune(filled, 1, FORTNIGHT).removed == ("second",)


def test_readers_of_urls_keep_theirs(filled: StorePaths) -> None:
    """As a crash leaves it between the switch of the link and that of the file for URLs."""
    (filled.features / "current.json").write_text('{"snapshot": "first.zarr"}')
    assert set(prune(filled, 1, timedelta(0), now=later(1)).removed) == {"second", "third"}


def test_a_lease_holds_a_snapshot_until_it_expires(filled: StorePaths) -> None:
    lease = hold_snapshot(filled, "first", 30)
    hold_snapshot(filled, "current", 1)
    held = prune(filled, 1, FORTNIGHT, now=later(29))
    assert held.kept["first"].startswith("a lease until")
    assert "first" not in held.removed
    assert prune(filled, 1, FORTNIGHT, now=later(31), dry_run=True).removed == ("first",)
    lease.unlink()
    assert prune(filled, 1, FORTNIGHT, now=later(29)).removed == ("first",)
    with pytest.raises(StoreError, match="no such snapshot"):
        hold_snapshot(filled, "first", 1)
    with pytest.raises(InputError, match="for some time"):
        hold_snapshot(filled, "fourth", 0)
    assert len(list(filled.leases.iterdir())) == 1


def test_a_lease_that_comes_at_the_last_moment_is_seen(
    filled: StorePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def while_it_is_held(path: Path, target: Path) -> Path:
        if path.name == "first.zarr":
            monkeypatch.setattr(Path, "rename", rename)
            hold_snapshot(filled, "first", 30)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", while_it_is_held)
    pruned = prune(filled, 1, FORTNIGHT, now=later(15))
    assert pruned.removed == ("second", "third")
    assert pruned.kept["first"] == "a lease"
    assert there(filled) == {"first", "fourth"}


def test_a_lease_that_cannot_be_read_stops_pruning(filled: StorePaths) -> None:
    filled.leases.mkdir()
    (filled.leases / "mine.json").write_text('{"snapshot": "first", "expires": "never"}')
    with pytest.raises(StoreError, match="a lease cannot be read"):
        prune(filled, 1, FORTNIGHT, now=later(15))
    assert there(filled) == set(NAMES)


def test_what_a_killed_prune_left_is_removed(filled: StorePaths) -> None:
    (filled.features / "first.zarr").rename(filled.features / ".removed-first-0123.zarr")
    assert prune(filled, 4, FORTNIGHT).removed == ()
    assert not list(filled.features.glob(".*"))


def test_differences_are_counted_and_named(tiny_store: StorePaths, kept: Path) -> None:
    one = Tiny("one", test=(200, 201))
    other = replace(one, name="other", test=(201, 202, 203), validation=(100, 101), rain=1)
    for tiny in (one, other):
        tiny.place(tiny_store, kept)
        publish(tiny_store, tiny.name)
    found = compare(open_snapshot(tiny_store.root, "one"), open_snapshot(tiny_store.root, "other"))
    assert (found.first, found.second) == ("one", "other")
    assert found.samples == {
        "train": Overlap(0, 0, 20),
        "validation": Overlap(1, 0, 2),
        "test": Overlap(1, 2, 1),
    }
    assert found.frames == Overlap(2, 2, 23)
    assert found.settings == {"recipe.seed": (0, 1)}
