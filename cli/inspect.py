"""`minkgen inspect`: what is in a store, as a calendar of characters, as JSON, as a picture."""

from __future__ import annotations

import calendar
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minkgen.cli.main import DONE
from minkgen.cli.options import output_options
from minkgen.cli.render import plain, show_progress, show_result

if TYPE_CHECKING:
    from minkgen.workflows.inspect import DayReport, StoreReport

__all__ = ["command", "report_as_dict"]

_SHOWN = 10
_MOST_LINES_OF_DAYS = 40
_LEGEND = "# all ok, + partly ok, . absent, F any failed, C any corrupt, blank not asked"


def _png(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    if path is not None and path.suffix.lower() != ".png":
        raise click.BadParameter(f"{path} does not end in .png")
    return path


@click.command(name="inspect", short_help="Show what is in a store, and what is missing.")
@click.argument("store", envvar="MINKGEN_STORE", type=click.Path(path_type=Path))
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_png,
    metavar="FILE.png",
    help="Draw the calendar, too: days by hours, coloured by state and era.",
)
@click.option(
    "--product",
    type=click.Choice(["RATE", "ACRR", "DBZH", "OWN"]),
    help="Whose composites, if the store has several; the first of them by default.",
)
@output_options
def command(
    store: Path, *, product: str | None, picture: Path | None, as_json: bool, quiet: bool
) -> int:
    """Show the calendar of STORE: of every expected composite, whether it is there.

    Up to 40 days have a line each, with a character for every hour; longer periods have a line for
    every month, with a character for every day; all in UTC. Slots that are failed or corrupt are
    listed with the reason, the first 10 here and all of them with --json; then the snapshots, and
    how far a build is. STORE is only read, and may be inspected while something is written to it.

    \b
    Examples:
      minkgen inspect store
      minkgen inspect store --picture calendar.png
      minkgen inspect store --product DBZH
      minkgen inspect store --json | jq .states
    """
    from minkgen.workflows.inspect import draw_report, inspect_store

    with show_progress(quiet=quiet) as progress:
        report = inspect_store(store, product, progress)
    if picture is not None:
        draw_report(report, picture)

    def text() -> str:
        lines = _lines(report)
        return "\n".join(lines if picture is None else [*lines, "", f"picture: {plain(picture)}"])

    show_result(report_as_dict(report), text, as_json=as_json)
    return DONE


def report_as_dict(report: StoreReport) -> dict[str, Any]:
    """Return a report as plain JSON values, as `minkgen.cli.outputs.Inspect` describes them.

    Parameters
    ----------
    report : StoreReport

    Returns
    -------
    dict
        Times are UTC, to the minute, as in `2024-07-01T12:45`; days are `2024-07-01`.
    """
    asked = report.asked()
    return {
        "store": str(report.store),
        "grid": report.grid,
        "product": report.product,
        "products": list(report.products),
        "years": list(report.years),
        "first": None if asked is None else f"{asked[0]:%FT%R}",
        "last": None if asked is None else f"{asked[1]:%FT%R}",
        "states": report.states(),
        "eras": report.eras(),
        "flags": report.flags(),
        "missing_days": [f"{day}" for day, known in report.calendar().items() if known is None],
        "days": [_day_as_dict(day) for day in report.days],
        "snapshots": [asdict(snapshot) for snapshot in report.snapshots],
        "builds": [asdict(build) for build in report.builds],
        "attribution": report.attribution(),
    }


def _day_as_dict(day: DayReport) -> dict[str, Any]:
    return {
        "day": f"{day.day}",
        "states": day.states(),
        "eras": dict(Counter(day.eras.values())),
        "not_ok": [
            {
                "time": f"{time:%FT%R}",
                "state": slot.state,
                "attempts": slot.attempts,
                "reason": slot.reason,
            }
            for time, slot in day.slots.items()
            if slot.state != "ok"
        ],
        "flagged": [
            {"time": f"{time:%FT%R}", "flags": list(flags)} for time, flags in day.flags.items()
        ],
    }


def _lines(report: StoreReport) -> list[str]:
    sections = (_head(report), _calendar(report), _bad_slots(report), _snapshots(report))
    lines = [line for section in sections if section for line in ("", *section)]
    return [plain(line) for line in lines[1:]]


