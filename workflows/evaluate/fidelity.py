"""The fidelity of gradients of all surrogates of a subject."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from minkgen.evaluate.fidelity import STEPS, directions_of, exact_changes, summary
from minkgen.evaluate.figures import as_png, fidelity_curves, line_of, tempered_line
from minkgen.learn.data import TileReader
from minkgen.learn.fidelity import directional_derivatives
from minkgen.learn.surrogate import Surrogate
from minkgen.store.files import write_bytes, write_json
from minkgen.workflows.evaluate.subject import Subject
from minkgen.workflows.evaluate.surrogates import Tempered, channels_of
from minkgen.workflows.progress import Progress

__all__ = ["evaluate_fidelity", "spread_tiles"]

# One backward pass for each output and tile: 16 tiles take a network of widths 8 to 64 seconds.
FIDELITY_TILES, TILES_PER_CALL = 16, 4
# Of surrogates that have temperatures: factors on those of the recipe.
TEMPERATURE_SCALES = (0.3, 1.0, 3.0)


def spread_tiles(subject: Subject, count: int) -> tuple[npt.NDArray[np.float32], list[int]]:
    """Return so many wet tiles spread evenly over a split, and their rows in it."""
    reader = TileReader(subject.snapshot, subject.split, subject.functionals)
    count = min(count, reader.samples)
    samples = np.linspace(0, reader.samples - 1, count).astype(np.int64)
    return reader.read(samples).rain_rate.numpy(), reader.rows[samples].tolist()


def evaluate_fidelity(subject: Subject, progress: Progress) -> dict[str, Any]:
    """Compare gradients with exact changes; writes `fidelity.json` and its pictures.

    Returns
    -------
    dict
        What `fidelity.json` holds: `curves` by surrogate (its first seed), temperature scale and
        step in percent.
    """
    rain_rate, rows = spread_tiles(subject, FIDELITY_TILES)
    directions = directions_of(rain_rate, seed=0)
    exact = subject.exact_gamma()
    true = {step: exact_changes(exact, rain_rate, directions, step) for step in STEPS}
    progress.stage("fidelity of gradients", len(subject.surrogates))
    curves: dict[str, dict[str, Any]] = {}
    for each in subject.surrogates:
        curves[each.name] = {}
        for scale in _temperatures(each.first):
            along = _along(each.first, rain_rate, directions, subject.functionals)
            curves[each.name][scale] = _curve(along, true, subject.functionals)
        progress.advance(1, each.title)
    content = {
        **subject.as_dict(),
        "rows": rows,
        "directions": directions.shape[1],
        "curves": curves,
    }
    _draw(subject, curves)
    write_json(subject.folder / "fidelity.json", content, readable=True)
    return content


def _draw(subject: Subject, curves: dict[str, dict[str, Any]]) -> None:
    """Draw all surrogates as the recipe has them, and those with temperatures at each of them."""
    titles = {each.name: each.title for each in subject.surrogates}
    parts = (*subject.functionals, "all")
    attribution = str(subject.snapshot.metadata["attribution"])
    figure = fidelity_curves(
        {name: scales["1"]["both"] for name, scales in curves.items()},
        titles=titles,
        lines={name: line_of(name) for name in curves},
        parts=parts,
        attribution=attribution,
    )
    write_bytes(subject.folder / "fidelity.png", as_png(figure))
    tempered = [
        (f"{name} {scale}", name, scale, kinds["both"])
        for name, scales in curves.items()
        for scale, kinds in scales.items()
        if len(scales) > 1
    ]
    if tempered:
        figure = fidelity_curves(
            {key: steps for key, _, _, steps in tempered},
            titles={key: f"{titles[name]}, T x {scale}" for key, name, scale, _ in tempered},
            lines={key: tempered_line(name, float(scale)) for key, name, scale, _ in tempered},
            parts=parts,
            attribution=attribution,
        )
        write_bytes(subject.folder / "fidelity_temperature.png", as_png(figure))


def _temperatures(surrogate: Surrogate) -> Iterator[str]:
    """Set each temperature in turn and yield its scale; the recipe's are set in the end."""
    if not isinstance(surrogate, Tempered):
        yield "1"
        return
    for scale in TEMPERATURE_SCALES:
        surrogate.temper(scale)
        yield f"{scale:g}"
    surrogate.temper(1.0)


def _along(
    surrogate: Surrogate,
    rain_rate: npt.NDArray[np.float32],
    directions: npt.NDArray[Any],
    functionals: tuple[str, ...],
) -> npt.NDArray[np.float64]:
    parts = [
        directional_derivatives(
            surrogate,
            rain_rate[start : start + TILES_PER_CALL],
            directions[start : start + TILES_PER_CALL],
        )
        for start in range(0, len(rain_rate), TILES_PER_CALL)
    ]
    return np.concatenate(parts)[:, :, channels_of(surrogate, functionals)]


def _curve(
    along: npt.NDArray[np.float64],
    true: dict[float, npt.NDArray[np.float64]],
    functionals: tuple[str, ...],
) -> dict[str, Any]:
    """Return the comparison by kind of direction and step."""
    kinds: dict[str, Callable[[Any], Any]] = {
        "both": lambda changes: changes,
        "smooth": lambda changes: changes[:, :-1],
        "scaling": lambda changes: changes[:, -1:],
    }
    return {
        kind: {
            f"{100.0 * step:g}": summary(chosen(step * along), chosen(changes), functionals)
            for step, changes in true.items()
        }
        for kind, chosen in kinds.items()
    }
