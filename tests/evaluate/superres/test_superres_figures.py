"""Figures of super-resolution: what is drawn where, with units, and told apart."""

from __future__ import annotations

import io
from itertools import product
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from minkgen.errors import InputError
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
from minkgen.evaluate.superres.storms import choose_storms

ATTRIBUTION = "Data: somebody, CC BY"
TITLES = {"unet": "U-Net", "unet-exact": "U-Net + exact"}
LINES = {name: model_line(name) for name in TITLES}
NAMED: dict[str, Any] = {"titles": TITLES, "lines": LINES, "attribution": ATTRIBUTION}


def labels(figure: Any) -> list[str]:
    return [text for axes in figure.axes for text in (axes.get_xlabel(), axes.get_ylabel())]


def field(value: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    values = np.zeros((16, 16), np.float32)
    values[2:6, 3:9] = value
    return values


def test_fields_stand_beside_terrain_truth_and_low_resolution() -> None:
    made = {"unet": field(4.0), "unet-exact": field(6.0)}
    low = np.full((16, 16), 0.05, np.float32)
    low[2:6, 3:9] = 2.0
    cases = [SceneCase(name, field(0.5), field(5.0), low, made) for name in ("one", "two")]
    figure = fields_side_by_side(cases, titles=TITLES, pixel_km=2.0, attribution=ATTRIBUTION)
    titles = ["terrain", "truth", "low resolution (25 km)", *TITLES.values()]
    shown = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in shown] == titles * 2
    assert [row.get_suptitle() for row in figure.subfigs] == ["one", "two"]
    highest = [float(axes.images[0].get_array().max()) for axes in shown]
    assert highest == [0.5, 5.0, 2.0, 4.0, 6.0] * 2
    # Drizzle is not drawn, as it is not in predictions.
    assert float(shown[2].images[0].get_array().min()) == 2.0
    for label in ("height [standard deviations]", "rain rate [mm/h]", "east [km]", "north [km]"):
        assert labels(figure).count(label) >= 2, label
    assert [text.get_text() for text in figure.texts] == [ATTRIBUTION]
    assert imread(io.BytesIO(as_png(figure))).ndim == 3


def test_a_store_without_terrain_is_said_to_have_none() -> None:
    case = SceneCase("one", np.zeros((16, 16)), field(5.0), field(2.0), {"unet": field(4.0)})
    figure = fields_side_by_side([case], titles=TITLES, pixel_km=2.0, attribution=ATTRIBUTION)
    assert figure.axes[0].get_title() == "terrain (none)"


def test_spectra_have_the_band_of_the_tables_mean() -> None:
    spectra = MeanSpectra(
        [np.inf, 32.0, 16.0, 8.0, 2.0],
        [9.0, 8.0, 4.0, 2.0, 1.0],
        {"unet": [9.0, 4.0, 2.0, 1.0, 0.5], "unet-exact": [9.0, 8.0, 4.0, 2.0, 1.0]},
        tiles=7,
        pixel_km=2.0,
    )
    figure = mean_spectra(spectra, band_km=(4.0, 200.0), **NAMED)
    power, ratio = figure.axes
    # Neither the mean nor what is shorter than two pixels is drawn.
    np.testing.assert_array_equal(power.lines[0].get_xdata(), [32.0, 16.0, 8.0])
    assert [line.get_label() for line in power.lines] == ["truth", *TITLES.values()]
    np.testing.assert_array_equal(ratio.lines[0].get_ydata(), [2.0, 2.0, 2.0])
    np.testing.assert_array_equal(ratio.lines[1].get_ydata(), [1.0, 1.0, 1.0])
    assert power.get_ylabel() == "RAPSD, mean of 7 tiles [(mm/h)²]"
    assert [text.get_text() for text in ratio.get_legend().get_texts()] == ["4 to 200 km"]


def test_residuals_stand_below_their_curves() -> None:
    truth = np.array([[96.0, 48.0], [3.0, 1.0]])
    residual = np.array([[0.1, 0.2], [-0.3, -0.4]])
    case = GammaResiduals("means", truth, {"unet": 2.0 * truth}, {"unet": residual})
    figure = gamma_residuals(
        [case], thresholds=(0.1, 1.0), functionals=("area", "components"), **NAMED
    )
    area, components, area_residual, components_residual = figure.axes
    assert (area.get_ylabel(), components.get_ylabel()) == ("area [km²]", "components")
    assert components_residual.get_xlabel() == "threshold [mm/h]"
    np.testing.assert_array_equal(area.lines[0].get_ydata(), truth[0])
    np.testing.assert_array_equal(components.lines[1].get_ydata(), 2.0 * truth[1])
    np.testing.assert_array_equal(area_residual.lines[0].get_ydata(), residual[0])
    np.testing.assert_array_equal(components_residual.lines[0].get_ydata(), residual[1])