def _head(report: StoreReport) -> list[str]:
    first_year, last_year = report.years
    (height, width), minutes = report.shape, 24 * 60 // report.slots_per_day
    lines = [
        f"{report.store}: {report.product} on {report.grid}, {first_year} to {last_year}",
        f"  {height} x {width} pixels of {report.pixel_km:g} km, every {minutes} minutes",
    ]
    asked = report.asked()
    if asked is None:
        return [*lines, "  nobody asked for a composite yet: run `minkgen ingest`"]
    states, days = report.states(), len(report.calendar())
    total = sum(states.values())
    share = math.floor(1000 * states["ok"] / total) / 10  # 100 % means all
    period = f"{asked[0]:%FT%R} to {asked[1]:%FT%R}"
    lines += [
        f"  asked for: {total} slots from {period}",
        f"  days with a ledger: {len(report.days)} of {days}",
        f"  states: {_counts(states)}; {share:.1f} % are ok",
    ]
    if states["ok"]:
        flags = {flag: count for flag, count in report.flags().items() if count}
        lines += [
            f"  ok by era: {_counts(report.eras())}",
            f"  flagged by the default rules: {_counts(flags) or 'none'}",
            f"  {report.attribution()}",
        ]
    return lines


def _calendar(report: StoreReport) -> list[str]:
    days = report.calendar()
    if not days:
        return []
    whole = report.slots_per_day
    if len(days) <= _MOST_LINES_OF_DAYS:
        ruler = f"{'':10}  00    06    12    18"
        return [_LEGEND, ruler, *(_day_line(day, known, whole) for day, known in days.items())]
    months: dict[tuple[int, int], dict[int, DayReport | None]] = {}
    for day, known in days.items():
        months.setdefault((day.year, day.month), {})[day.day] = known
    ruler = f"{'':7}  1         11        21        31"
    return [_LEGEND, ruler, *(_month_line(*month, known, whole) for month, known in months.items())]


def _day_line(day: date, known: DayReport | None, whole: int) -> str:
    hours: list[list[str]] = [[] for _ in range(24)]
    for time, slot in known.slots.items() if known is not None else ():
        hours[time.hour].append(slot.state)
    signs = "".join(_sign(states, max(1, whole // 24)) for states in hours)
    return f"{day} |{signs}| {_told(known)}"


def _month_line(year: int, month: int, days: dict[int, DayReport | None], whole: int) -> str:
    known = {number: day for number, day in days.items() if day is not None}
    signs = "".join(
        _sign([slot.state for slot in known[number].slots.values()], whole)
        if number in known
        else " "
        for number in range(1, calendar.monthrange(year, month)[1] + 1)
    )
    return f"{year}-{month:02d} |{signs}|{'':{31 - len(signs)}} {_told(*known.values())}"


def _sign(states: Sequence[str], whole: int) -> str:
    """Return the character of some slots; failed comes first, because a rerun may mend it."""
    if not states:
        return " "
    if "failed" in states:
        return "F"
    if "corrupt" in states:
        return "C"
    count = states.count("ok")
    if count == 0:
        return "."
    return "#" if count == whole else "+"


def _told(*days: DayReport | None) -> str:
    counts: Counter[str] = Counter()
    for day in days:
        counts.update(day.states() if day is not None else {})
    return _counts({state: count for state, count in counts.items() if count}) or "nobody asked"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _bad_slots(report: StoreReport) -> list[str]:
    bad = [
        f"  {time:%FT%R} {slot.state}: {slot.reason}"
        for day in report.days
        for time, slot in day.slots.items()
        if slot.state in ("failed", "corrupt")
    ]
    if not bad:
        return []
    lines = [f"failed or corrupt slots: {len(bad)}", *bad[:_SHOWN]]
    return lines if len(bad) <= _SHOWN else [*lines, f"  and {len(bad) - _SHOWN} more; see --json"]


def _snapshots(report: StoreReport) -> list[str]:
    if not report.snapshots and not report.builds:
        return ["no snapshot: run `minkgen compute`"]
    lines = ["snapshots"]
    for snapshot in report.snapshots:
        current = " (current)" if snapshot.current else ""
        rows = ", ".join(f"{split} {count}" for split, count in snapshot.rows.items())
        size = _size(snapshot.size_bytes)
        thresholds = f"{snapshot.thresholds} thresholds"
        lines.append(f"  {snapshot.name}{current}: samples {rows}; {thresholds}; {size}")
    for build in report.builds:
        written = f"{build.parts_written} of {build.parts} parts written"
        lines.append(f"  {build.name} (not published): {written}")
    return lines


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
