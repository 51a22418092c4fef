"""The section of places: how many samples lie where, over what the radars cover."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minkgen.evaluate.report.blocks import RasterMap, Section
from minkgen.grid import Grid
from minkgen.store.composites import open_composites
from minkgen.workflows.report.contents import Contents, SplitSamples

__all__ = ["places_section"]

# A composite of 2200 x 1900 pixels takes 10 ms to read.
MOST_FRAMES = 8
MOST_CELLS = 110

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Cells:
    """Square cells of pixels that cover a grid from its first tile on.

    Attributes
    ----------
    first : tuple of int
        Row and column of the first cell's north-west pixel.
    pixels : int
        Side of a cell.
    shape : tuple of int
        Rows and columns of cells.
    """

    first: tuple[int, int]
    pixels: int
    shape: tuple[int, int]

    def count(self, samples: SplitSamples) -> Floats:
        """Return how many samples have their north-west pixel in each cell."""
        row = (samples.row - self.first[0]) // self.pixels
        column = (samples.column - self.first[1]) // self.pixels
        counts = np.bincount(row * self.shape[1] + column, minlength=self.shape[0] * self.shape[1])
        return counts.reshape(self.shape).astype(np.float64)

    def mean(self, values: npt.NDArray[np.floating]) -> Floats:
        """Return the mean of pixels over each cell, of those that lie on the grid."""
        row, column = self.first
        rows, columns = (np.arange(number) * self.pixels for number in self.shape)
        inside = values[
            row : row + self.shape[0] * self.pixels, column : column + self.shape[1] * self.pixels
        ]
        ones = np.ones(inside.shape, np.float32)
        total, weight = (
            np.add.reduceat(np.add.reduceat(field, rows, axis=0), columns, axis=1)
            for field in (inside, ones)
        )
        return np.asarray(total / weight, np.float64)

    def extent_km(self, pixel_km: float) -> tuple[float, float]:
        """Return width and height of all cells."""
        height, width = (number * self.pixels * pixel_km for number in self.shape)
        return width, height


def places_section(contents: Contents) -> Section | None:
    """Return maps of samples, of all splits and of each, and of coverage."""
    coverage = _coverage(contents)
    maps = [*_sample_maps(contents, coverage), *_coverage_map(contents, coverage)]
    return Section("places", "Places", tuple(maps)) if maps else None


@dataclass(frozen=True)
class _Coverage:
    """In what share of some composites each pixel is covered."""

    share: npt.NDArray[np.float32]
    frames: int


def _coverage(contents: Contents) -> _Coverage | None:
    if contents.ledger is None or not contents.paths.composites.exists():
        return None
    composites = open_composites(contents.paths)
    times = [time for day in contents.ledger.days for time in day.eras]
    chosen = np.unique(np.linspace(0, len(times) - 1, min(len(times), MOST_FRAMES)).round())
    covered, frames = np.zeros(composites.grid.shape, np.float32), 0
    for place in chosen.astype(int).tolist():
        if composites.shard_file(composites.product.variable, times[place]).exists():
            covered += ~np.isnan(composites.read(composites.product.variable, times[place])[0])
            frames += 1
    return _Coverage(covered / np.float32(frames), frames) if frames else None


def _tile_cells(contents: Contents, grid: Grid) -> _Cells:
    """Return a cell for every position of a tile, or for several where there are very many."""
    tiles, size = contents.recipe["tiles"], int(contents.metadata["tile_size"])
    stride, first = int(tiles["stride"]), (int(tiles["offset"][0]), int(tiles["offset"][1]))
    # From the first tile's corner to that of the last one that fits.
    height, width = grid.height - size - first[0], grid.width - size - first[1]
    positions = max(height, width) // stride + 1
    pixels = stride * -(-positions // MOST_CELLS)
    return _Cells(first, pixels, (height // pixels + 1, width // pixels + 1))


def _sample_maps(contents: Contents, coverage: _Coverage | None) -> list[RasterMap]:
    grid = contents.grid
    if not contents.samples or grid is None:
        return []
    cells = _tile_cells(contents, grid)
    counts = {split: cells.count(samples) for split, samples in contents.samples.items()}
    covered = None if coverage is None else cells.mean(coverage.share) > 0
    side = f"{cells.pixels * grid.pixel_km:g} km"
    note = f"A cell is {side} wide and counts the tiles whose north-west corner lies in it. " + (
        "Empty cells have no sample; the composites are not there to say which are covered."
        if covered is None
        else "Empty cells have no radar coverage, those of 0 have coverage and no sample."
    )
    titles = {"of all splits": sum(counts.values(), np.zeros(cells.shape))} | {
        f"of {split}": count for split, count in counts.items()
    }
    return [
        RasterMap(
            f"Samples {title}",
            np.where((count > 0) | (False if covered is None else covered), count, np.nan),
            cells.extent_km(grid.pixel_km),
            "samples",
            note,
        )
        for title, count in titles.items()
    ]


def _coverage_map(contents: Contents, coverage: _Coverage | None) -> list[RasterMap]:
    grid = contents.grid
    if coverage is None or grid is None:
        return []
    pixels = -(-max(grid.shape) // MOST_CELLS)
    cells = _Cells((0, 0), pixels, (-(-grid.height // pixels), -(-grid.width // pixels)))
    share = 100.0 * cells.mean(coverage.share)
    note = (
        f"The mean of {coverage.frames} composites, evenly spread over those that are there; "
        f"a cell is {pixels * grid.pixel_km:g} km wide."
    )
    title = "Radar coverage"
    extent = cells.extent_km(grid.pixel_km)
    return [RasterMap(title, np.where(share > 0, share, np.nan), extent, "covered [%]", note)]
