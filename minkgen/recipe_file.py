"""Recipe files: YAML in, a checked recipe out, or every fault at once with the path of its key.

Faults in one section hide none in another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from minkgen.errors import RecipeError
from minkgen.grid import GRIDS
from minkgen.recipe import Recipe, Window, XarraySource, split_faults, with_grid
from minkgen.recipe.rain import rain_faults
from minkgen.yaml_file import read_mapping, read_yaml, section_faults

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
    if {"source", "product", "grid", "hourly", "z_r", "splits"} <= sections.keys():
        faults += rain_faults(
            sections["product"],
            sections["grid"],
            own=isinstance(sections["source"], XarraySource),
            hourly=sections["hourly"],
            z_r=sections["z_r"],
            gap_hours=sections["splits"].gap_hours,
        )
    return faults


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


def _validate(data: Mapping[str, Any]) -> tuple[Recipe | None, list[str]]:
    data = with_grid(data)
    # What concerns several sections names them itself.
    faults = [fault.removeprefix("the whole: ") for fault in section_faults(Recipe, data)]
    sections = _valid_sections(data)
    if "splits" not in sections:
        hidden = _hiddensplit_faults(data.get("splits"))
        faults += [fault for fault in hidden if not any(fault in known for known in faults)]
    crossing = _cross_faults(sections)
    faults += [fault for fault in crossing if not any(fault in known for known in faults)]
    return (None if faults else Recipe.model_validate(data)), faults


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
            target[last] = read_yaml(value, f"--set {override}")
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
            [f"cannot be read: {error}; shipped recipes are {shipped}"],
            where=path,
            hint="give the path of a recipe, or the name of one that is shipped",
        ) from error
    data = read_mapping(text, path)
    override_faults = _apply_overrides(data, overrides)
    recipe, faults = _validate(data)
    if recipe is None or override_faults:
        raise RecipeError([*override_faults, *faults], where=path)
    return recipe
