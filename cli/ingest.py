"""`minkgen ingest`: composites into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from minkgen.cli.main import DONE, PARTLY
from minkgen.cli.options import output_options, recipe_command
from minkgen.cli.render import show_progress, show_result

if TYPE_CHECKING:
    from minkgen.recipe import Recipe

_SHOWN = 10


@click.command(name="ingest", short_help="Bring composites into the store.")
@recipe_command("source", "store", "site", "workers")
@output_options
def command(recipe: Recipe, *, as_json: bool, quiet: bool) -> int:
    """Bring the composites of RECIPE's period into its store.

    RECIPE is a YAML file, or the name of a shipped recipe. Composites that are in the store already
    are left alone; all others are looked for again. A file that cannot be used is recorded as
    corrupt with the reason, the run goes on, and the exit status is 3.

    It works on the node where it is started, whatever cluster RECIPE names.

    \b
    Example:
      minkgen ingest evening.yaml --source archive --store store
    """
    from minkgen.workflows.ingest import ingest
    from minkgen.workflows.transfer import transfer_note

    where = transfer_note(recipe)
    if where is not None and not quiet:
        click.echo(where, err=True)
    with show_progress(quiet=quiet) as progress:
        result = ingest(recipe, progress)

    def text() -> str:
        counts = ", ".join(f"{count} {state}" for state, count in result.states.items())
        lines = [f"{recipe.store}: {counts}; {result.newly_ok} new in this run"]
        lines += [f"  {line}" for line in result.newly_bad[:_SHOWN]]
        if len(result.newly_bad) > _SHOWN:
            lines.append(f"  and {len(result.newly_bad) - _SHOWN} more; see ledger/ in the store")
        return "\n".join(lines)

    summary = {
        "store": str(recipe.store),
        "states": result.states,
        "newly_ok": result.newly_ok,
        "newly_bad": list(result.newly_bad),
    }
    show_result(summary, text, as_json=as_json)
    return PARTLY if result.newly_bad else DONE
