"""The directive `json-outputs`: what every command prints with `--json`, as tables.

It reads the models of `minkgen.cli.outputs`, which the tests hold against what is printed.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

from docutils import nodes
from docutils.statemachine import StringList
from pydantic import BaseModel
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from minkgen.cli.outputs import OUTPUTS, Failure


class JsonOutputs(SphinxDirective):
    """Write a section for every command, and one for what is printed on errors."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        commands: dict[type[BaseModel], list[str]] = {}
        for command, model in OUTPUTS.items():
            commands.setdefault(model, []).append(f"`minkgen {command}`")
        lines = ["## On errors", "", *_tables("", Failure)]
        for model, names in commands.items():
            lines += [f"## {', '.join(names)}", "", *_tables("", model)]
        container = nodes.section()
        container.document = self.state.document
        self.state.nested_parse(StringList(lines, "outputs"), 0, container, match_titles=True)
        return container.children


def _tables(path: str, model: type[BaseModel]) -> Iterator[str]:
    """Yield the table of an object, then those of the objects within."""
    if path:
        yield f"`{path}`: {_summary(model)}"
        yield ""
    yield "| key | type | meaning |"
    yield "| --- | --- | --- |"
    inner: list[tuple[str, type[BaseModel]]] = []
    for name, info in model.model_fields.items():
        kind = _type_name(info.annotation)
        yield f"| `{name}` | {kind} | {info.description or ''} |"
        inner += [(f"{path}.{name}".lstrip("."), part) for part in _models(info.annotation)]
    yield ""
    for below, part in inner:
        yield from _tables(below, part)


def _summary(model: type[BaseModel]) -> str:
    text = (inspect.getdoc(model) or "").replace("\n", " ")
    return f"{text[0].lower()}{text[1:]}"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _type_name(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in parts)
    if origin in (Union, types.UnionType):
        return " or ".join(_type_name(part) for part in parts)
    if origin is list:
        return f"list of {_type_name(parts[0])}"
    if origin is dict:
        return f"object of {_type_name(parts[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "object"
    names = {int: "integer", float: "number", str: "text", bool: "true or false"}
    return names.get(annotation, "null" if annotation is types.NoneType else "any")


def setup(app: Sphinx) -> dict[str, typing.Any]:
    """Register the directive."""
    app.add_directive("json-outputs", JsonOutputs)
    return {"parallel_read_safe": True}
