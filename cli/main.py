"""The `minkgen` command: verbs are loaded when they are called, errors end here."""

from __future__ import annotations

import difflib
import importlib
import json
import platform
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

import click

from minkgen.cli.interruption import Interruption
from minkgen.errors import InputError, MinkgenError, RecipeError, TasksFailed, TrainingStopped

__all__ = ["cli", "main"]

_VERBS = (
    "ingest",
    "compute",
    "rebuild",
    "inspect",
    "show",
    "report",
    "verify",
    "store",
    "train",
    "evaluate",
    "demo",
    "bench",
    "doctor",
    "completion",
)
_LIBRARIES = (
    "numpy",
    "numba",
    "zarr",
    "numcodecs",
    "xarray",
    "h5py",
    "dask",
    "distributed",
    "dask-jobqueue",
    "gudhi",
    "scikit-image",
    "torch",
)
DONE, FAILED, USAGE, PARTLY = 0, 1, 2, 3


class _Verbs(click.Group):
    """A group whose commands live in modules of their own names."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        command: click.Command = importlib.import_module(f"minkgen.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        nearest = difflib.get_close_matches(args[0], _VERBS, n=1)
        if nearest and args[0] not in _VERBS and not ctx.resilient_parsing:
            ctx.fail(f"No such command {args[0]!r}; did you mean {nearest[0]!r}?")
        return super().resolve_command(ctx, args)


def _show_versions(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print what decides numbers: minkgen first, as a line of its own."""
    if not wanted or ctx.resilient_parsing:
        return
    click.echo(f"minkgen {version('minkgen')}")
    click.echo(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    for name in _LIBRARIES:
        try:
            click.echo(f"{name} {version(name)}")
        except PackageNotFoundError:
            click.echo(f"{name} not installed")
    ctx.exit()


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_versions,
    help="Show the versions of minkgen and of the libraries it stands on.",
)
def cli() -> None:
    """Exact geometric training targets from weather radar.

    Pulls OPERA rain composites into a store, cuts tiles, computes their γ-matrices (area,
    perimeter, components, holes over thresholds), and trains and judges surrogates of γ.

    \b
    Begin with:
      minkgen demo

    \b
    Exit status: 0 done, 1 failed, 2 usage or recipe error,
    3 finished, but slots or parts newly failed in this run,
    130, 138 or 143 interrupted (Ctrl-C, SIGUSR1, SIGTERM).

    \b
    Environment: MINKGEN_STORE, MINKGEN_CLUSTER, MINKGEN_SITE and MINKGEN_WORKERS
    stand for the options of these names, which replace them.
    """


def main() -> None:
    """Run the command line; whatever minkgen raises becomes a message and an exit status."""
    interruption = Interruption()
    warnings.formatwarning = _warning_line
    try:
        status = cli.main(prog_name="minkgen", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = USAGE if isinstance(error, click.UsageError) else error.exit_code
        _end(code, kind=type(error).__name__, what=error.format_message())
    except (click.Abort, KeyboardInterrupt):
        what = "interrupted; run the same command again: finished parts are kept"
        click.echo(what, err=True)
        _end(interruption.status, kind="Interrupted", what=what)
    except MinkgenError as error:
        click.echo(f"Error: {error}", err=True)
        _end(
            _status_of(error),
            kind=type(error).__name__,
            what=error.what,
            where=error.where,
            got=error.got,
            expected=error.expected,
            next=error.hint,
        )
    sys.exit(status if isinstance(status, int) else DONE)


def _warning_line(message: Warning | str, *_: object, **__: object) -> str:
    """Return a warning as its words alone: where in the code it arose helps no user."""
    return f"warning: {message}\n"


def _end(status: int, **fault: object) -> NoReturn:
    """End a command that did not come to its end; with `--json` stdout has one object, too."""
    # The parser may not have come as far as the option.
    if "--json" in sys.argv[1:]:
        keys = ("kind", "what", "where", "got", "expected", "next")
        said = {key: None if fault.get(key) is None else str(fault[key]) for key in keys}
        click.echo(json.dumps({"status": status, "error": said}))
    sys.exit(status)


def _status_of(error: MinkgenError) -> int:
    if isinstance(error, RecipeError | InputError):
        return USAGE
    if isinstance(error, TrainingStopped):
        return 128 + error.number
    return PARTLY if isinstance(error, TasksFailed) else FAILED
