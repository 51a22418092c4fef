"""Show: what is drawn is what lies in the file or in the store."""

from __future__ import annotations

import io
import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.image import imread

import minkgen
from minkgen.cli.main import cli
from minkgen.errors import InputError, StoreError
from minkgen.evaluate.figures.quick_look import TileLook, quick_look
from minkgen.opera.keys import ArchiveKey
from minkgen.workflows.show import DEFAULT_THRESHOLDS, look_at_file, look_at_store
from tests.workflows.conftest import START

PLACE = (192, 256)


@pytest.fixture
def file(synthetic_archive: Path) -> Path:
    return synthetic_archive / ArchiveKey(START, "RATE").path


def test_gamma_of_a_file_is_that_of_the_tile_at_the_place(file: Path) -> None:
    look = look_at_file(file, PLACE)
    rain = minkgen.open_composite(file)["rain_rate"][192:320, 256:384]
    gamma = minkgen.gamma_matrix(rain.where(rain >= 0.1, 0.0), DEFAULT_THRESHOLDS)
    assert np.array_equal(list(look.content["tile"]["gamma"].values()), gamma)
    assert gamma.sel(functional="area")[0] > 0
    assert "made-up" in look.content["attribution"].lower()
    assert imread(io.BytesIO(look.png)).ndim == 3


def test_a_store_gives_what_its_file_gives(ingested_store: Path, file: Path) -> None:
    of_store = look_at_store(ingested_store, datetime(2024, 7, 1), PLACE)
    assert of_store.content == look_at_file(file, PLACE).content


def test_what_is_not_there_is_explained(ingested_store: Path, file: Path) -> None:
    with pytest.raises(StoreError, match="nobody asked for it") as missing:
        look_at_store(ingested_store, datetime(2024, 7, 1, 12))
    assert "00:00 to 05:45" in str(missing.value)
    with pytest.raises(InputError, match="rows 0 to 384, columns 0 to 512"):
        look_at_file(file, (385, 0))


def test_the_gamma_of_a_sample_is_the_one_in_the_snapshot(computed_store: Path) -> None:
    sample = minkgen.open_features(computed_store, "test").isel(sample=0)
    place = int(sample["row"]), int(sample["column"])
    look = look_at_store(computed_store, sample["time"].values.astype("M8[s]").item(), place)
    assert list(look.content["tile"]["gamma"]) == sample["functional"].values.tolist()
    assert np.array_equal(list(look.content["tile"]["gamma"].values()), sample["gamma"])


def test_north_is_up_and_the_outline_is_where_the_tile_is() -> None:
    rain = np.full((300, 200), np.nan, np.float32)
    rain[:150] = 0.0
    rain[10:60, 20:50] = 5.0
    tile = TileLook(
        row=10,
        column=20,
        rain_rate=rain[10:60, 20:70],
        thresholds=np.array([1.0, 2.0, 9.0], np.float32),
        outlined=(0, 2),
        functionals=("area", "perimeter", "components", "holes"),
        gamma=np.ones((4, 3), np.float32),
    )
    figure = quick_look(rain, pixel_km=2.0, title="a field", attribution="somebody", tile=tile)
    field, zoom = figure.subfigs[0].axes[:2]
    (outline,) = field.patches
    assert outline.get_xy() == (40.0, 480.0)
    assert (outline.get_width(), outline.get_height()) == (100.0, 100.0)
    rates, missing = field.images
    assert rates.origin == "upper"
    assert rates.get_extent() == [0.0, 400.0, 0.0, 600.0]
    assert np.array_equal(rates.get_array().filled(0.0), np.where(rain > 0, rain, 0.0))
    assert np.array_equal(missing.get_array().mask, np.isfinite(rain))
    # What is nowhere reached has no outline: only the lowest threshold's is drawn.
    (outlines,) = zoom.collections
    corners = np.concatenate([path.vertices for path in outlines.get_paths()])
    assert corners[:, 0].max() == 60.0


def test_the_command_draws_and_refuses(ingested_store: Path, file: Path, tmp_path: Path) -> None:
    def show(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(cli, ["show", *arguments])
        return result.exit_code, result.stdout, result.stderr

    picture = tmp_path / "picture.png"
    status, out, _ = show(str(file), "--tile", "0,64", "-o", str(picture), "--json")
    assert status == 0
    assert json.loads(out)["tile"]["column"] == 64
    assert picture.read_bytes().startswith(b"\x89PNG")
    for arguments, reason in (
        ((str(ingested_store),), "--time"),
        ((str(file), "--time", "2024-07-01T00:00"), "one composite"),
        ((str(file), "--tile", "north"), "ROW,COLUMN"),
        ((str(file), "-o", "picture.jpg"), ".png"),
    ):
        status, _, err = show(*arguments)
        assert status == 2
        assert reason in err
