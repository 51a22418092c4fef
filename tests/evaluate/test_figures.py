from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

from minkgen.errors import InputError
from minkgen.evaluate import figures
from minkgen.evaluate.figures import GammaCase, as_png, choose_cases, gamma_curves

FUNCTIONALS = ("area", "perimeter", "components")
THRESHOLDS = (0.1, 1.0, 10.0)


def case(title: str = "a tile") -> GammaCase:
    rain_rate = np.zeros((16, 16), np.float32)
    rain_rate[2:6, 3:9] = 5.0
    target = np.array([[96.0, 96.0, 0.0], [40.0, 40.0, 0.0], [1.0, 1.0, 0.0]])
    return GammaCase(title, rain_rate, target, 1.1 * target)


def draw(*cases: GammaCase) -> Figure:
    return gamma_curves(
        cases,
        thresholds=THRESHOLDS,
        functionals=FUNCTIONALS,
        pixel_km=2.0,
        attribution="Data: somebody, CC BY",
    )


def test_every_axis_has_its_unit_and_the_source_is_named() -> None:
    figure = draw(case("quiet"), case("fragmented"))
    labels = [axes.get_xlabel() for axes in figure.axes] + [
        axes.get_ylabel() for axes in figure.axes
    ]
    for label in (
        "east [km]",
        "north [km]",
        "threshold [mm/h]",
        "area [km²]",
        "perimeter [km]",
        "components",
        "rain rate [mm/h]",
    ):
        assert labels.count(label) >= 2, label
    assert [text.get_text() for text in figure.texts] == ["Data: somebody, CC BY"]
    assert [row.get_suptitle() for row in figure.subfigs] == ["quiet", "fragmented"]


def test_the_curves_are_the_true_and_the_predicted_ones() -> None:
    figure = draw(case())
    panels = [axes for axes in figure.axes if axes.get_xlabel() == "threshold [mm/h]"]
    assert len(panels) == 3
    for number, panel in enumerate(panels):
        curves = {line.get_label(): line for line in panel.lines}
        expected = {"true": case().target[number], "predicted": case().predicted[number]}
        assert set(curves) == set(expected)
        for label, values in expected.items():
            np.testing.assert_array_equal(curves[label].get_xdata(), THRESHOLDS)
            np.testing.assert_array_equal(curves[label].get_ydata(), values)


def test_north_is_at_the_top_and_west_at_the_left() -> None:
    rain_rate = np.zeros((8, 8), np.float32)
    rain_rate[:4, :4] = 5.0  # the north-western quarter
    figure = Figure(figsize=(2, 2), dpi=50)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    figures._draw_field(axes, rain_rate, pixel_km=2.0)
    canvas.draw()
    pixels: np.ndarray[Any, Any] = np.asarray(canvas.buffer_rgba())[:, :, :3] / 255.0
    dry = np.abs(pixels - to_rgb(figures.DRY_COLOUR)).max(axis=2) < 0.02
    # 100 x 100 pixels from the top left; the frame and its ticks keep to a few at the edges.
    assert not dry[10:45, 10:45].any()
    assert dry[55:90, 10:90].all()
    assert dry[10:90, 55:90].all()
    assert axes.get_xlim() == axes.get_ylim() == (0.0, 16.0)


def test_the_image_is_a_png_of_a_useful_size() -> None:
    image = imread(io.BytesIO(as_png(draw(case("quiet"), case("fragmented")))))
    assert image.shape[0] > 600
    assert image.shape[1] > 1200


def test_cases_follow_the_rule() -> None:
    # 100 tiles with 0 to 99 components; the first 10 are empty at the median threshold.
    components = np.arange(100)
    area = np.where(components < 10, 0.0, 50.0)
    assert choose_cases(components, area) == {"quiet": 18, "fragmented": 99}


def test_of_tiles_with_as_many_components_the_one_of_median_area_is_shown() -> None:
    components, area = np.full(5, 3), np.array([40.0, 8.0, 16.0, 16.0, 80.0])
    assert choose_cases(components, area) == {"quiet": 2, "fragmented": 2}


def test_empty_tiles_are_shown_only_where_there_are_no_others() -> None:
    assert choose_cases([0, 0, 4], [0.0, 0.0, 8.0]) == {"quiet": 2, "fragmented": 2}
    assert choose_cases([0, 0], [0.0, 0.0]) == {"quiet": 0, "fragmented": 0}
    with pytest.raises(InputError):
        choose_cases([], [])
