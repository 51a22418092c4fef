"""The directive `recipe-keys`: every key of a recipe with type, default and meaning, as a table.

It reads the models of `minkgen.recipe`, so that the page cannot say anything else than the code.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from docutils import nodes
from docutils.statemachine import StringList
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from minkgen.recipe import Recipe


class RecipeKeys(SphinxDirective):
    """Write a section for every model of a recipe."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        lines = list(_model("", Recipe, seen=set()))
        container = nodes.section()
        container.document = self.state.document
        self.state.nested_parse(StringList(lines, "recipe"), 0, container, match_titles=True)
        return container.children


def _model(path: str, model: type[BaseModel], seen: set[tuple[str, type]]) -> Iterator[str]:
    if (path, model) in seen:
        return
    seen.add((path, model))
    title = f"`{path}`" if path else "The recipe itself"
    kind = _kind(model)
    if kind:
        title += f" of kind {kind}"
    yield f"## {title}"
    yield ""
    yield _summary(model)
    yield ""
    yield "| key | type | default | meaning |"
    yield "| --- | --- | --- | --- |"
    inner: list[tuple[str, type[BaseModel]]] = []
    for name, info in model.model_fields.items():
        parts = list(_models(info.annotation))
        inner += [(f"{path}.{name}".lstrip("."), part) for part in parts]
        cells = (f"`{name}`", _type_name(info.annotation), _default(info), info.description or "")
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""
    for below, part in inner:
        yield from _model(below, part, seen)


def _kind(model: type[BaseModel]) -> str:
    info = model.model_fields.get("kind")
    return " or ".join(f"`{value}`" for value in get_args(info.annotation)) if info else ""


def _summary(model: type[BaseModel]) -> str:
    return (inspect.getdoc(model) or "").split("\n\n")[0].replace("\n", " ")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models within an annotation: alternatives, members of lists."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _type_name(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_name(parts[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in parts)
    if origin in (Union, types.UnionType):
        return " or ".join(_type_name(part) for part in parts if part is not type(None))
    if origin is tuple:
        members = [part for part in parts if part is not Ellipsis]
        return f"list of {' and '.join(dict.fromkeys(map(_type_name, members)))}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    names = {"int": "integer", "float": "number", "str": "text", "bool": "yes or no"}
    found = getattr(annotation, "__name__", str(annotation))
    return names.get(found, {"Path": "path", "datetime": "time (UTC)"}.get(found, found))


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "must be given"
    value = info.get_default(call_default_factory=True)
    if value is PydanticUndefined or isinstance(value, BaseModel):
        return "see there"
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def setup(app: Sphinx) -> dict[str, typing.Any]:
    """Register the directive."""
    app.add_directive("recipe-keys", RecipeKeys)
    return {"parallel_read_safe": True}
