"""`minkgen completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from minkgen.cli.main import DONE, cli

_SHELLS = ("bash", "zsh", "fish")


@click.command(name="completion", short_help="Let the shell complete commands and options.")
@click.argument("shell", type=click.Choice(_SHELLS))
def command(shell: str) -> int:
    """Print the script that lets a shell complete minkgen's commands and options.

    \b
    Examples, for ~/.bashrc, ~/.zshrc and fish:
      eval "$(minkgen completion bash)"
      eval "$(minkgen completion zsh)"
      minkgen completion fish > ~/.config/fish/completions/minkgen.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"this version of click has no completion for {shell}")
    click.echo(kind(cli, {}, "minkgen", "_MINKGEN_COMPLETE").source())
    return DONE
