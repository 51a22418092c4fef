"""`minkgen store`: the snapshots of a store, as an operator handles them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from minkgen.cli.main import DONE
from minkgen.cli.options import json_option, recipe_command
from minkgen.cli.render import show_result

if TYPE_CHECKING:
    from minkgen.recipe import Recipe
    from minkgen.workflows.shelf import Comparison, Overlap, Shelf

_SHOWN = 200


@click.group(name="store", short_help="List, publish, roll back, compare, prune snapshots.")
def command() -> None:
    """List, publish, roll back, compare and remove the snapshots of a recipe's store."""


@command.command(name="list", short_help="List the snapshots, published or not.")
@recipe_command("store")
@json_option
def list_command(recipe: Recipe, *, as_json: bool) -> int:
    """List the snapshots, published (earliest publication first) and unfinished ones.

    \b
    Example:
      minkgen store list evening.yaml
    """
    from minkgen.workflows.shelf import show_shelf

    shelf = show_shelf(recipe)
    show_result(_shelf_as_dict(shelf), lambda: _shelf_as_text(shelf), as_json=as_json)
    return DONE


def _shelf_as_dict(shelf: Shelf) -> dict[str, Any]:
    return {
        "store": str(shelf.store),
        "snapshots": [
            {
                "name": each.name,
                "current": each.current,
                "published": _time(each.published),
                "retired": _time(each.retired),
                "held_until": _time(each.held_until),
            }
            for each in shelf.snapshots
        ],
        "unfinished": [vars(each) for each in shelf.unfinished],
    }


def _time(time: datetime | None) -> str | None:
    return None if time is None else f"{time:%FT%TZ}"


def _shelf_as_text(shelf: Shelf) -> str:
    lines = [f"{shelf.store}"]
    for each in shelf.snapshots:
        told = [f"published {each.published:%F %R}" if each.published else "not recorded"]
        if each.current:
            told.insert(0, "current")
        if each.retired is not None:
            told.append(f"current until {each.retired:%F %R}")
        if each.held_until is not None:
            told.append(f"held until {each.held_until:%F %R}")
        lines.append(f"  {each.name}: {', '.join(told)}")
    lines += [
        f"  {growing.name}: not published, {growing.written} of {growing.shards} shards written"
        for growing in shelf.unfinished
    ]
    return "\n".join(lines if len(lines) > 1 else [*lines, "  no snapshot: run `minkgen compute`"])


@command.command(name="publish", short_help="Publish a finished snapshot, or an older one again.")
@recipe_command("store")
@click.argument("name")
@json_option
def publish_command(recipe: Recipe, *, name: str, as_json: bool) -> int:
    """Publish the finished snapshot NAME, or make an older one current.

    All shards must be there; an older snapshot is read as a whole and compared with the digests
    that it was published with.

    \b
    Example:
      minkgen store publish evening.yaml evening-0123456789ab
    """
    from minkgen.workflows.shelf import publish

    snapshot = publish(recipe, name)
    show_result({"snapshot": str(snapshot)}, lambda: f"{snapshot}: current", as_json=as_json)
    return DONE


@command.command(name="rollback", short_help="Go back to the snapshot before.")
@recipe_command("store")
@click.argument("name", required=False)
@json_option
def rollback_command(recipe: Recipe, *, name: str | None, as_json: bool) -> int:
    """Switch `current` back to the snapshot that was current before, or to NAME.

    It is read as a whole and compared with the digests that it was published with. Once more goes
    back one publication further.

    \b
    Example:
      minkgen store rollback evening.yaml
    """
    from minkgen.workflows.shelf import rollback

    snapshot = rollback(recipe, name)
    show_result({"snapshot": str(snapshot)}, lambda: f"{snapshot}: current", as_json=as_json)
    return DONE


@command.command(name="prune", short_help="Remove old snapshots.")
@recipe_command("store")
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    required=True,
    metavar="N",
    help="Keep the N latest publications, the current one among them.",
)
@click.option(
    "--grace-days",
    type=click.FloatRange(min=0),
    metavar="D",
    help="Keep what was current within D days; sharing.grace_days by default.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed; remove nothing.")
@json_option
def prune_command(
    recipe: Recipe,
    *,
    keep: int,
    grace_days: float | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Remove old snapshots, all but those that are current, recent, held or among the N latest.

    \b
    Example:
      minkgen store prune evening.yaml --keep 3 --dry-run
    """
    from minkgen.workflows.shelf import prune

    grace = None if grace_days is None else timedelta(days=grace_days)
    pruned = prune(recipe, keep, grace, dry_run=dry_run)

    def text() -> str:
        verb = "would be removed" if dry_run else "removed"
        kept = [f"{name}: stays ({reason})" for name, reason in pruned.kept.items()]
        return "\n".join(
            [*kept, *(f"{name}: {verb}" for name in pruned.removed)] or ["no snapshot"]
        )

    summary = {"removed": list(pruned.removed), "kept": pruned.kept, "dry_run": dry_run}
    show_result(summary, text, as_json=as_json)
    return DONE


@command.command(name="diff", short_help="Say how two snapshots differ.")
@recipe_command("store")
@click.argument("first")
@click.argument("second", default="current")
@json_option
def diff_command(recipe: Recipe, *, first: str, second: str, as_json: bool) -> int:
    """Say how the snapshots FIRST and SECOND (by default the current one) differ.

    \b
    Example:
      minkgen store diff evening.yaml evening-0123456789ab
    """
    from minkgen.workflows.shelf import diff

    found = diff(recipe, first, second)
    summary = {
        "first": found.first,
        "second": found.second,
        "samples": {split: vars(overlap) for split, overlap in found.samples.items()},
        "frames": vars(found.frames),
        "settings": {path: list(values) for path, values in found.settings.items()},
    }
    show_result(summary, lambda: _difference(found), as_json=as_json)
    return DONE


def _difference(found: Comparison) -> str:
    def told(what: str, overlap: Overlap) -> str:
        return (
            f"  {what}: {overlap.only_first} only in the first, {overlap.only_second} only in the "
            f"second, {overlap.both} in both"
        )

    lines = [f"{found.first} and {found.second}"]
    lines += [told(f"samples of {split}", overlap) for split, overlap in found.samples.items()]
    lines.append(told("frames with samples", found.frames))
    lines += [
        f"  {path}: {_short(one)} and {_short(other)}"
        for path, (one, other) in found.settings.items()
    ]
    return "\n".join(lines if found.settings else [*lines, "  same settings"])


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... (all of it with --json)"
