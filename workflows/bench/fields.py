"""What the γ benchmark computes on: rain tiles, a large cut-out, smoothed fields, adversaries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minkgen.errors import InputError
from minkgen.gamma.thresholds import ValueHistogram, quantile_thresholds
from minkgen.grid import Grid
from minkgen.opera.fetching.folder import FolderSource
from minkgen.opera.keys import ArchiveKey
from minkgen.opera.odim import SYNTHETIC_MARK, read_composite
from minkgen.opera.synthetic import rain_field
from minkgen.recipe import DEFAULT_LEVELS, Tiles
from minkgen.store.layout import OPERA_ATTRIBUTION, SYNTHETIC_ATTRIBUTION
from minkgen.tiles.eligibility import cut_tile, scan_frame

__all__ = [
    "CUT_OUT",
    "SEED",
    "TILES",
    "Rain",
    "adversaries",
    "drawn_composites",
    "network_like",
    "rain_for_bench",
]

Float32 = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.int64]

SEED = 0
TILES = Tiles()
# Rows and columns of the large cut-out, in pixels.
CUT_OUT = 1024
# Of a folder with more composites, so many are drawn: a benchmark needs no archive.
_COMPOSITES = 24
_SYNTHETIC_GRID = Grid("bench_2km", CUT_OUT, CUT_OUT, 2.0, 0.0, 0.0)
_SYNTHETIC_START = datetime(2024, 7, 1, tzinfo=UTC)
_SYNTHETIC_STEP = timedelta(hours=6)


class Rain(NamedTuple):
    """The rain that is timed.

    Attributes
    ----------
    source : str
        Where it is from, in words.
    attribution : str
    available : int
        Wet tiles that were found.
    tiles : ndarray of float32, shape (n, size, size)
        A seeded choice of these, in random order.
    cut_out : ndarray of float32, shape (1, h, w)
        The best-covered window of all composites, up to 1024 x 1024 pixels; missing is dry.
    thresholds : ndarray of float32, shape (Q,)
        Quantiles of the wet pixels of `tiles`, in mm/h.
    """

    source: str
    attribution: str
    available: int
    tiles: Float32
    cut_out: Float32
    thresholds: Float32


def rain_for_bench(folder: Path | None, count: int) -> Rain:
    """Return rain of a folder in the archive's layout, or synthetic rain without one.

    Parameters
    ----------
    folder : Path or None
    count : int
        Number of tiles, at least 1; a folder may hold fewer.

    Returns
    -------
    Rain

    Raises
    ------
    InputError
        If the folder holds no rain-rate composite, or no covered tile with rain.
    SourceError
        If a composite cannot be read.
    """
    if folder is None:
        kind, found = "synthetic rain", _find_rain(_synthetic_frames(), enough=count)
    else:
        kind, found = "composites", _find_rain(_composites(folder))
    if not found.tiles:
        raise InputError(
            "there is no rain to time",
            where=folder,
            got=f"{found.frames} rain-rate composites, no covered tile with rain",
            expected="YYYY/MM/DD/OPERA/COMP/OPERA@YYYYMMDDTHHMM@0@RATE.h5 (or QIND_RATE) below it",
            hint="give another folder, or none for synthetic rain",
        )
    order = np.random.default_rng(SEED).permutation(len(found.tiles))[:count]
    tiles = np.stack([found.tiles[place] for place in order])
    climatology = ValueHistogram.from_values(tiles[tiles > 0])
    return Rain(
        source=f"{kind} (frames: {found.frames})",
        attribution="; ".join(sorted(found.attributions)),
        available=len(found.tiles),
        tiles=tiles,
        cut_out=np.nan_to_num(found.cut_out, nan=0.0)[None],
        thresholds=quantile_thresholds(climatology, DEFAULT_LEVELS).values,
    )


class _Frame(NamedTuple):
    rain_rate: Float32
    attribution: str


class _Found(NamedTuple):
    frames: int
    attributions: set[str]
    tiles: list[Float32]
    cut_out: Float32


def _find_rain(frames: Iterable[_Frame], enough: int | None = None) -> _Found:
    """Cut wet covered tiles as the store does, until there are enough, and the best window."""
    count, attributions, tiles = 0, set(), []
    best_covered, cut_out = -1, np.empty((0, 0), np.float32)
    for rain_rate, attribution in frames:
        count += 1
        attributions.add(attribution)
        described = scan_frame(rain_rate, TILES)
        wet = described.wet_fraction > 0
        corners = zip(described.row[wet].tolist(), described.column[wet].tolist(), strict=True)
        tiles += [cut_tile(rain_rate, row, column, TILES) for row, column in corners]
        covered, window = _best_covered_window(rain_rate)
        if covered > best_covered:
            best_covered, cut_out = covered, window
        if enough is not None and len(tiles) >= enough:
            break
    return _Found(count, attributions, tiles, cut_out)


def _best_covered_window(rain_rate: Float32) -> tuple[int, Float32]:
    """Return the best-covered window of up to 1024 x 1024 pixels, moved in steps of a tile."""
    size = TILES.size
    rows, columns = (length // size for length in rain_rate.shape)
    blocks = np.isfinite(rain_rate[: rows * size, : columns * size])
    covered = blocks.reshape(rows, size, columns, size).sum(axis=(1, 3))
    shape = min(rows, CUT_OUT // size), min(columns, CUT_OUT // size)
    windows = np.lib.stride_tricks.sliding_window_view(covered, shape).sum(axis=(2, 3))
    row, column = (int(place) for place in np.unravel_index(windows.argmax(), windows.shape))
    south, east = (row + shape[0]) * size, (column + shape[1]) * size
    return int(windows.max()), rain_rate[row * size : south, column * size : east].copy()


def drawn_composites(folder: Path) -> list[tuple[Path, ArchiveKey]]:
    """Draw rain-rate composites of a folder in the archive's layout, in the order of their times.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    list of tuple of Path and ArchiveKey
        A seeded choice.
    """
    source = FolderSource(folder)
    keys = [listed.key for day in _days(folder) for listed in source.list_day(day).values()]
    drawn = np.random.default_rng(SEED).permutation(len(keys))[:_COMPOSITES]
    return [(source.path(keys[place]), keys[place]) for place in sorted(drawn.tolist())]


def _composites(folder: Path) -> Iterator[_Frame]:
    for path, key in drawn_composites(folder):
        composite = read_composite(path, key)
        made_up = SYNTHETIC_MARK in composite.source
        yield _Frame(composite.values, SYNTHETIC_ATTRIBUTION if made_up else OPERA_ATTRIBUTION)


def _days(folder: Path) -> Iterator[date]:
    for path in sorted(folder.glob("*/*/*")):
        try:
            yield datetime.strptime("/".join(path.parts[-3:]), "%Y/%m/%d").date()
        except ValueError:
            continue


def _synthetic_frames() -> Iterator[_Frame]:
    time = _SYNTHETIC_START
    while True:
        yield _Frame(rain_field(_SYNTHETIC_GRID, time, seed=SEED), SYNTHETIC_ATTRIBUTION)
        time += _SYNTHETIC_STEP


def network_like(tiles: Float32) -> Float32:
    """Make dense fields as networks put out: smoothed rain, and nowhere quite dry.

    Parameters
    ----------
    tiles : ndarray of float32, shape (n, H, W)

    Returns
    -------
    ndarray of float32, shape (n, H, W)
        The tiles after a Gaussian filter (standard deviation 3 pixels), plus smooth positive noise
        around 0.02 mm/h. Drizzle is not zeroed.
    """
    from scipy.ndimage import gaussian_filter

    deviation = (0.0, 3.0, 3.0)
    noise = np.random.default_rng(SEED).standard_normal(tiles.shape, np.float32)
    smooth_noise = gaussian_filter(noise, deviation)
    smooth_noise /= smooth_noise.std()
    dense = gaussian_filter(tiles, deviation) + 0.02 * np.exp(0.5 * smooth_noise)
    return np.asarray(dense, np.float32)


def adversaries(side: int) -> dict[str, Float32]:
    """Return fields that are hard for algorithms on critical points, by their names.

    Checkerboards have the most saddles. On a winding corridor whose values rise steadily, a path
    followed upward (in the inverted field downward) is as long as the corridor; with rough walls
    between its bends, thousands of saddles look onto it.

    Parameters
    ----------
    side : int
        Rows and columns; even.

    Returns
    -------
    dict of str to ndarray of float32, shape (side, side)
        In mm/h. Every field, and the same field subtracted from its maximum.
    """
    random = np.random.default_rng(SEED)
    noise = random.uniform(0.1, 10.0, (side, side)).astype(np.float32)
    board = (np.indices((side, side)).sum(axis=0) % 2).astype(np.float32)
    fields = {"checkerboard": board, "checkerboard of random heights": board * noise}
    fields["noise"] = noise
    across = _serpentine(side)
    down = across % side * side + across // side
    corridors = {"serpentine across": across, "serpentine down": down, "spiral": _spiral(side)}
    for name, pixels in corridors.items():
        rising = np.linspace(1.0, 10.0, pixels.size, dtype=np.float32)
        flat = np.zeros((side, side), np.float32)
        rough = random.uniform(0.1, 0.9, (side, side)).astype(np.float32)
        fields[name] = _along(pixels, np.ones_like(rising), flat)
        fields[f"{name}, rising"] = _along(pixels, rising, flat)
        fields[f"{name}, rising, rough walls"] = _along(pixels, rising, rough)
    inverted = {f"{name}, inverted": field.max() - field for name, field in fields.items()}
    return fields | inverted


def _along(pixels: Pixels, values: Float32, walls: Float32) -> Float32:
    field = walls.copy()
    field.flat[pixels] = values
    return field


def _serpentine(side: int) -> Pixels:
    """Return flat indices along every second row, back and forth, joined at alternate ends."""
    grid = np.arange(side * side).reshape(side, side)
    path = []
    for row in range(0, side, 2):
        step = 1 if row % 4 == 0 else -1
        path += grid[row, ::step].tolist()
        path += grid[row + 1, ::step][-1:].tolist()
    return np.array(path)


def _spiral(side: int) -> Pixels:
    """Return flat indices along a corridor that winds inward, its turns one pixel apart."""
    row = column = 0
    path = [0]
    # Three whole sides, then every two are two pixels shorter.
    lengths = [side - 1, *(length for length in range(side - 1, 0, -2) for _ in range(2))]
    for turn, length in enumerate(lengths):
        down, right = ((0, 1), (1, 0), (0, -1), (-1, 0))[turn % 4]
        for _ in range(length):
            row, column = row + down, column + right
            path.append(row * side + column)
    return np.array(path)
