"""Recipe files: YAML in, a checked recipe out, or every fault at once with the path of its key.

Unknown keys are refused with the nearest known one. Faults in one section hide none in another.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, get_args

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from minkgen.errors import RecipeError
from minkgen.grid import GRIDS
from minkgen.recipe import Recipe, Window, split_faults
from minkgen.recipe.rain import rain_faults

__all__ = ["load_recipe", "shipped_recipes"]


def _cross_faults(sections: Mapping[str, Any]) -> list[str]:
    """Return the faults that concern two sections, each valid in itself."""
    faults = []
    period, splits = sections.get("period"), sections.get("splits")
    if period is not None and splits is not None:
        for name, window in splits.windows().items():
            if window.start < period.start or window.end > period.end:
                faults.append(
                    f"splits.{name}: lies outside the period "
                    f"{period.start:%FT%R} to {period.end:%FT%R}"
                )
    grid, tiles = GRIDS.get(sections.get("grid", "")), sections.get("tiles")
    if grid is not None and tiles is not None:
        room = min(side - start for side, start in zip(grid.shape, tiles.offset, strict=True))
        if room < tiles.size:
            faults.append(
                f"tiles: no tile of {tiles.size} pixels at offset {list(tiles.offset)} fits into "
                f"{grid.name} ({grid.height} x {grid.width})"
            )
    if {"product", "grid", "hourly", "z_r", "splits"} <= sections.keys():
        faults += rain_faults(
            sections["product"],
            sections["grid"],
            hourly=sections["hourly"],
            z_r=sections["z_r"],
            gap_hours=sections["splits"].gap_hours,
        )
    return faults


def _known_keys(location: Sequence[str | int]) -> list[str]:
    """Return the keys that the section at a path knows."""
    sections: list[type[BaseModel]] = [Recipe]
    for part in location:
        fields = [each.model_fields[str(part)] for each in sections if part in each.model_fields]
        # A part that is no key is the kind of a section that has several.
        sections = [kind for field in fields for kind in _sections(field.annotation)] or sections
    return [key for section in sections for key in section.model_fields]


def _sections(annotation: Any) -> list[type[BaseModel]]:
    """Return the sections that an annotation allows: itself, or those of a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for part in get_args(annotation) for section in _sections(part)]


def _describe(error: ErrorDetails) -> str:
    location = [str(part) for part in error["loc"]]
    path = ".".join(location) or "recipe"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(location[-1], _known_keys(location[:-1]), n=1, cutoff=0.5)
        message = "unknown key" + (f"; did you mean {close[0]!r}?" if close else "")
    elif error["type"] != "missing" and not isinstance(error["input"], Mapping):
        message += f", got {error['input']!r}"
    return f"{path}: {message[0].lower()}{message[1:]}"


def _valid_sections(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections that are valid in themselves, defaults included."""
    sections = {}
    for name, field in Recipe.model_fields.items():
        annotated: Any = Annotated[field.annotation, field]
        try:
            sections[name] = TypeAdapter(annotated).validate_python(data.get(name, field.default))
        except ValidationError:
            continue
    return sections


def _hiddensplit_faults(splits: object) -> list[str]:
    """Return the overlaps among the valid windows of an otherwise faulty section."""
    if not isinstance(splits, Mapping):
        return []
    windows = {}
    for name in ("train", "validation", "test"):
        try:
            windows[name] = Window.model_validate(splits.get(name))
        except ValidationError:
            continue
    return [f"splits: {fault}" for fault in split_faults(windows, gap_hours=0.0)]


def _without(data: Any, location: Sequence[str | int]) -> Any:
    first, *rest = location
    if isinstance(data, Mapping) and first in data:
        if not rest:
            return {key: value for key, value in data.items() if key != first}
        return {**data, first: _without(data[first], rest)}
    # Pydantic names the chosen kind of a tagged section within the location; data do not hold it.
    return _without(data, rest) if rest else data


def _structural_faults(data: Mapping[str, Any]) -> list[str]:
    """Return all faults within sections; unknown keys must not hide what else is wrong."""
    faults: list[str] = []
    try:
        Recipe.model_validate(data)
    except ValidationError as error:
        details = error.errors(include_url=False)
        unknown = [detail for detail in details if detail["type"] == "extra_forbidden"]
        inner = {detail["loc"][:-1] for detail in details}
        faults = [
            _describe(detail)
            for detail in details
            if not (detail["type"] == "too_short" and detail["loc"] in inner)
            and detail["loc"]  # what concerns several sections is found section by section
        ]
        if unknown:
            for detail in unknown:
                data = _without(data, detail["loc"])
            faults += [fault for fault in _structural_faults(data) if fault not in faults]
    return faults


def _validate(data: Mapping[str, Any]) -> tuple[Recipe | None, list[str]]:
    faults = _structural_faults(data)
    sections = _valid_sections(data)
    if "splits" not in sections:
        hidden = _hiddensplit_faults(data.get("splits"))
        faults += [fault for fault in hidden if not any(fault in known for known in faults)]
    faults += _cross_faults(sections)
    return (None if faults else Recipe.model_validate(data)), faults


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


def _read_yaml(text: str, where: object) -> Any:
    try:
        return yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise RecipeError([f"not valid YAML: {error}"], where=where) from error


def _apply_overrides(data: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    """Set `path.to.key=value` in a recipe's data; return the faults of their grammar."""
    faults = []
    for override in overrides:
        path, equals, value = override.partition("=")
        if not equals or not all(path.split(".")):
            faults.append(f"--set {override}: expected path.to.key=value")
            continue
        *parents, last = path.split(".")
        target = data
        for parent in parents:
            child = target.setdefault(parent, {})
            if not isinstance(child, dict):
                faults.append(f"--set {override}: {parent} is no section")
                break
            target = child
        else:
            target[last] = _read_yaml(value, f"--set {override}")
    return faults


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that come with minkgen, by name."""
    with resources.as_file(resources.files("minkgen.recipes")) as folder:
        return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    Parameters
    ----------
    path : str or Path
        A YAML file, or the name of a shipped recipe (`demo`, `paper`). Relative paths inside
        the recipe are taken from the working directory, as on a command line.
    overrides : sequence of str, optional
        `path.to.key=value` settings that replace or add keys; values are YAML.

    Returns
    -------
    Recipe

    Raises
    ------
    RecipeError
        If there is no such file, or with all faults of the recipe at once.
    """
    path = Path(path)
    file = path if path.is_file() else shipped_recipes().get(str(path), path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        shipped = ", ".join(shipped_recipes())
        raise RecipeError(
            [f"cannot be read: {error}; shipped recipes are {shipped}"], where=path
        ) from error
    data = _read_yaml(text, path)
    if not isinstance(data, dict):
        raise RecipeError([f"must be a mapping of sections, got {type(data).__name__}"], where=path)
    override_faults = _apply_overrides(data, overrides)
    recipe, faults = _validate(data)
    if recipe is None or override_faults:
        raise RecipeError([*override_faults, *faults], where=path)
    return recipe
