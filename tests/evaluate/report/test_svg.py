"""Elements of drawings: escaped, well formed, and with numbers as a reader wants them."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from minkgen.evaluate.report.svg import drawing, element, number, readable


@given(text=st.text())
def test_every_text_survives_as_text(text: str) -> None:
    written = drawing("a", text, text, (10, 10), element("text", text, class_=text))
    parsed = ElementTree.fromstring(written)  # noqa: S314 - our own
    assert parsed[0].text == parsed[1].text or not text
    shown = "".join(parsed[2].itertext())
    # Line ends are one in XML, and what XML cannot hold is replaced.
    assert len(shown) == len(text.replace("\r\n", "\n"))
    written.encode("utf-8")


def test_markup_is_escaped_once() -> None:
    assert readable("<b>&'\"") == Markup("&lt;b&gt;&amp;&#39;&#34;")
    assert element("g", element("text", "a & b")) == Markup("<g><text>a &amp; b</text></g>")
    assert readable("a\x00b\x1bc\ud800") == Markup("a\ufffdb\ufffdc\ufffd")


def test_attributes_that_are_none_are_left_out() -> None:
    assert element("g", data_split=None, class_="a") == Markup('<g class="a"/>')


@pytest.mark.parametrize(
    ("value", "digits", "written"),
    [
        (0, 3, "0"),
        (0.0, 3, "0"),
        (9999, 3, "9999"),
        (-12345, 3, "−12\u202f345"),
        (np.int64(1234567), 3, "1\u202f234\u202f567"),
        (12345.678, 3, "12\u202f346"),
        (0.00012345, 3, "0.000123"),
        (0.000012345, 3, "1.23·10⁻⁵"),
        (-2.5e9, 2, "−2.5·10⁹"),
        (0.5, 3, "0.500"),
        (95.0, 8, "95.0"),
        (4.995698, 8, "4.995698"),
        (100.0, 3, "100"),
        (2100.0, 8, "2100"),
        (float("nan"), 3, "–"),
        (float("-inf"), 3, "−∞"),
        (np.float32(0.25), 3, "0.250"),
    ],
)
def test_numbers(value: float, digits: int, written: str) -> None:
    assert number(value, digits) == written
