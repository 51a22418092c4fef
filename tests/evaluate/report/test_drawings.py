"""Charts, calendars, timelines and maps: what is drawn, read back from the SVG."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from minkgen.evaluate.report.blocks import (
    Axis,
    Calendar,
    CalendarDay,
    Curves,
    Mark,
    RasterMap,
    Series,
    Span,
    Timeline,
)
from minkgen.evaluate.report.calendar import calendar_legend, years
from minkgen.evaluate.report.charts import chart, legend
from minkgen.evaluate.report.raster import is_broad, raster
from minkgen.evaluate.report.timeline import timeline
from tests.evaluate.report import made_up

SVG = "{http://www.w3.org/2000/svg}"
NAN = float("nan")


def parsed(drawn: str) -> ElementTree.Element:
    root = ElementTree.fromstring(drawn)  # noqa: S314 - our own
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    # What names the drawing is in it.
    named = [root.find(f".//*[@id='{key}']") for key in root.get("aria-labelledby", "").split()]
    assert [found.tag for found in named if found is not None] == [f"{SVG}title", f"{SVG}desc"]
    return root


def of_class(root: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return (found for found in root.iter() if name in found.get("class", "").split())


def line(*series: Series, x: Axis | None = None, y: Axis | None = None) -> ElementTree.Element:
    return parsed(chart(Curves("t", x or Axis("x"), y or Axis("y"), series), "c"))


def paths(root: ElementTree.Element) -> list[str]:
    return [found.get("d", "") for found in of_class(root, "line")]


def test_a_line_is_broken_where_a_value_is_missing() -> None:
    y = np.array([1.0, 2.0, NAN, 3.0, 4.0, NAN, 5.0])
    root = line(Series("a", np.arange(7.0), y))
    (d,) = paths(root)
    assert d.count("M") == 2, "the lone point has no line"
    assert len(list(root.iter(f"{SVG}circle"))) == 5, "but it has a point"


def test_a_logarithmic_axis_leaves_out_what_it_has_no_place_for() -> None:
    y = np.array([0.0, 1.0, 10.0, -1.0])
    root = line(Series("a", np.arange(4.0), y), y=Axis("y", "log"))
    assert len(list(root.iter(f"{SVG}circle"))) == 2


def test_higher_values_are_higher_and_later_ones_to_the_right() -> None:
    root = line(Series("a", np.array([1.0, 10.0, 100.0]), np.arange(3.0)), x=Axis("x", "log"))
    places = [(float(c.get("cx", 0)), float(c.get("cy", 0))) for c in root.iter(f"{SVG}circle")]
    steps = np.diff(places, axis=0)
    assert steps[0] == pytest.approx(steps[1], abs=0.02), "equal ratios are equally far"
    assert steps[0][0] > 50
    assert steps[0][1] < -50


def test_values_are_told_with_names_and_units() -> None:
    root = line(Series("CNN", np.array([0.5]), np.array([12.0])), y=Axis("area [km²]"))
    (title,) = next(root.iter(f"{SVG}circle"))
    assert title.text == "CNN\nx: 0.500\narea [km²]: 12.0"


def test_a_histogram_stands_on_its_axis() -> None:
    root = parsed(chart(made_up.histogram(), "h"))
    first, _ = paths(root)
    heights = [float(corner.split()[1]) for corner in first.removeprefix("M").split("L")]
    assert heights[0] == heights[-1] == max(heights)
    assert min(heights) == heights[7] == heights[8], "the fourth bin is the fullest"
    assert len(heights) == 2 * 6 + 2
    told = next(of_class(root, "reach"))
    assert told[0].text == "components\npersistence [mm/h]: 0.0100 to 0.03162\npairs: 0"


@pytest.mark.parametrize("y", [np.empty(0), np.full(3, NAN)])
def test_a_chart_without_values_says_so(y: np.ndarray) -> None:
    root = line(Series("a", np.arange(float(len(y))), y), y=Axis("y", "log"))
    assert "No values" in "".join(root.itertext())
    assert "No values" in "".join(line().itertext())
    assert "No values" not in "".join(line(Series("a", np.ones(2), np.ones(2))).itertext())


def test_colours_have_dashes_unless_the_dashes_mean_something() -> None:
    def looks(*series: Series) -> list[str]:
        drawn = Curves("t", Axis("x"), Axis("y"), series)
        root = parsed(chart(drawn, "c"))
        assert all(name.get("class", "") in legend(series) for name in of_class(root, "series"))
        return [found.get("class", "") for found in of_class(root, "series")]

    one = np.ones(2)
    by_colour = looks(Series("a", one, one, group=0), Series("b", one, one, group=1))
    assert by_colour == ["series group-0 dash-0", "series group-1 dash-1"]
    by_style = looks(
        Series("a", one, one, group=0, style=1), Series("b", one, one, group=9, style=0)
    )
    assert by_style == ["series group-0 dash-1", "series group-1 dash-0"]


def test_lines_and_their_names_belong_to_a_split() -> None:
    series = (Series("a", np.ones(2), np.ones(2), "train"), Series("b", np.ones(2), np.ones(2)))
    assert [g.get("data-split") for g in of_class(line(*series), "series")] == ["train", None]
    assert legend(series).count("data-split") == 1


def test_marks_that_have_no_place_are_left_out() -> None:
    marks = (Mark(0.0, "zero"), Mark(NAN, "nothing"), Mark(2.0, "two"))
    series = (Series("a", np.array([1.0, 9.0]), np.ones(2)),)
    root = parsed(chart(Curves("t", Axis("x", "log"), Axis("y"), series, marks), "c"))
    (drawn,) = of_class(root, "mark")
    assert drawn[0].text == "two: 2.00"


def test_thousands_of_points_are_drawn_as_a_line_only() -> None:
    root = line(Series("a", np.arange(5000.0), np.arange(5000.0)))
    assert not list(root.iter(f"{SVG}circle"))
    assert paths(root)[0].count("L") == 4999


def test_a_year_of_days() -> None:
    drawn = dict(years(made_up.calendar(400), "k"))
    assert list(drawn) == [2024, 2025]
    root = parsed(drawn[2024])
    days = list(of_class(root, "day"))
    assert len(days) == 366
    assert days[0][0].text == "2024-01-01: ok 96\nODYSSEY"
    assert days[29][0].text == "2024-01-30: ok 90, absent 3, failed 2, corrupt 1\nODYSSEY"
    # 2024 began on a Monday: the eighth day is a week to the right of the first.
    assert [days[7][1].get(key) for key in ("x", "y")] == ["12", days[0][1].get("y")]
    heights = [float(part.get("height", 0)) for part in days[29][1:]]
    assert sum(heights) == pytest.approx(11.0, abs=0.05)
    assert min(heights) >= 2.0, "a single slot is seen"
    assert len(list(of_class(root, "era-0"))) == len(list(of_class(root, "era-1"))) == 1


def test_days_without_slots_and_without_an_era() -> None:
    day = CalendarDay(date(2024, 2, 29), (0, 0), "")
    block = Calendar("t", ("ok", "absent"), (day,))
    ((_, drawn),) = years(block, "k")
    (found,) = of_class(parsed(drawn), "day")
    assert found[0].text == "2024-02-29: no slots"
    assert found[1].get("class") == "no-slots"
    assert "Line below" not in calendar_legend(block)
    assert list(years(Calendar("t", ("ok",), ()), "k")) == []


def test_a_gap_between_spans_stays_empty() -> None:
    root = parsed(timeline(made_up.timeline(), "t"))
    bars = [next(span.iter(f"{SVG}rect")) for span in of_class(root, "span")]
    edges = [(float(b.get("x", 0)), float(b.get("x", 0)) + float(b.get("width", 0))) for b in bars]
    for before, after in pairwise(edges):
        assert (after[0] - before[1]) / (before[1] - before[0]) == pytest.approx(1 / 11, rel=0.01)
    assert "train 2024" in "".join(root.itertext())
    assert [span.get("data-split") for span in of_class(root, "span")] == list(made_up.SPLITS)


def test_a_span_of_minutes_in_years_is_still_seen() -> None:
    start = datetime(2012, 1, 1, tzinfo=UTC)
    short = Span("gap", start, start + timedelta(minutes=15), "short")
    long = Span("train", start, start + timedelta(days=5000), "long", "train")
    root = parsed(timeline(Timeline("t", (short, long)), "t"))
    assert float(next(next(of_class(root, "span")).iter(f"{SVG}rect")).get("width", 0)) == 2.0
    assert "No spans" in "".join(parsed(timeline(Timeline("t", ()), "t")).itertext())


def pixels(root: ElementTree.Element) -> np.ndarray:
    from matplotlib.image import imread

    address = next(root.iter(f"{SVG}image")).get("href", "")
    return imread(io.BytesIO(base64.b64decode(address.partition(",")[2])))


def test_a_map_has_north_at_the_top_and_leaves_nan_empty() -> None:
    values = np.array([[0.0, NAN, 2.0], [3.0, 4.0, 10.5]])
    root = parsed(raster(RasterMap("t", values, (6.0, 4.0), "rain [mm/h]"), "m"))
    image = pixels(root)
    assert image.shape == (2, 3, 4)
    assert image[..., 3].tolist() == [[1, 0, 1], [1, 1, 1]]
    assert image[0, 0, :3] == pytest.approx([0.267, 0.005, 0.329], abs=0.01), "viridis' lowest"
    assert image[1, 2, :3] == pytest.approx([0.993, 0.906, 0.144], abs=0.01), "viridis' highest"
    north = [text for text in root.iter(f"{SVG}text") if text.get("text-anchor") == "end"]
    assert north[0].text == "0.0"
    assert float(north[0].get("y", 0)) > float(north[-1].get("y", 0)) + 100
    box = next(root.iter(f"{SVG}image"))
    first = next(of_class(root, "reach"))[0]
    assert [first.get(side) for side in "xy"] == [box.get(side) for side in "xy"]
    told = [cell[0].text for cell in next(of_class(root, "reach"))]
    assert told == [f"rain [mm/h]: {v}" for v in ("0", "2", "3", "4", "10.5")]


def test_a_large_map_is_averaged_without_its_gaps() -> None:
    values = np.full((1900, 2200), 7.0)
    values[0] = NAN
    values[:3, :3] = NAN
    values[-1, -1] = 700.0
    root = parsed(raster(RasterMap("t", values, (4400.0, 3800.0), "rain"), "m"))
    image = pixels(root)
    assert image.shape[:2] == (634, 734)
    assert image[0, 0, 3] == 0, "nothing was seen in the corner"
    assert image[..., 3].sum() == image[..., 3].size - 1
    assert not list(of_class(root, "reach"))


def test_maps_without_values_and_of_one_value() -> None:
    for value in (NAN, 0.0, 5.0):
        block = RasterMap("t", np.full((3, 2), value), (2.0, 3.0), "rain", scale="log")
        assert pixels(parsed(raster(block, "m"))).shape == (3, 2, 4)


def test_broad_pictures() -> None:
    assert is_broad(made_up.png(10, 1000))
    assert not is_broad(made_up.png(1000, 720))
