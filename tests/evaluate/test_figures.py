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
from minkgen.evaluate.figures import (
    GammaCase,
    InversionCase,
    ResponseCurves,
    as_png,
    choose_cases,
    fidelity_curves,
    gamma_curves,
    inverted_fields,
    response_of_a_cell,
)
from minkgen.evaluate.figures.style import DRY_COLOUR, draw_field, line_of
from minkgen.evaluate.mechanism import cell_test

FUNCTIONALS = ("area", "perimeter", "components")
THRESHOLDS = (0.1, 1.0, 10.0)
TITLES = {"exact": "Exact", "pcr": "PCR"}


def case(title: str = "a tile") -> GammaCase:
    rain_rate = np.zeros((16, 16), np.float32)
    rain_rate[2:6, 3:9] = 5.0
    target = np.array([[96.0, 96.0, 0.0], [40.0, 40.0, 0.0], [1.0, 1.0, 0.0]])
    return GammaCase(title, rain_rate, target, {"exact": 1.1 * target, "pcr": 0.5 * target})


def draw(*cases: GammaCase) -> Figure:
    return gamma_curves(
        cases,
        titles=TITLES,
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
        expected = {
            "true": case().target[number],
            "Exact": 1.1 * case().target[number],
            "PCR": 0.5 * case().target[number],
        }
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
    draw_field(axes, rain_rate, pixel_km=2.0)
    canvas.draw()
    pixels: np.ndarray[Any, Any] = np.asarray(canvas.buffer_rgba())[:, :, :3] / 255.0
    dry = np.abs(pixels - to_rgb(DRY_COLOUR)).max(axis=2) < 0.02
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


def quartiles(value: float) -> dict[str, float]:
    return {"median": value, "low": value - 0.1, "high": value + 0.1}


def test_fidelity_has_a_panel_for_every_part_and_leaves_out_what_has_no_tiles() -> None:
    def step(cosine: float) -> dict[str, Any]:
        compared = {"tiles": 3, "cosine": quartiles(cosine), "relative_l2": quartiles(1.5)}
        return {"area": compared, "all": {"tiles": 0, "cosine": None, "relative_l2": None}}

    curves = {"exact": {"1": step(0.5), "10": step(0.9)}}
    figure = fidelity_curves(
        curves,
        titles=TITLES,
        lines={"exact": line_of("exact")},
        parts=("area", "all"),
        attribution="Data: somebody",
    )
    area, everything, *errors = figure.axes
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == ["cosine", "relative L2 error"]
    assert all("step h" in axes.get_xlabel() for axes in errors)
    shown = area.containers[0].lines[0]
    np.testing.assert_array_equal(shown.get_xdata(), [1.0, 10.0])
    np.testing.assert_array_equal(shown.get_ydata(), [0.5, 0.9])
    assert len(everything.containers[0].lines[0].get_xdata()) == 0
    assert imread(io.BytesIO(as_png(figure))).ndim == 3


def test_inversion_shows_truth_fields_and_spectra() -> None:
    field, spectrum = case().rain_rate, np.array([8.0, 4.0, 2.0, 1.0])
    shown = InversionCase("a tile", field, {"exact": field, "pcr": 0 * field}, dict(TITLES))
    figure = inverted_fields(
        [shown, shown],
        wavelengths=np.array([32.0, 16.0, 8.0, 2.0]),  # the last is shorter than two pixels
        truth_spectrum=spectrum,
        spectra={"exact": 0.5 * spectrum, "pcr": 0.0 * spectrum},
        titles=TITLES,
        lines={name: line_of(name) for name in TITLES},
        tiles=8,
        pixel_km=2.0,
        attribution="Data: somebody",
    )
    power, ratio = (
        next(axes for axes in figure.axes if axes.get_ylabel().startswith(label))
        for label in ("RAPSD, mean of 8 tiles [(mm/h)²]", "truth / inverted")
    )
    np.testing.assert_array_equal(power.lines[0].get_ydata(), spectrum[:3])
    np.testing.assert_array_equal(ratio.lines[0].get_ydata(), [2.0, 2.0, 2.0])
    assert np.isnan(ratio.lines[1].get_ydata()).all()  # a dry field has no power
    assert power.get_xlim()[0] > power.get_xlim()[1]
    assert [axes.get_title() for axes in figure.axes if axes.get_title()] == [
        *("truth\na tile", "Exact\nExact", "PCR\nPCR") * 2
    ]
    assert imread(io.BytesIO(as_png(figure))).ndim == 3


def test_the_mechanism_outlines_the_cell_in_its_place() -> None:
    test = cell_test(16, 0.1)
    factors = np.linspace(0.0, 2.0, 5)
    exact = factors[:, None] * [[1.0, 2.0, 3.0]]
    figure = response_of_a_cell(
        test.rain_rate,
        test.cell,
        {"exact": test.cell.astype(float), "pcr": np.zeros((16, 16))},
        ResponseCurves(factors, 10.0, exact, {"exact": exact, "pcr": 0.0 * exact}),
        titles=TITLES,
        functionals=FUNCTIONALS,
        pixel_km=2.0,
        attribution="Synthetic field, not a measurement",
    )
    field = next(axes for axes in figure.axes if axes.get_title() == "field")
    outline = np.concatenate([path.vertices for path in field.collections[0].get_paths()])
    rows, columns = np.nonzero(test.cell)
    # Row 0 is the northernmost: kilometres count from the south.
    assert outline[:, 0].mean() == pytest.approx(2.0 * (columns.mean() + 0.5), abs=0.7)
    assert outline[:, 1].mean() == pytest.approx(2.0 * (15.5 - rows.mean()), abs=0.7)
    panels = [axes for axes in figure.axes if axes.get_title() == "at 10.00 mm/h"]
    assert [axes.get_ylabel() for axes in panels] == ["area [km²]", "perimeter [km]", "components"]
    assert [line.get_label() for line in panels[0].lines] == ["true", "Exact", "PCR"]
    np.testing.assert_array_equal(panels[2].lines[1].get_ydata(), exact[:, 2])
    assert imread(io.BytesIO(as_png(figure))).ndim == 3


def test_no_two_surrogates_look_alike() -> None:
    names = ("exact", "analytical", "pcr", "cnn", "cnn-constrained", "lip-cnn")
    lines = [line_of(name) for name in (*names, "lip-cnn-constrained")]
    assert len({line["color"] for line in lines}) == len({line["marker"] for line in lines}) == 7
