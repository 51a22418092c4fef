"""`minkgen doctor`: whether this host, and a site, are fit for minkgen."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path

import click

from minkgen.cli.main import DONE, FAILED
from minkgen.cli.render import show_result


@click.command(name="doctor", short_help="Look whether a site is fit for minkgen.")
@click.option(
    "--site",
    metavar="NAME|FILE",
    help="A site profile, shipped or your own: look at its SLURM, network and folders, too.",
)
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    default=Path(),
    metavar="DIR",
    help="The store, or where one shall be; by default the working directory.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def command(site: str | None, *, store: Path, as_json: bool) -> int:
    """Look at this host and at a site, check by check, and say what to do next.

    Run it where you start minkgen, and once within a job. A warning means that something works
    less well, or not here. The exit status is 1 if a check failed.

    \b
    Examples:
      minkgen doctor --store /project/rain/store
      minkgen doctor --site mine.yaml --json | jq .checks
    """
    from minkgen.site_file import load_site
    from minkgen.workflows.doctor import examine

    checks = list(examine(None if site is None else load_site(site), store))
    counts = Counter(check.state for check in checks)

    def text() -> str:
        lines = []
        for check in checks:
            lines.append(f"{check.state:8} {check.name}: {check.found}")
            if check.hint:
                lines.append(f"{'':8} next: {check.hint}")
        found = ", ".join(f"{counts[state]} {state}" for state in ("ok", "warning", "failed"))
        return "\n".join((*lines, found))

    result = {"checks": [asdict(check) for check in checks], "failed": counts["failed"]}
    show_result(result, text, as_json=as_json)
    return FAILED if counts["failed"] else DONE
