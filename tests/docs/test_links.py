"""Links and pictures of the documentation that point into the project are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.pages import ROOT, blocks, name_of, pages

_LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)(?:\s+\"[^\"]*\")?\)")
_HEADING = re.compile(r"^#{1,6}\s+(?P<title>.*?)\s*$")
_ELSEWHERE = ("http://", "https://", "mailto:")


def _prose(page: Path, text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines outside of blocks."""
    inside = {
        number
        for block in blocks(page, text)
        for number in range(block.line - 1, block.line + block.code.count("\n") + 1)
    }
    for number, line in enumerate(text.splitlines(), start=1):
        if number not in inside:
            yield number, line


def anchors(page: Path) -> set[str]:
    """Return the names of a page's headings, as GitHub and MyST make them."""
    names: set[str] = set()
    for _, line in _prose(page, page.read_text(encoding="utf-8")):
        heading = _HEADING.match(line)
        if heading is not None:
            kept = re.sub(r"[^\w\- ]", "", heading["title"].lower())
            names.add(kept.replace(" ", "-"))
    return names


def broken_links(page: Path, text: str | None = None) -> list[str]:
    """Return the links of a page that lead nowhere, each with its place."""
    text = page.read_text(encoding="utf-8") if text is None else text
    broken = []
    for number, line in _prose(page, text):
        for target in (match["target"] for match in _LINK.finditer(line)):
            if target.startswith(_ELSEWHERE):
                continue
            path, _, anchor = target.partition("#")
            file = page if not path else (page.parent / unquote(path)).resolve()
            missing = not file.exists() or (
                anchor and file.suffix == ".md" and anchor not in anchors(file)
            )
            if missing:
                broken.append(f"{name_of(page)}:{number}: {target}")
    return broken


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_relative_link_and_picture_is_there(page: Path) -> None:
    assert broken_links(page) == []


def test_broken_links_are_found_with_their_place() -> None:
    text = "[a](docs/none.md) [b](docs/kernel.md#nowhere)\n![c](docs/images/none.png)\n"
    assert broken_links(ROOT / "README.md", text) == [
        "README.md:1: docs/none.md",
        "README.md:1: docs/kernel.md#nowhere",
        "README.md:2: docs/images/none.png",
    ]
    assert broken_links(ROOT / "README.md", "[d](docs/kernel.md) [e](https://a.org/x)") == []
