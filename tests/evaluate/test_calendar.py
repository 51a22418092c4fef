"""The picture of the calendar: every quarter in its place, in a colour that can be told apart."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from skimage.color import deltaE_ciede2000, rgb2lab

from minkgen.errors import InputError
from minkgen.evaluate.calendar import COLOURS, NOT_ASKED, draw_calendar

FIRST = date(2023, 8, 1)


def days(count: int) -> list[date]:
    return [FIRST + timedelta(days=index) for index in range(count)]


def draw(kinds: npt.NDArray[Any]) -> Figure:
    return draw_calendar(days(len(kinds)), kinds, title="a store", attribution="Data: somebody")


def all_of(kind: str, count: int) -> npt.NDArray[Any]:
    return np.full((count, 96), kind, dtype=object)


def pixels(figure: Figure) -> npt.NDArray[np.float64]:
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3] / 255.0


def shows(image: npt.NDArray[np.float64], kind: str) -> npt.NDArray[np.bool_]:
    return np.abs(image - to_rgb(COLOURS[kind])).max(axis=2) < 0.01


def test_midnight_of_the_first_day_is_at_the_top_left() -> None:
    kinds = all_of("ODYSSEY", 2)
    kinds[0, :48] = "failed"
    image = pixels(figure := draw(kinds))
    failed, ok = shows(image, "failed"), shows(image, "ODYSSEY")
    box = figure.axes[0].get_window_extent()
    left, right = int(box.x0), int(box.x1)
    top, bottom = len(image) - int(box.y1), len(image) - int(box.y0)
    middle_x, middle_y = (left + right) // 2, (top + bottom) // 2
    assert failed[top + 4 : middle_y - 4, left + 4 : middle_x - 4].all()
    assert ok[top + 4 : middle_y - 4, middle_x + 4 : right - 4].all()
    assert ok[middle_y + 4 : bottom - 4, left + 4 : right - 4].all()
    assert figure.axes[0].get_xlim() == (0.0, 24.0)
    assert figure.axes[0].get_ylim() == (2.0, 0.0)  # as the dates beside it


@pytest.mark.parametrize("count", [1, 60, 5500])
def test_the_attribution_stands_below_the_legend(count: int) -> None:
    kinds = all_of("ODYSSEY", count)
    kinds[0, : len(COLOURS)] = list(COLOURS)
    attribution = "Made-up data: minkgen's synthetic rain, not a measurement"
    figure = draw_calendar(days(count), kinds, title="a store", attribution=attribution)
    figure.canvas.draw()
    [legend], [foot] = figure.legends, figure.texts
    assert 0 <= foot.get_window_extent().y0 < foot.get_window_extent().y1
    assert foot.get_window_extent().y1 <= legend.get_window_extent().y0
    [axes] = figure.axes
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    hours = axes.xaxis.get_tightbbox(canvas.get_renderer())
    assert legend.get_window_extent().y1 <= hours.y0
    dates = axes.yaxis.get_tightbbox(canvas.get_renderer())
    assert dates.x0 >= 0


def test_the_legend_names_what_occurs_with_its_number() -> None:
    kinds = all_of("NIMBUS", 1)
    kinds[0, :3], kinds[0, 3:5] = "absent", NOT_ASKED
    figure = draw(kinds)
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "ok, NIMBUS (91)",
        "absent (3)",
        "not asked (2)",
    ]
    assert [text.get_text() for text in figure.texts] == ["Data: somebody"]
    [axes] = figure.axes
    assert axes.get_xlabel() == "hour of the day [UTC]"
    assert axes.get_title() == "a store"


@pytest.mark.parametrize(
    ("count", "labels", "of_days"),
    [
        (2, 2, {1, 2}),
        (32, 32, set(range(1, 32))),
        (60, 12, {1, 6, 11, 16, 21, 26}),
        (460, 31, {1, 16}),
        (900, 30, {1}),
        (5500, 15, {1}),
    ],
)
def test_dates_are_as_many_as_can_be_read(count: int, labels: int, of_days: set[int]) -> None:
    [axes] = draw(all_of("ODYSSEY", count)).axes
    written = [date.fromisoformat(label.get_text()) for label in axes.get_yticklabels()]
    assert len(written) == labels
    assert {day.day for day in written} == of_days
    rows = [(day - FIRST).days + 0.5 for day in written]
    assert list(axes.get_yticks()) == rows


@pytest.mark.parametrize("count", [1, 60, 460, 1080])
def test_the_height_is_bounded(count: int) -> None:
    assert 2.5 < draw(all_of("ODYSSEY", count)).get_figheight() < 11.0


@pytest.mark.parametrize("count", [460, 5500])
def test_no_quarter_gets_lost_among_many_days(count: int) -> None:
    kinds = all_of("ODYSSEY", count)
    marked = list(range(0, count, 37))
    kinds[marked, 50] = "failed"
    failed = shows(pixels(figure := draw(kinds)), "failed")
    box = figure.axes[0].get_window_extent()
    column = failed[:, int(box.x0 + box.width * 50.5 / 96)].astype(int)
    assert np.count_nonzero(np.diff(column) == 1) == len(marked)


def seen_as(colour: str, cones: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the CIELAB of a colour by the model of Machado, Oliveira and Fernandes (2009)."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(cones @ linear, 0.0, 1.0)
    gamma = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    return np.asarray(rgb2lab(gamma), np.float64)


@pytest.mark.parametrize(
    "cones",
    [
        pytest.param(np.eye(3), id="all"),
        pytest.param(
            np.array(
                [
                    [0.152286, 1.052583, -0.204868],
                    [0.114503, 0.786281, 0.099216],
                    [-0.003882, -0.048116, 1.051998],
                ]
            ),
            id="without red",
        ),
        pytest.param(
            np.array(
                [
                    [0.367322, 0.860646, -0.227968],
                    [0.280085, 0.672501, 0.047413],
                    [-0.011820, 0.042940, 0.968881],
                ]
            ),
            id="without green",
        ),
        pytest.param(
            np.array(
                [
                    [1.255528, -0.076749, -0.178779],
                    [-0.078411, 0.930809, 0.147602],
                    [0.004733, 0.691367, 0.303900],
                ]
            ),
            id="without blue",
        ),
    ],
)
def test_colours_can_be_told_apart(cones: npt.NDArray[np.float64]) -> None:
    for first, second in combinations(COLOURS, 2):
        pair = seen_as(COLOURS[first], cones), seen_as(COLOURS[second], cones)
        assert deltaE_ciede2000(*pair) > 12.0, (first, second)


@pytest.mark.parametrize(
    "kinds",
    [all_of("ODYSSEY", 3), np.full(96, "ODYSSEY", object), all_of("lost", 2)],
    ids=["other number of days", "one day without an axis", "unknown state"],
)
def test_what_is_no_calendar_is_refused(kinds: npt.NDArray[Any]) -> None:
    with pytest.raises(InputError):
        draw_calendar(days(2), kinds, title="", attribution="")
    with pytest.raises(InputError):
        draw_calendar([], kinds[:0], title="", attribution="")
