"""Every copy of docs/blind-spots.md has the γ of the truth, and the page has the script's table."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_has_the_table_of_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "pictures"))
    monkeypatch.syspath_prepend(str(DOCS))
    script = runpy.run_path(str(DOCS / "pictures" / "blind_spots.py"))
    begin, end = script["MARKS"]
    page = (DOCS / "blind-spots.md").read_text(encoding="utf-8")
    # The script fails where γ tells a copy from the truth.
    assert page.partition(begin)[2].partition(end)[0] == script["passage"]()