def test_every_seed_is_a_point_and_what_is_undefined_is_none() -> None:
    points: dict[str, dict[str, list[float | None]]] = {
        "unet": {
            "sal/structure/mean": [0.3, 0.4],
            "sal/amplitude/mean": [-0.1, 0.1],
            "sal/location/mean": [0.1, None],
            "mae": [0.05, 0.06],
            "loss/counting": [3.0, 3.5],
            "rapsd/log_ratio": [1.0, None],
        }
    }
    sal = sal_plane(points, **NAMED)
    amplitude, location = sal.axes
    np.testing.assert_array_equal(amplitude.lines[0].get_xdata(), [0.3, 0.4])
    np.testing.assert_array_equal(amplitude.lines[0].get_ydata(), [-0.1, 0.1])
    np.testing.assert_array_equal(location.lines[0].get_xdata(), [0.3])
    np.testing.assert_array_equal(location.lines[0].get_ydata(), [0.1])
    figure = perception_distortion(points, **NAMED)
    loss, spectrum = figure.axes
    assert loss.get_xlabel() == spectrum.get_xlabel() == "distortion: MAE [mm/h]"
    np.testing.assert_array_equal(loss.lines[0].get_ydata(), [3.0, 3.5])
    np.testing.assert_array_equal(spectrum.lines[0].get_xdata(), [0.05])
    for axes in (loss, spectrum, location):
        assert axes.get_ylim()[0] == 0.0
        assert axes.get_ylim()[1] > axes.dataLim.ymax


def test_a_score_that_nobody_has_leaves_an_empty_panel() -> None:
    none: list[float | None] = [None]
    points = {"unet": {"mae": [0.1], "loss/counting": [3.0], "rapsd/log_ratio": none}}
    _, spectrum = perception_distortion(points, **NAMED).axes
    assert spectrum.get_ylim() == (0.0, 1.0)


def test_reliability_leaves_out_what_was_never_foretold() -> None:
    found = {
        "0.1": {"probability": [0.0, 0.5, 1.0], "frequency": [0.1, 0.6, 0.9], "pixels": [5, 3, 2]},
        "10": {
            "probability": [0.0, 0.5, 1.0],
            "frequency": [0.0, None, None],
            "pixels": [10, 0, 0],
        },
    }
    figure = reliability([Ensemble("DDIM", 2, found)], attribution=ATTRIBUTION)
    curves, sharpness = figure.axes
    assert [text.get_text() for text in curves.get_legend().get_texts()] == [
        "at least 0.1 mm/h",
        "at least 10 mm/h",
    ]
    np.testing.assert_array_equal(curves.lines[1].get_ydata(), [0.1, 0.6, 0.9])
    np.testing.assert_array_equal(curves.lines[2].get_ydata(), [0.0, np.nan, np.nan])
    np.testing.assert_allclose(sharpness.lines[0].get_ydata(), [0.5, 0.3, 0.2])
    np.testing.assert_array_equal(sharpness.lines[1].get_ydata(), [1.0, np.nan, np.nan])
    assert figure.subfigs[0].get_suptitle() == "DDIM, 2 members"
    assert imread(io.BytesIO(as_png(figure))).ndim == 3


def test_no_two_models_look_alike() -> None:
    models = product(("unet", "ddpm", "flow"), ("", "-analytical", "-emulator", "-exact"))
    names = ["interpolation", *("".join(parts) for parts in models)]
    lines = [model_line(name) for name in names]
    assert len({(line["color"], line["marker"]) for line in lines}) == 13
    assert model_line("gan") not in lines


def test_storms_are_chosen_by_rule() -> None:
    # 100 tiles with 0 to 99 components; areas fall over three thresholds, and the first ten tiles
    # are empty at the median one.
    components = np.arange(100)[:, None] * np.ones(3)
    middle = np.where(np.arange(100) < 10, 0.0, 40.0)
    area = np.stack([np.arange(100.0), middle, np.zeros(100)], axis=1)
    area[[30, 40], 2] = 8.0
    area[40, 1] = 44.0
    assert choose_storms(area, components) == {"extreme": 40, "median": 54, "fragmented": 99}
    area[40, 1] = 40.0
    area[40, 0] = area[30, 0]
    assert choose_storms(area, components)["extreme"] == 30
    assert choose_storms(np.zeros((3, 3)), np.zeros((3, 3)))["median"] == 0
    with pytest.raises(InputError):
        choose_storms(np.zeros((0, 3)), np.zeros((0, 3)))
