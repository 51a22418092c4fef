"""`minkgen compute`: composites to a published snapshot, its plan, or a share of its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from minkgen.cli.main import DONE, PARTLY
from minkgen.cli.options import output_options, recipe_command
from minkgen.cli.render import show_progress, show_result

if TYPE_CHECKING:
    from minkgen.recipe import Recipe
    from minkgen.workflows.compute import ComputeResult, Contents, Planned, ShareResult
    from minkgen.workflows.cost import Cost
    from minkgen.workflows.ingest import IngestResult

_SHOWN = 10


def _as_share(
    _ctx: click.Context, _param: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    if value is None:
        return None
    number, _, of = value.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise click.BadParameter(f"{value!r}: expected i/n with 1 <= i <= n, as in 3/16")
    return int(number), int(of)


@click.command(name="compute", short_help="Cut tiles, compute γ, publish a snapshot.")
@recipe_command("store", "cluster", "site", "workers")
@click.option(
    "--new-version",
    is_flag=True,
    help="Let a recipe that differs from the current snapshot's replace it as `current`.",
)
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="Wait so long for another process that builds a snapshot; refuse at once by default.",
)
@click.option(
    "--from",
    "origin",
    metavar="SNAPSHOT",
    help="Take the tiles of this snapshot of the store (or `current`): new thresholds, floors or "
    "mix-up without composites.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print rows, parts and what they cost; compute no part, publish nothing. Scans tiles and "
    "fits the climate where that was not done.",
)
@click.option(
    "--parts",
    "share",
    callback=_as_share,
    metavar="I/N",
    help="Compute the I-th of N shares of the parts in this process, without a cluster; publish "
    "nothing.",
)
@output_options
def command(
    recipe: Recipe,
    *,
    new_version: bool,
    origin: str | None,
    dry_run: bool,
    share: tuple[int, int] | None,
    wait: float,
    as_json: bool,
    quiet: bool,
) -> int:
    """Cut the store's composites into tiles, compute their γ-matrices, publish a snapshot.

    Thresholds and persistence floors come from the training split alone. The snapshot is named by
    the hash of everything that decided its numbers; where it exists already, nothing is computed,
    and shards that an earlier snapshot holds are linked.

    Rain fields of your own (source.kind xarray) that are not in the store are brought in first,
    as `minkgen ingest` would; one that cannot be used makes the exit status 3.

    Shares may run at once, on any nodes, after a --dry-run has made the tables that all need; then
    the command without --parts publishes.

    \b
    Examples:
      minkgen compute evening.yaml --store store
      minkgen compute evening.yaml --dry-run
      minkgen compute evening.yaml --parts 3/16
      minkgen compute evening.yaml --from current --set persistence.essential=background \\
        --new-version
      minkgen compute paper --cluster slurm --site mine.yaml --workers 32
    """
    from minkgen.workflows.compute import Share, compute, compute_share, plan_compute
    from minkgen.workflows.ingest import bring_own_fields

    if dry_run and share is not None:
        raise click.UsageError("--dry-run plans all parts: give it without --parts")
    brought = None
    with show_progress(quiet=quiet) as progress:
        if origin is None and share is None:
            brought = bring_own_fields(recipe, progress, wait_seconds=wait)
        if dry_run:
            planned = plan_compute(recipe, progress, new_version=new_version, origin=origin)
            summary, text = _contents(planned) | _cost(planned), _planned_text(planned)
        elif share is not None:
            done = compute_share(
                recipe, Share(*share), progress, new_version=new_version, origin=origin
            )
            summary, text = _share(done), _share_text(done)
        else:
            result = compute(
                recipe, progress, new_version=new_version, origin=origin, wait_seconds=wait
            )
            summary, text = _result(result), _result_text(result)
    if brought is not None:
        summary["brought"] = {
            "states": brought.states,
            "newly_ok": brought.newly_ok,
            "newly_bad": list(brought.newly_bad),
        }
        text = "\n".join((text, *_brought_text(brought)))
    show_result(summary, lambda: text, as_json=as_json)
    return PARTLY if brought is not None and brought.newly_bad else DONE


def _brought_text(brought: IngestResult) -> list[str]:
    counts = ", ".join(f"{count} {state}" for state, count in brought.states.items())
    bad = [f"    {line}" for line in brought.newly_bad[:_SHOWN]]
    if len(brought.newly_bad) > _SHOWN:
        bad.append(f"    and {len(brought.newly_bad) - _SHOWN} more; see `minkgen inspect`")
    return [f"  fields of your own: {counts}; {brought.newly_ok} new in this run", *bad]


def _contents(contents: Contents) -> dict[str, Any]:
    return {
        "snapshot": str(contents.snapshot),
        "rows": contents.rows,
        "dry": contents.dry,
        "thresholds": list(contents.thresholds),
        "floors": contents.floors,
    }


def _contents_text(contents: Contents) -> str:
    rows = ", ".join(
        f"{split} {count} ({contents.dry[split]} dry)" for split, count in contents.rows.items()
    )
    low, high = contents.thresholds[0], contents.thresholds[-1]
    floors = ", ".join(f"{name} {floor:.4g}" for name, floor in contents.floors.items())
    return "\n".join(
        (
            f"  samples: {rows}",
            f"  thresholds: {len(contents.thresholds)} from {low:.4g} to {high:.4g} mm/h",
            f"  persistence floors in mm/h: {floors}",
        )
    )


def _result_text(result: ComputeResult) -> str:
    done = f"{result.parts} parts computed, {result.linked} linked"
    made = done if result.parts or result.linked else "all parts were there"
    damaged = [f"  damaged in an earlier snapshot: {path}" for path in result.damaged]
    return "\n".join((f"{result.snapshot}: {made}", _contents_text(result), *damaged))


def _result(result: ComputeResult) -> dict[str, Any]:
    return _contents(result) | {
        "parts": result.parts,
        "linked": result.linked,
        "damaged": [str(path) for path in result.damaged],
    }


def _share(done: ShareResult) -> dict[str, Any]:
    return {
        "snapshot": str(done.snapshot),
        "computed": done.computed,
        "written": done.written,
        "parts": done.parts,
        "seconds": done.seconds,
    }


def _share_text(done: ShareResult) -> str:
    text = f"{done.snapshot}: {done.computed} parts computed, {done.written} of {done.parts} there"
    whole = "the same command without --parts publishes them"
    return f"{text}; {whole}" if done.written == done.parts else text


def _cost(planned: Planned) -> dict[str, Any]:
    cost = planned.cost
    return {
        "is_published": planned.is_published,
        "parts": planned.parts,
        "tasks": cost.tasks,
        "write_bytes": cost.write_bytes,
        "free_bytes": cost.free_bytes,
        "task_bytes": cost.task_bytes,
        "worker_bytes": cost.worker_bytes,
        "workers": cost.workers,
        "seconds": cost.seconds,
        "core_seconds": cost.stages,
        "job_script": planned.job_script,
    }


def _planned_text(planned: Planned) -> str:
    from minkgen.workflows.stopwatch import STAGES

    cost = planned.cost
    lines = [f"{planned.snapshot}: planned, nothing computed", _contents_text(planned)]
    if planned.is_published:
        lines.append("  already complete")
    elif cost.tasks == 0:
        lines.append(f"  parts: {planned.parts}, all there: only to be published")
    else:
        core = sum(cost.stages.values())
        shares = ", ".join(
            f"{name} {100 * cost.stages[stage] / core:.0f} %"
            for stage, name in STAGES.items()
            if stage in cost.stages
        )
        lines += [
            f"  parts: {planned.parts}; {cost.tasks} to be computed, a task each",
            f"  disk: about {_size(cost.write_bytes)} to write, {_size(cost.free_bytes)} free",
            f"  memory: {_size(cost.task_bytes)} a task, {_worker(cost)}",
            f"  time: about {_duration(cost.seconds)} on {cost.workers} workers",
            f"  time of one core: {_duration(core)} ({shares})",
        ]
    if planned.job_script is not None:
        lines += ["", "the job of each worker:", planned.job_script]
    return "\n".join(lines)


def _worker(cost: Cost) -> str:
    if cost.worker_bytes is None:
        return "what a worker has is not known here"
    return f"{_size(cost.worker_bytes)} a worker"


def _size(count: int) -> str:
    """Write bytes with the largest unit of which there is one."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
