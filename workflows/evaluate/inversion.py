"""Evaluate by inversion: what fields the gradients of each surrogate lead to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from minkgen.errors import InputError
from minkgen.evaluate.figures import InversionCase, as_png, inverted_fields, line_of
from minkgen.evaluate.metrics import EmulatorStatistics, emulator_scores
from minkgen.evaluate.results.surrogates import inversion_table
from minkgen.evaluate.spectra import radial_spectrum, spectral_ratio, wavelengths_km
from minkgen.learn.inversion import InversionSettings, invert
from minkgen.learn.surrogate import Surrogate
from minkgen.recipe import Recipe
from minkgen.store.files import write_bytes, write_json
from minkgen.workflows.evaluate.emulator import EvaluateResult
from minkgen.workflows.evaluate.exact import drizzle_zeroed
from minkgen.workflows.evaluate.fidelity import spread_tiles
from minkgen.workflows.evaluate.subject import Subject, open_subject
from minkgen.workflows.evaluate.surrogates import Tempered
from minkgen.workflows.progress import Progress, Silent

__all__ = ["evaluate_inversion"]

FIGURE = "inversion.png"
# As in the paper.
STEPS = 200
# Targets, of which the first are drawn.
INVERTED_TILES, SHOWN_TILES = 8, 2
# The noise to begin with: log1p(x) is Gaussian, smooth over so many pixels, of this mean and
# standard deviation, and dry where that is negative: a third of the tile; the median is 0.65 mm/h.
NOISE_PIXELS, NOISE_MEAN, NOISE_DEVIATION = 4.0, 0.5, 1.0

# Where surrogates have temperatures, they are inverted a second time, cooling: steps begin at a
# fifth of their threshold (τ = 0.8 u) and have the recipe's temperature after three quarters of
# the way. Of the recipe's default, that is 8 times as warm at first.
WARMEST, COOLING = 0.8, 0.75

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Way:
    """How one surrogate is inverted: as it is, or cooling from a temperature scale."""

    name: str
    title: str
    surrogate: Surrogate
    line: dict[str, Any]
    warmest: float = 1.0

    def prepare(self, step: int, steps: int) -> None:
        """Set the temperature of a step."""
        if isinstance(self.surrogate, Tempered):
            progress = min(step / (COOLING * steps), 1.0)
            self.surrogate.temper(self.warmest ** (1.0 - progress))


def _ways(subject: Subject) -> list[_Way]:
    ways = []
    for each in subject.surrogates:
        line = line_of(each.name)
        ways.append(_Way(each.name, each.title, each.first, line))
        if isinstance(each.first, Tempered):
            warmest = max(1.0, WARMEST / float(each.about["settings"]["temperature_factor"]))
            name, title = f"{each.name}-cooling", f"{each.title}, cooling"
            ways.append(_Way(name, title, each.first, line | {"linestyle": ":"}, warmest))
    return ways


def evaluate_inversion(
    recipe: Recipe,
    *,
    split: str = "test",
    surrogates: Sequence[str] = (),
    progress: Progress | None = None,
) -> EvaluateResult:
    """Lead noise to the γ of some tiles, by the gradients of every surrogate (its first seed).

    A surrogate with temperatures is inverted twice, the second time cooling.

    Writes `inversion.json`, `inversion.txt` and `inversion.png`. Inverted fields are judged after
    zeroing drizzle, by their exact γ and by their mean power spectrum against that of the tiles.

    Parameters
    ----------
    recipe : Recipe
    split : {"test", "validation", "train"}, optional
    surrogates : sequence of str, optional
        Their names; by default all that are there.
    progress : Progress, optional

    Returns
    -------
    EvaluateResult

    Raises
    ------
    StoreError, EmptySplitError, InputError, TrainingError
        As `evaluate_emulator`; besides, where an objective stops being finite.
    """
    progress = progress or Silent()
    subject = open_subject(recipe, split, surrogates)
    settings = InversionSettings(steps=STEPS)
    tiles, rows = spread_tiles(subject, INVERTED_TILES)
    tiles = drizzle_zeroed(tiles, subject.definition.drizzle_mm_h)
    start = _noise(tiles.shape, subject.snapshot.log_max)
    ways = _ways(subject)
    progress.stage("invert", settings.steps * len(ways))
    found, results = {}, {}
    for way in ways:
        found[way.name], losses = _inverted(subject, way, tiles, start, settings, progress)
        results[way.name] = {
            "title": way.title,
            "warmest": way.warmest,
            **_judged(subject, tiles, found[way.name]),
            "objective": losses.mean(axis=1).tolist(),
        }
    noise = drizzle_zeroed(np.expm1(subject.snapshot.log_max * start), subject.snapshot.drizzle)
    content = {
        **subject.as_dict(),
        "rows": rows,
        "settings": asdict(settings),
        "start": _judged(subject, tiles, noise),
        "surrogates": results,
        "wavelengths_km": _wavelengths(subject)[1:].tolist(),
        "truth_spectrum": radial_spectrum(tiles).mean(axis=0)[1:].tolist(),
    }
    text = inversion_table(content).as_text()
    write_bytes(subject.folder / FIGURE, _figure(subject, content, tiles, found, ways))
    write_bytes(subject.folder / "inversion.txt", f"{text}\n\n{content['attribution']}\n".encode())
    write_json(subject.folder / "inversion.json", content, readable=True)
    return EvaluateResult(subject.folder, content, text, subject.folder / FIGURE)


def _noise(shape: tuple[int, ...], log_max: float) -> FloatArray:
    """Return smooth noise to begin with, normalised; the same for every surrogate."""
    noise = np.random.default_rng(0).standard_normal(shape)
    smooth = gaussian_filter(noise, (0.0, NOISE_PIXELS, NOISE_PIXELS), mode="wrap")
    smooth /= smooth.std(axis=(1, 2), keepdims=True)
    logs = np.maximum(NOISE_MEAN + NOISE_DEVIATION * smooth, 0.0)
    start: FloatArray = (logs / log_max).astype(np.float32)
    return start


def _inverted(
    subject: Subject,
    way: _Way,
    tiles: FloatArray,
    start: FloatArray,
    settings: InversionSettings,
    progress: Progress,
) -> tuple[FloatArray, npt.NDArray[np.float32]]:
    def before_step(step: int) -> None:
        way.prepare(step, settings.steps)
        progress.advance(1, way.title)

    inversion = invert(
        way.surrogate,
        subject.exact_gamma(way.surrogate.functionals)(tiles),
        start,
        log_max=subject.snapshot.log_max,
        settings=settings,
        before_step=before_step,
    )
    return drizzle_zeroed(inversion.rain_rate, subject.definition.drizzle_mm_h), inversion.loss


def _wavelengths(subject: Subject) -> npt.NDArray[np.float64]:
    return wavelengths_km(subject.snapshot.tile_size, subject.snapshot.pixel_km)


def _judged(subject: Subject, tiles: FloatArray, found: FloatArray) -> dict[str, Any]:
    """Return exact γ errors and spectra of inverted fields against the tiles."""
    exact = subject.exact_gamma()
    statistics = EmulatorStatistics.of(exact(found), exact(tiles), subject.functionals)
    scores = emulator_scores(statistics, subject.snapshot.measure)
    truth, spectrum = (radial_spectrum(each).mean(axis=0) for each in (tiles, found))
    try:
        compared: dict[str, float] | None = spectral_ratio(truth, spectrum, _wavelengths(subject))
    except InputError:  # a dry field has no power to compare with
        compared = None
    return {
        "exact_loss": {"counting": scores.loss_counting, "measure": scores.loss_measure},
        "mae": scores.as_dict()["mae"],
        "spectrum": spectrum[1:].tolist(),
        "rapsd": compared,
    }


def _figure(
    subject: Subject,
    content: dict[str, Any],
    tiles: FloatArray,
    found: dict[str, FloatArray],
    ways: Sequence[_Way],
) -> bytes:
    exact = subject.exact_gamma()
    cases = []
    for number in range(min(SHOWN_TILES, len(tiles))):
        target = exact(tiles[number : number + 1])
        notes = {}
        for name, fields in found.items():
            of_tile = EmulatorStatistics.of(
                exact(fields[number : number + 1]), target, subject.functionals
            )
            loss = emulator_scores(of_tile, subject.snapshot.measure).loss_counting
            notes[name] = f"L_M of the exact γ {loss:.1f}"
        cases.append(
            InversionCase(
                f"row {content['rows'][number]} of the {subject.split} split",
                tiles[number],
                {name: fields[number] for name, fields in found.items()},
                notes,
            )
        )
    figure = inverted_fields(
        cases,
        wavelengths=np.asarray(content["wavelengths_km"]),
        truth_spectrum=np.asarray(content["truth_spectrum"]),
        spectra={
            name: np.asarray(result["spectrum"]) for name, result in content["surrogates"].items()
        },
        titles={way.name: way.title for way in ways},
        lines={way.name: way.line for way in ways},
        tiles=len(tiles),
        pixel_km=subject.snapshot.pixel_km,
        attribution=str(content["attribution"]),
    )
    return as_png(figure)
