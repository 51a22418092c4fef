"""The pages of the documentation, cut into their fenced blocks and the marks before them.

Above a block one may write `<!-- not run: REASON -->`, or `<!-- run: slow -->`; CONTRIBUTING.md
says what is done with which language.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
EXECUTED = ("python", "sh", "yaml", "json")
LANGUAGES = (*EXECUTED, "text")

_FENCE = re.compile(r"^(?P<indent>\s*)(?P<marks>`{3,}|~{3,}|:{3,})\s*(?P<language>\S*).*$")
_MARK = re.compile(r"^\s*<!--\s*(?P<kind>not run|run)\s*:\s*(?P<text>.*?)\s*-->\s*$")
_LEAST_WORDS_OF_A_REASON = 3


@dataclass(frozen=True)
class Block:
    """A fenced block: where its first line of code is, and whether it is run."""

    page: Path
    line: int
    language: str
    code: str
    slow: bool = False
    reason: str | None = None
    fault: str | None = None

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def runs(self) -> bool:
        return self.language in EXECUTED and self.reason is None


def pages() -> list[Path]:
    """Return every page whose blocks are read."""
    patterns = ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "deploy/**/README.md")
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, text: str | None = None) -> list[Block]:
    """Return the blocks of a page in order; directives of Sphinx are none."""
    lines = (page.read_text(encoding="utf-8") if text is None else text).splitlines()
    return list(_blocks(page, lines))


def _blocks(page: Path, lines: list[str]) -> Iterator[Block]:
    number = 0
    while number < len(lines):
        fence = _FENCE.match(lines[number])
        if fence is None:
            number += 1
            continue
        start = number + 1
        end = start
        while end < len(lines) and lines[end].strip() != fence["marks"]:
            end += 1
        language = fence["language"]
        if not language.startswith("{"):
            above = lines[number - 1] if number else ""
            width = len(fence["indent"])
            code = "\n".join(line[width:] for line in lines[start:end]) + "\n"
            yield _marked(Block(page, start + 1, language, code), above)
        number = end + 1


def _marked(block: Block, above: str) -> Block:
    mark = _MARK.match(above)
    if mark is None:
        return block
    slow, reason, fault = False, None, None
    if mark["kind"] == "run":
        slow = mark["text"] == "slow"
        fault = None if slow else f"a block can be run `slow`, not {mark['text']!r}"
    else:
        reason = mark["text"]
        if len(reason.split()) < _LEAST_WORDS_OF_A_REASON:
            fault = f"{reason!r} is no reason: say in a few words why it is not run"
    if block.language not in EXECUTED:
        fault = f"a block of {block.language or 'no language'} is never run: it needs no mark"
    return Block(block.page, block.line, block.language, block.code, slow, reason, fault)


def faults(page: Path, text: str | None = None) -> list[str]:
    """Return what is wrong with languages and marks of a page, each with its place."""
    text = page.read_text(encoding="utf-8") if text is None else text
    found = blocks(page, text)
    wrong = [f"{block.place}: {block.fault}" for block in found if block.fault]
    for block in found:
        if block.language not in LANGUAGES:
            said = f"the language {block.language!r}" if block.language else "no language"
            wrong.append(f"{block.place}: {said}; write one of {', '.join(LANGUAGES)}")
    used = {block.line - 2 for block in found}
    inside = {
        line for block in found for line in range(block.line, block.line + block.code.count("\n"))
    }
    for line, content in enumerate(text.splitlines(), start=1):
        if _MARK.match(content) and line not in used and line not in inside:
            wrong.append(f"{name_of(page)}:{line}: a mark, but no block on the next line")
    return wrong
