"""The figures of super-resolution, drawn from what an evaluation saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from minkgen.evaluate.figures import (
    Ensemble,
    GammaResiduals,
    MeanSpectra,
    SceneCase,
    as_png,
    fields_side_by_side,
    gamma_residuals,
    mean_spectra,
    model_line,
    perception_distortion,
    reliability,
    sal_plane,
)
from minkgen.evaluate.metrics import signed_log1p
from minkgen.evaluate.spectra import RATIO_RANGE_KM
from minkgen.evaluate.superres.scores import scalar_scores
from minkgen.workflows.evaluate.superres.models import INTERPOLATION
from minkgen.workflows.evaluate.superres.storms import Storms

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FIELDS_FIGURE", "draw_superres"]

FIELDS_FIGURE = "superres_fields.png"
# Of γ; the closed perimeter looks like the open one.
_SHOWN = ("area", "perimeter", "components", "holes")
_SHOWN_STORM = "fragmented"


def draw_superres(content: Mapping[str, Any], storms: Storms) -> dict[str, bytes]:
    """Return all figures as PNG images, by the names of their files.

    Parameters
    ----------
    content : mapping
        What `superres.json` holds.
    storms : Storms
        What `predictions.npz` holds.
    """
    titles = {name: about["title"] for name, about in content["about"].items()}
    lines = {name: model_line(name) for name in titles}
    attribution = str(content["attribution"])
    points = _points(content)
    named: dict[str, Any] = {"titles": titles, "lines": lines, "attribution": attribution}
    figures: dict[str, Figure] = {
        FIELDS_FIGURE: fields_side_by_side(
            _scene_cases(content, storms),
            titles=titles,
            pixel_km=content["pixel_km"],
            attribution=attribution,
        ),
        "superres_spectra.png": mean_spectra(_spectra(content), band_km=RATIO_RANGE_KM, **named),
        "superres_gamma.png": gamma_residuals(
            _gamma_rows(content, storms),
            thresholds=content["thresholds_mm_h"],
            functionals=_SHOWN,
            **named,
        ),
        "superres_sal.png": sal_plane(points, **named),
        "superres_perception.png": perception_distortion(points, **named),
    }
    ensembles = _ensembles(content)
    if ensembles:
        figures["superres_reliability.png"] = reliability(ensembles, attribution=attribution)
    return {name: as_png(figure) for name, figure in figures.items()}


def _first(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the scores of a model's first seed."""
    scores: dict[str, Any] = next(iter(content["models"][name].values()))
    return scores


def _scene_cases(content: Mapping[str, Any], storms: Storms) -> list[SceneCase]:
    return [
        SceneCase(
            content["cases"][case]["title"],
            storms.terrain[place],
            storms.truth[place],
            storms.low[place],
            {
                name: members[place, 0]
                for name, members in storms.fields.items()
                if name != INTERPOLATION  # which is the low resolution
            },
        )
        for place, case in enumerate(storms.names)
    ]


def _spectra(content: Mapping[str, Any]) -> MeanSpectra:
    spectra = {name: _first(content, name)["spectrum"] for name in content["models"]}
    any_spectrum = next(iter(spectra.values()))
    return MeanSpectra(
        any_spectrum["wavelength_km"],
        any_spectrum["truth"],
        {name: spectrum["predicted"] for name, spectrum in spectra.items()},
        tiles=sum(content["tiles"].values()),
        pixel_km=content["pixel_km"],
    )


def _gamma_rows(content: Mapping[str, Any], storms: Storms) -> list[GammaResiduals]:
    """Return means over the split, then one storm."""
    curves = {name: _first(content, name)["gamma"] for name in content["models"]}

    def mean(name: str, key: str) -> Any:
        return np.array([curves[name][functional][key] for functional in _SHOWN])

    tiles = sum(content["tiles"].values())
    means = GammaResiduals(
        f"means of all {tiles} tiles",
        mean(next(iter(curves)), "truth"),
        {name: mean(name, "predicted") for name in curves},
        {name: mean(name, "log_residual") for name in curves},
    )
    channels = [content["functionals"].index(name) for name in _SHOWN]
    place = storms.names.index(_SHOWN_STORM)
    truth = storms.gamma[place, channels]
    predicted = {name: gamma[place, channels] for name, gamma in storms.predicted.items()}
    residual = {
        name: signed_log1p(gamma) - signed_log1p(truth) for name, gamma in predicted.items()
    }
    title = content["cases"][_SHOWN_STORM]["title"]
    return [means, GammaResiduals(title, truth, predicted, residual)]


def _points(content: Mapping[str, Any]) -> dict[str, dict[str, list[float | None]]]:
    """Return the scores of every model as lists over seeds, by their paths."""
    found: dict[str, dict[str, list[float | None]]] = {}
    paths = (
        "mae",
        "loss/counting",
        "rapsd/log_ratio",
        *(f"sal/{part}/mean" for part in ("structure", "amplitude", "location")),
    )
    for name, seeds in content["models"].items():
        scalars = [scalar_scores(scores) for scores in seeds.values()]
        found[name] = {path: [each.get(path) for each in scalars] for path in paths}
    return found


def _ensembles(content: Mapping[str, Any]) -> list[Ensemble]:
    found = []
    for name, about in content["about"].items():
        scores = _first(content, name)
        if scores["ensemble"]:
            found.append(
                Ensemble(about["title"], scores["members"], scores["ensemble"]["reliability"])
            )
    return found
