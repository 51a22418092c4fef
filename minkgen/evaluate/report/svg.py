"""SVG in a page of HTML: elements with escaped texts, and numbers as a reader wants them."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from markupsafe import Markup, escape

__all__ = ["THIN_SPACE", "drawing", "element", "grouped", "number", "readable", "scientific"]

# Between groups of three digits: neither a comma nor a point can be misread as the other.
THIN_SPACE = "\u202f"
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
# XML allows no other control characters, and lone surrogates cannot be encoded.
_UNREADABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def readable(text: object) -> Markup:
    """Return a text with everything escaped that HTML or XML would take for something else."""
    if isinstance(text, Markup):
        return text
    return escape(_UNREADABLE.sub("\ufffd", str(text)))


def element(name: str, *children: object, **attributes: object) -> Markup:
    """Return an SVG element; a trailing or inner `_` of an attribute stands for none or for `-`.

    Attributes that are None are left out, and fractions are rounded to hundredths of a pixel.

    Examples
    --------
    >>> str(element("text", "a < b", x=1.23456, class_="tick", text_anchor="end"))
    '<text x="1.23" class="tick" text-anchor="end">a &lt; b</text>'
    """
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is None:
            continue
        shown = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
        parts.append(f' {key.rstrip("_").replace("_", "-")}="{readable(shown)}"')
    inside = "".join(readable(child) for child in children)
    parts.append(f">{inside}</{name}>" if inside else "/>")
    return Markup("".join(parts))  # noqa: S704 - every part went through `readable`


def drawing(
    anchor: str, title: str, description: str, size: tuple[int, int], *children: Markup
) -> Markup:
    """Return a whole SVG drawing that says in words what it shows.

    Parameters
    ----------
    anchor : str
        The id of the drawing, unique in the page.
    title, description : str
        For readers who cannot see it.
    size : tuple of int
        Width and height, in the drawing's own units.
    *children : Markup
    """
    return element(
        "svg",
        element("title", title, id=f"{anchor}-title"),
        element("desc", description, id=f"{anchor}-text"),
        *children,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {size[0]} {size[1]}",
        width=size[0],
        height=size[1],
        id=anchor,
        role="img",
        aria_labelledby=f"{anchor}-title {anchor}-text",
    )


def grouped(text: str) -> str:
    """Return a decimal number with thin spaces from five digits before its point on."""
    whole, point, rest = text.partition(".")
    if len(whole.lstrip("-")) > 4:
        whole = f"{int(whole):,}".replace(",", THIN_SPACE)
    return (whole + point + rest).replace("-", "−")


def number(value: float | np.integer[Any], digits: int = 3) -> str:
    """Return a number for a reader: whole ones in full, others with so many significant digits.

    Digits before the point are never rounded away below a million, and zeros at the end are left
    out from the fourth digit on.

    Examples
    --------
    >>> number(1234567).replace(THIN_SPACE, " "), number(0.5), number(1234.56), number(1.5e-7)
    ('1 234 567', '0.500', '1235', '1.50·10⁻⁷')
    >>> number(3.895, 8), number(95.0, 8)
    ('3.895', '95.0')
    """
    if isinstance(value, int | np.integer):
        return grouped(str(int(value)))
    value = float(value)
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e6:
        exponent = math.floor(math.log10(abs(value)))
        return grouped(_shortened(f"{value:.{max(0, digits - 1 - exponent)}f}", 2 - exponent))
    return scientific(value, digits)


def _shortened(text: str, decimals: int) -> str:
    """Return a decimal number without zeros at its end, but with at least so many decimals."""
    whole, point, rest = text.partition(".")
    kept = max(len(rest.rstrip("0")), min(decimals, len(rest)))
    return whole + point + rest[:kept] if kept > 0 else whole


def scientific(value: float, digits: int) -> str:
    """Return a number with so many significant digits as a multiple of a power of ten."""
    mantissa, exponent = f"{value:.{max(0, digits - 1)}e}".split("e")
    power = str(int(exponent)).translate(_SUPERSCRIPTS)
    return f"{mantissa.replace('-', '−')}·10{power}"
