"""One text, one digest, and one list of differences for nested plain values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["canonical_json", "differences", "digest", "leaves"]


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no white space, no NaN.

    Examples
    --------
    >>> canonical_json({"b": 1, "a": [0.1]})
    '{"a":[0.1],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of a value, in hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return what differs between nested sections, as one text for each, or None.

    Parameters
    ----------
    found, wanted : mapping
        Nested sections of plain values; a tuple equals a list.

    Returns
    -------
    tuple of str, or None
        `path: value` of all that differs, in `found` and in `wanted`.

    Examples
    --------
    >>> differences({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2})
    ('a.b: 1', 'a.b: 3')
    """
    there, here = leaves(found), leaves(wanted)
    paths = sorted(path for path in there | here if there.get(path) != here.get(path))
    if not paths:
        return None
    texts = ["; ".join(f"{path}: {side.get(path)}" for path in paths) for side in (there, here)]
    return texts[0], texts[1]


def leaves(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of nested sections by their paths; a tuple becomes a list.

    Examples
    --------
    >>> leaves({"a": {"b": (1, 2)}, "c": 2})
    {'a.b': [1, 2], 'c': 2}
    """
    found: dict[str, Any] = {}
    for key, value in section.items():
        if isinstance(value, Mapping):
            found |= leaves(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return found
