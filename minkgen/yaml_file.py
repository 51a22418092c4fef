"""YAML into checked sections: keys given once, every fault with the path of its key.

Unknown keys are refused with the nearest known one, and hide none of the other faults.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from minkgen.errors import RecipeError

__all__ = ["read_mapping", "read_yaml", "section_faults"]


class _UniqueKeyLoader(yaml.SafeLoader):
    """A YAML loader that refuses a key given twice instead of keeping the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


def read_yaml(text: str, where: object, error: type[RecipeError] = RecipeError) -> Any:
    """Return what a YAML text says.

    Raises
    ------
    RecipeError
        Of the given kind, if it is not valid YAML or gives a key twice.
    """
    try:
        return yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as fault:
        raise error([f"not valid YAML: {fault}"], where=where) from fault


def read_mapping(
    text: str, where: object, error: type[RecipeError] = RecipeError
) -> dict[str, Any]:
    """Return the sections that a YAML text holds.

    Raises
    ------
    RecipeError
        Of the given kind, if it is not valid YAML, or no mapping.
    """
    data = read_yaml(text, where, error)
    if not isinstance(data, dict):
        raise error([f"must be a mapping of sections, got {type(data).__name__}"], where=where)
    return data


def section_faults(model: type[BaseModel], data: Mapping[str, Any]) -> list[str]:
    """Return all faults that data have as a section; unknown keys hide none of the others.

    Parameters
    ----------
    model : type of pydantic.BaseModel
    data : mapping

    Returns
    -------
    list of str
        Each begins with the path of its key.
    """
    faults: list[str] = []
    try:
        model.model_validate(data)
    except ValidationError as error:
        details = error.errors(include_url=False)
        unknown = [detail for detail in details if detail["type"] == "extra_forbidden"]
        inner = {detail["loc"][:-1] for detail in details}
        faults = [
            _describe(model, detail)
            for detail in details
            if not (detail["type"] == "too_short" and detail["loc"] in inner)
        ]
        if unknown:
            for detail in unknown:
                data = _without(data, detail["loc"])
            faults += [fault for fault in section_faults(model, data) if fault not in faults]
    return faults


def _describe(model: type[BaseModel], error: ErrorDetails) -> str:
    location = [str(part) for part in error["loc"]]
    path = ".".join(location) or "the whole"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        known = _known_keys(model, location[:-1])
        close = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
        message = "unknown key" + (f"; did you mean {close[0]!r}?" if close else "")
    elif error["type"] != "missing" and not isinstance(error["input"], Mapping):
        message += f", got {error['input']!r}"
    return f"{path}: {message[0].lower()}{message[1:]}"


def _known_keys(model: type[BaseModel], location: Sequence[str]) -> list[str]:
    """Return the keys that the section at a path knows."""
    sections = [model]
    for part in location:
        chosen = [section for section in sections if part in _kinds_of(section)]
        if len(sections) > 1 and chosen:
            # Pydantic names the chosen kind of a tagged section within the location.
            sections = chosen
        elif not part.isdigit():
            fields = [each.model_fields[part] for each in sections if part in each.model_fields]
            sections = [inner for field in fields for inner in _sections_of(field.annotation)]
    return [key for section in sections for key in section.model_fields]


def _sections_of(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections_of(inner)


def _kinds_of(section: type[BaseModel]) -> tuple[str, ...]:
    kind = section.model_fields.get("kind")
    return () if kind is None else get_args(kind.annotation)


def _without(data: Any, location: Sequence[str | int]) -> Any:
    """Return data without the key at a path."""
    first, *rest = location
    if not rest:
        return {key: value for key, value in data.items() if key != first}
    if isinstance(data, list) and isinstance(first, int):
        return [*data[:first], _without(data[first], rest), *data[first + 1 :]]
    if isinstance(data.get(first), Mapping | list):
        return {**data, first: _without(data[first], rest)}
    # Pydantic names the chosen kind of a tagged section within the location; data do not hold it.
    return _without(data, rest)
