"""Sphinx: `make docs` builds the pages into build/docs; a warning is an error."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "sphinx_extensions"))

project = "minkgen"
copyright = "the minkgen maintainers"  # noqa: A001 - the name that Sphinx wants
version = release = version_of("minkgen")
extensions = [
    "json_outputs",
    "myst_parser",
    "numpydoc",
    "recipe_keys",
    "sphinx.ext.autodoc",
    "sphinx_click",
]
exclude_patterns = ["images", "pictures"]
html_theme = "furo"
html_title = f"minkgen {version}"
# Pages are read from file shares too: nothing is fetched while they are.
html_copy_source = False
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
nitpicky = False
