"""The page as text: escaped, of one file, and with its own policy."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from importlib.resources import files

import numpy as np
import pytest

from minkgen.evaluate.report.blocks import Report, Row, Section, Table, Text
from minkgen.evaluate.report.calendar import ERAS, STATES
from minkgen.evaluate.report.charts import DASHES, GROUPS
from minkgen.evaluate.report.page import render
from tests.evaluate.report import made_up


def of_table(*rows: Row, columns: int = 1) -> str:
    block = Table("T", tuple(f"column {k}" for k in range(columns)), rows)
    page = render(Report("R", (), (Section("s", "S", (block,)),), "A"))
    return page[page.index("<tbody>") : page.index("</tbody>")]


def test_nothing_is_loaded() -> None:
    page = render(made_up.small())
    outside = re.sub(r"/\*\n.*?\*/", "", page, flags=re.DOTALL)  # the library's licence
    addresses = re.findall(r"https?://[^\s\"'<>)]+", outside)
    assert set(addresses) == {"http://www.w3.org/2000/svg"}
    loaded = re.findall(r'\b(?:src|href)="([^"]*)"', outside)
    assert loaded
    assert all(address.startswith(("#", "data:")) for address in loaded)
    assert "@import" not in page
    assert "url(" not in page


def test_the_policy_names_the_one_script() -> None:
    page = render(made_up.small())
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = html.unescape(policy).split("; ")
    assert f"script-src 'sha256-{digest}'" in rules
    assert "default-src 'none'" in rules
    assert page.index("Content-Security-Policy") < page.index("<style>")
    assert "free and unencumbered software" in script


@pytest.mark.parametrize("text", ["<b>", '"><img src=x onerror=alert(1)>', "</script>", "&amp;"])
def test_every_text_is_escaped_once(text: str) -> None:
    page = render(made_up.hostile(text))
    plain = render(made_up.hostile("plain"))
    for tag in ("<b>", "<img", "</script"):
        assert page.count(tag) == plain.count(tag)
    assert f"<h1>{html.escape(text).replace('&quot;', '&#34;').replace('&#x27;', '&#39;')}" in page


def test_anchors_are_unique_and_plain() -> None:
    names = ("γ curves", "γ curves", "theme", "", "A b")
    sections = tuple(Section(name, name, (Text("t"),)) for name in names)
    page = render(Report("R", (), sections, "A"))
    anchors = re.findall(r'<h2 id="([^"]*)"', page)
    assert anchors == ["curves", "curves-again-2", "theme-again-2", "section", "a-b"]
    everything = re.findall(r' id="([^"]*)"', page)
    assert len(everything) == len(set(everything))
    small = re.findall(r' id="([^"]*)"', render(made_up.small()))
    assert len(small) == len(set(small))


def test_cells_are_shown_for_readers_and_sorted_by_value() -> None:
    rows = of_table(
        Row((1234567, "a")),
        Row((np.float64(0.25), None)),
        Row((None, "b")),
        Row((float("nan"), "")),
        Row((float("-inf"), "c")),
        Row((np.int64(3), "d"), "test"),
        columns=2,
    )
    assert re.findall(r'<td class="number" data-sort="([^"]*)">([^<]*)</td>', rows) == [
        ("1234567", "1\u202f234\u202f567"),
        ("0.25", "0.250"),
        ("", "–"),
        ("", "–"),
        ("-Infinity", "−∞"),
        ("3", "3"),
    ]
    assert re.findall(r"<td(?! class)([^>]*)>([^<]*)</td>", rows) == [
        ("", "a"),
        (' data-sort=""', "–"),
        ("", "b"),
        ("", ""),
        ("", "c"),
        ("", "d"),
    ]
    assert rows.count("<tr data-split=") == 1
    assert '<tr data-split="test">' in rows


def test_the_choice_of_splits_is_that_of_the_report() -> None:
    assert re.findall(r'name="split" value="(\w*)"', render(made_up.small())) == [
        "",
        "train",
        "validation",
        "test",
    ]
    nothing = render(Report("R", (), (), "A"))
    assert 'name="split"' not in nothing
    assert "<h1>R</h1>" in nothing


def test_the_style_knows_every_look_that_is_drawn() -> None:
    style = files("minkgen.evaluate.report").joinpath("page.css").read_text(encoding="utf-8")
    looks = {"group": GROUPS, "dash": DASHES, "state": STATES, "era": ERAS}
    for name, count in looks.items():
        known = {int(k) for k in re.findall(rf"\.{name}-(\d+)", style)}
        assert known | {0} == set(range(count)), name


def test_the_same_report_gives_the_same_page() -> None:
    assert render(made_up.small()) == render(made_up.small())
