"""`minkgen verify`: every law and definition held against a store, and a report."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minkgen.cli.main import DONE, FAILED
from minkgen.cli.options import output_options
from minkgen.cli.render import plain, show_progress, show_result

if TYPE_CHECKING:
    from minkgen.workflows.verify.run import Verdict, VerifyReport

__all__ = ["command", "report_as_dict"]


@click.command(name="verify", short_help="Hold a store against its laws and definitions.")
@click.argument("store", envvar="MINKGEN_STORE", type=click.Path(path_type=Path))
@click.option(
    "--snapshot",
    default="current",
    show_default=True,
    metavar="NAME",
    help="The snapshot to look at.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    metavar="K",
    help="Frames, and samples of each split, drawn for what is too slow for all.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Of the draws: another seed looks at others.",
)
@click.option("--deep", is_flag=True, help="Count the climatology of all training tiles anew.")
@click.option(
    "--only",
    multiple=True,
    metavar="CHECK",
    help="Only this check (gamma.oracle) or family (gamma); may be given again.",
)
@output_options
def command(
    store: Path,
    *,
    snapshot: str,
    samples: int,
    seed: int,
    deep: bool,
    only: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> int:
    """Hold STORE against its laws and definitions, each a named check, and report.

    All tiles and all γ-matrices are read; a few samples are cut, mixed and measured anew by GUDHI
    and scikit-image. What is damaged or missing fails a check. STORE is only read; while something
    is being written to it, a check may fail that passes later.

    Exit status: 0 if all checks passed that a store MUST pass, whatever it SHOULD; 1 otherwise.

    \b
    Examples:
      minkgen verify store
      minkgen verify store --only gamma --samples 500 --seed 1
      minkgen verify store --json | jq '.checks[] | select(.outcome == "failed")'
    """
    from minkgen.errors import InputError
    from minkgen.workflows.verify.run import choose_checks, verify_store

    try:
        choose_checks(only)
    except InputError as error:
        raise click.BadParameter(str(error), param_hint="--only") from error
    with show_progress(quiet=quiet) as progress:
        report = verify_store(
            store,
            progress,
            snapshot=snapshot,
            samples=samples,
            seed=seed,
            deep=deep,
            only=only,
        )
    show_result(report_as_dict(report), lambda: "\n".join(_lines(report)), as_json=as_json)
    return FAILED if report.failed("MUST") else DONE


def report_as_dict(report: VerifyReport) -> dict[str, Any]:
    """Return a report as plain JSON values, as `minkgen.cli.outputs.Verify` describes them.

    Parameters
    ----------
    report : VerifyReport

    Returns
    -------
    dict
    """
    return {
        "store": str(report.store),
        "snapshot": report.snapshot,
        "passed": not report.failed("MUST"),
        "outcomes": _outcomes(report),
        "checks": [
            {
                "name": verdict.check.name,
                "level": verdict.check.level,
                "says": verdict.check.says,
                **asdict(verdict.finding),
            }
            for verdict in report.verdicts
        ],
    }


def _outcomes(report: VerifyReport) -> dict[str, int]:
    counts = Counter(verdict.finding.outcome for verdict in report.verdicts)
    return {outcome: counts[outcome] for outcome in ("passed", "failed", "not applicable")}


def _lines(report: VerifyReport) -> list[str]:
    lines = [f"{plain(report.store)}: {plain(report.snapshot or 'no snapshot')}"]
    for verdict in report.verdicts:
        lines += _told(verdict)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in _outcomes(report).items())
    bad, worth = len(report.failed("MUST")), len(report.failed("SHOULD"))
    tail = f" ({bad} MUST, {worth} SHOULD)" if bad or worth else ""
    return [*lines, f"{len(report.verdicts)} checks: {counts}{tail}"]


def _told(verdict: Verdict) -> list[str]:
    """Return one line for what passed, and all there is to know of what failed."""
    check, finding = verdict.check, verdict.finding
    mark = {"passed": "ok", "failed": "FAILED", "not applicable": "-"}[finding.outcome]
    line = f"{mark:6}  {check.level:6}  {check.name:28}  {finding.looked_at}"
    if finding.outcome != "failed":
        return [line.rstrip()]
    lines = [line, f"        {check.says}"]
    for example in finding.counter_examples:
        lines.append(f"        at {plain(example.place)}")
        lines.append(f"          got {plain(example.got)}; expected {plain(example.expected)}")
    more = finding.failures - len(finding.counter_examples)
    lines += [f"        and {more} more"] if more else []
    return [*lines, f"        next: {plain(finding.next_step)}"]
