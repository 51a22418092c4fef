"""Options that commands share; each that decides a number is a shorthand of `--set`."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from minkgen.recipe import Recipe

__all__ = ["json_option", "output_options", "recipe_command"]

# In the order in which they are set: a cluster replaces the section that its site then refines.
_SHORTHANDS = {
    "store": "store",
    "source": "source",
    "cluster": "cluster",
    "site": "cluster.site",
    "workers": "cluster.workers",
    "arch": "emulator.architecture",
    "model": "superres.model",
    "minkowski": "superres.minkowski",
}
_NETWORK_SOURCES = ("archive", "api")
_CLUSTERS = ("local", "slurm")


def _read(path: str, settings: tuple[str, ...], given: dict[str, Any]) -> Recipe:
    from minkgen.recipe_file import load_recipe

    if given.get("source") is not None:
        given["source"] = _source(given["source"])
    if given.get("cluster") is not None:
        given["cluster"] = _cluster(given["cluster"])
    shorthands = [
        f"{key}={json.dumps(given[name])}"
        for name, key in _SHORTHANDS.items()
        if given.get(name) is not None
    ]
    # Settings come last: they may refine what a shorthand replaces as a whole.
    return load_recipe(path, [*shorthands, *settings])


def _source(value: str) -> dict[str, str]:
    """Return the section that `--source` stands for."""
    if value in _NETWORK_SOURCES:
        return {"kind": value}
    if value.startswith(("http://", "https://")):
        return {"kind": "archive", "endpoint": value}
    return {"kind": "folder", "path": value}


def _cluster(value: str) -> dict[str, str]:
    """Return the section that `--cluster` stands for."""
    return {"kind": value} if value in _CLUSTERS else {"kind": "address", "address": value}


def recipe_command(*shorthands: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the argument RECIPE, `--set`, and some of the shorthands.

    The command's function receives the checked recipe as its first argument.
    """
    options = {
        "store": click.option("--store", metavar="DIR", help="Short for --set store=DIR."),
        "source": click.option(
            "--source",
            metavar="DIR|archive|api|URL",
            help="Short for --set source=...: a folder in the archive's layout (./api for one of "
            "that name), the public archive, the Open Radar Data API for the last 24 hours, or an "
            "S3-style endpoint with a copy of the archive.",
        ),
        "cluster": click.option(
            "--cluster",
            metavar="local|slurm|tls://HOST:PORT",
            help="Short for --set cluster=...: processes of this machine, SLURM jobs (needs --site "
            "and --workers), or a Dask scheduler that runs already. Replaces the recipe's section.",
        ),
        "site": click.option(
            "--site",
            metavar="NAME|FILE",
            help="Short for --set cluster.site=...: a site profile, shipped or your own.",
        ),
        "workers": click.option(
            "--workers",
            type=click.IntRange(min=1),
            metavar="N",
            help="Short for --set cluster.workers=N.",
        ),
        "arch": click.option(
            "--arch",
            metavar="lip-cnn-constrained|lip-cnn|cnn-constrained|cnn",
            help="Short for --set emulator.architecture=...: spectral norms or none, heads that "
            "obey geometry or free ones.",
        ),
        "model": click.option(
            "--model",
            metavar="unet|ddpm|flow",
            help="Short for --set superres.model=...: one mean field, denoising diffusion, or "
            "rectified flow on the mean of the unet.",
        ),
        "minkowski": click.option(
            "--minkowski",
            metavar="none|exact|analytical|emulator",
            help="Short for --set superres.minkowski=...: the surrogate of the Minkowski image "
            "loss.",
        ),
    }

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def command(recipe: str, settings: tuple[str, ...], **arguments: Any) -> Any:
            given = {name: arguments.pop(name) for name in shorthands}
            return function(_read(recipe, settings, given), **arguments)

        decorated: Callable[..., Any] = command
        for name in reversed(shorthands):
            decorated = options[name](decorated)
        decorated = click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="KEY=VALUE",
            help="Set a key of the recipe, for example --set tiles.min_coverage=0.9.",
        )(decorated)
        return click.argument("recipe")(decorated)

    return decorate


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--json`."""
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        help="Print one JSON object on stdout; text for people goes to stderr.",
    )(function)


def output_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--json` and `--quiet`."""
    quiet = click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
    return quiet(json_option(function))
