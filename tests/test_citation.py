"""CITATION.cff has what its format (1.2.0) asks for, and is of this version."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent


def faults(citation: dict[str, Any]) -> list[str]:
    """Return which required keys are missing, and which values cannot be right."""
    wrong = [
        f"no {key}"
        for key in ("cff-version", "message", "title", "authors")
        if not citation.get(key)
    ]
    works = [("this work", citation), *((f"{w}", w) for w in citation.get("references", []))]
    for name, work in works:
        wrong += [f"{name}: no {key}" for key in ("title", "type", "authors") if not work.get(key)]
        for author in work.get("authors", []):
            if not (author.get("name") or author.get("family-names")):
                wrong.append(f"{name}: an author without a name")
    if citation.get("cff-version") != "1.2.0":
        wrong.append("another cff-version than 1.2.0")
    if citation.get("type") not in ("software", "dataset"):
        wrong.append("it is software")
    return wrong


def test_the_citation_is_whole() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert faults(citation) == []
    assert citation["version"] == version("minkgen")
    assert citation["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    (paper,) = citation["references"]
    assert paper["url"] in (ROOT / "README.md").read_text(encoding="utf-8")


def test_what_is_missing_is_named() -> None:
    assert faults(
        {"cff-version": "1.2.0", "message": "cite", "title": "t", "type": "software"}
    ) == [
        "no authors",
        "this work: no authors",
    ]
