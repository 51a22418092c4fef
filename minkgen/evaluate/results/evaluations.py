"""The folder of an evaluation, read back: what was evaluated on what, its tables, its figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minkgen.errors import StoreError
from minkgen.evaluate.results.superres import superres_headline, superres_tables
from minkgen.evaluate.results.surrogates import (
    headline,
    inversion_table,
    mechanism_table,
    score_tables,
)
from minkgen.evaluate.tables import Table
from minkgen.store.files import read_json

__all__ = ["FIGURES", "Evaluation", "Figure", "evaluation_folders", "read_evaluation"]

_SURROGATES, _SUPERRES = "scores.json", "superres.json"
# In the order in which they are shown.
FIGURES = {
    "gamma_curves.png": "γ of a quiet and of a fragmented tile",
    "fidelity.png": "Fidelity of gradients over the step",
    "fidelity_temperature.png": "Fidelity of gradients by temperature",
    "inversion.png": "Noise led to the γ of tiles, and mean spectra",
    "mechanism.png": "One cell of a synthetic field is scaled",
    "superres_fields.png": "Terrain, truth, low resolution and every model, for chosen storms",
    "superres_spectra.png": "Mean spectra, and their ratio to the truth's",
    "superres_gamma.png": "γ curves and their residuals",
    "superres_sal.png": "Structure, amplitude and location",
    "superres_perception.png": "Perception against distortion",
    "superres_reliability.png": "Reliability of the members of generative models",
}


@dataclass(frozen=True)
class Figure:
    """A picture that an evaluation left, and what it shows."""

    path: Path
    title: str


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation left behind.

    Attributes
    ----------
    folder : Path
    title : str
        Of what, on which split.
    split, snapshot : str
    headline : str
        What was evaluated on what, line by line.
    about : dict
        Where the rows come from: titles, and runs with what they have spent, by name.
    scores : Table
        The paper's Table 1 (surrogates) or 2 (super-resolution), with our rows.
    published : Table
        The paper's own numbers.
    others : tuple of Table
    figures : tuple of Figure
    """

    folder: Path
    title: str
    split: str
    snapshot: str
    headline: str
    about: dict[str, Any]
    scores: Table
    published: Table
    others: tuple[Table, ...]
    figures: tuple[Figure, ...]


def evaluation_folders(runs: Path) -> list[Path]:
    """Return the folders of finished evaluations among runs, the latest first."""
    written = [*runs.glob(f"*/{_SURROGATES}"), *runs.glob(f"*/{_SUPERRES}")]
    in_time = sorted(written, key=lambda path: (path.stat().st_mtime, path.parent.name))
    return [path.parent for path in reversed(in_time)]


def read_evaluation(folder: Path) -> Evaluation:
    """Read the folder of an evaluation.

    Parameters
    ----------
    folder : Path
        Of surrogates, `runs/evaluation-...` of a store: `scores.json`, `fidelity.json` and
        `throughput.json`, and where they are there `inversion.json` and `mechanism.json`. Of
        super-resolution, `runs/superres-evaluation-...`: `superres.json` and
        `superres_throughput.json`.

    Returns
    -------
    Evaluation

    Raises
    ------
    StoreError
        If a file is missing, damaged or not of this version.
    """
    read = _of_superres if (folder / _SUPERRES).exists() else _of_surrogates
    try:
        return _evaluation(folder, *read(folder))
    except (FileNotFoundError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise StoreError(
            "the evaluation cannot be read",
            where=folder,
            got=f"{type(error).__name__}: {error}",
            expected="the JSON files of `minkgen evaluate` of this version",
            hint="evaluate again with the same recipe",
        ) from error


def _of_surrogates(folder: Path) -> tuple[str, dict[str, Any], str, list[Table]]:
    content = read_json(folder / _SURROGATES)
    fidelity, throughput = (
        read_json(folder / name) for name in ("fidelity.json", "throughput.json")
    )
    tables = score_tables(content, fidelity, throughput)
    beside: dict[str, Callable[[Any], Table]] = {
        "inversion.json": inversion_table,
        "mechanism.json": mechanism_table,
    }
    for name, table in beside.items():
        if (folder / name).exists():
            tables.append(table(read_json(folder / name)))
    return "surrogates", content, headline(content), tables


def _of_superres(folder: Path) -> tuple[str, dict[str, Any], str, list[Table]]:
    content = read_json(folder / _SUPERRES)
    tables = superres_tables(content, read_json(folder / "superres_throughput.json"))
    return "super-resolution", content, superres_headline(content), tables


def _evaluation(
    folder: Path, what: str, content: dict[str, Any], lines: str, tables: list[Table]
) -> Evaluation:
    scores, published, *others = tables
    found = {name: title for name, title in FIGURES.items() if (folder / name).exists()}
    return Evaluation(
        folder=folder,
        title=f"{what}, {content['split']} split",
        split=content["split"],
        snapshot=content["snapshot"],
        headline=lines,
        about=content["about"],
        scores=scores,
        published=published,
        others=tuple(others),
        figures=tuple(Figure(folder / name, title) for name, title in found.items()),
    )
