"""The `minkgen ...` command lines of pages, and what is wrong with them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import click
from pydantic import BaseModel

from minkgen.cli.main import cli
from minkgen.recipe import Recipe
from tests.docs.pages import blocks, name_of

# Words of bash that may stand before a command, and signs that end it.
_BEFORE = re.compile(r"^(?:(?:export |exec |time |!|if |then |do )|\w+=\S*\s+)*(?=minkgen(?:\s|$))")
_ENDS = frozenset({"|", "||", "&&", ";", "&", ">", ">>", "2>", "<", "2>&1", "#", ")"})
_INLINE = re.compile(r"`(minkgen [^`]+)`")


class CommandLine(NamedTuple):
    """A command line as a page shows it, without `minkgen`."""

    place: str
    words: tuple[str, ...]


def command_lines(page: Path, text: str | None = None) -> Iterator[CommandLine]:
    """Yield the command lines of all blocks of a page, run or not, and those within sentences."""
    text = page.read_text(encoding="utf-8") if text is None else text
    found = [block for block in blocks(page, text) if block.language in ("sh", "text")]
    within = {
        number
        for block in blocks(page, text)
        for number in range(block.line - 1, block.line + block.code.count("\n") + 1)
    }
    for block in found:
        joined, number = "", block.line
        for offset, line in enumerate(block.code.splitlines()):
            number = number if joined else block.line + offset
            if line.endswith("\\"):
                joined += line[:-1] + " "
                continue
            yield from _parsed(f"{name_of(page)}:{number}", (joined + line).strip())
            joined = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if number not in within:
            for shown in _INLINE.findall(line):
                yield from _parsed(f"{name_of(page)}:{number}", shown)


def _parsed(place: str, line: str) -> Iterator[CommandLine]:
    for piece in re.split(r"&&|;|\$\(|\|\|", line):
        stripped = piece.strip().lstrip("(").strip()
        before = _BEFORE.match(stripped)
        if before is None:
            continue
        lexer = shlex.shlex(stripped[before.end() :], posix=True, punctuation_chars="|>&;)<")
        lexer.wordchars += "~@:,[]{}$%^*"
        lexer.commenters = "#"
        words: list[str] = []
        for word in lexer:
            if word in _ENDS:
                break
            words.append(word)
        yield CommandLine(place, tuple(words[1:]))


def fault(words: tuple[str, ...]) -> str | None:
    """Return what the command line's own parser would refuse, or a `--set` of an unknown key."""
    command: click.Command = cli
    # With its settings: a command keeps the help option that it was first asked for.
    context = click.Context(cli, info_name="minkgen", **cli.context_settings)
    rest = list(words)
    while isinstance(command, click.Group):
        if not rest or rest[0].startswith(("-", "...", "…")) or rest[0].isupper():
            break
        name = rest.pop(0)
        inner = command.get_command(context, name)
        if inner is None:
            return f"there is no command {name!r}"
        command, context = inner, click.Context(inner, context, name)
    try:
        given, _, _ = command.make_parser(context).parse_args(rest)
    except click.UsageError as error:
        return error.format_message()
    for setting in given.get("settings") or ():
        key = setting.partition("=")[0]
        if "=" not in setting or not is_key(key):
            return f"--set {setting}: a recipe has no key {key!r}"
    return None


def is_key(path: str) -> bool:
    """Return whether a recipe has a key, as in `emulator.epochs`."""
    models: list[type[BaseModel]] = [Recipe]
    for part in path.split("."):
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        if not fields:
            return False
        models = [inner for field in fields for inner in _models(field.annotation)]
    return True


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
