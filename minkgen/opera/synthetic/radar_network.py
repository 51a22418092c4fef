"""A made-up radar network: who sees which part of a grid, and from how far."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from minkgen.grid import Grid

__all__ = ["RadarNetwork", "radar_network"]

# Keeps these random numbers apart from those that make the rain of the same seed.
_STREAM_NETWORK = 3
# Relative range where no radar is near.
_OUT_OF_RANGE = 2.0


@dataclass(frozen=True)
class RadarNetwork:
    """The radars of a grid.

    Attributes
    ----------
    nodes : tuple of str
        Names in the style of ODIM nodes; `zz` is no country.
    covered : ndarray of bool, shape (H, W)
        Where some radar sees, north first.
    relative_range : ndarray of float32, shape (H, W)
        Of the nearest radar: 0 at its place, 1 at the end of its range.
    """

    nodes: tuple[str, ...]
    covered: npt.NDArray[np.bool_]
    relative_range: npt.NDArray[np.float32]


@lru_cache(maxsize=2)
def radar_network(grid: Grid, seed: int) -> RadarNetwork:
    """Place radars on a shaken lattice, none in the north-west; they see disks with noisy edges.

    Parameters
    ----------
    grid : Grid
    seed : int
        Not negative. A seed has one network on a grid, at all times.

    Returns
    -------
    RadarNetwork
        Its arrays are shared between callers and cannot be written to.
    """
    spacing_km, range_km, shake_km, edge_noise_km = 200.0, 240.0, 30.0, 3.0
    random = np.random.default_rng([_STREAM_NETWORK, seed])
    extent = np.array(grid.shape) * grid.pixel_km
    counts = np.ceil(extent / spacing_km).astype(int)
    rows, columns = np.meshgrid(*(np.arange(-1, count + 2) for count in counts), indexing="ij")
    lattice = np.stack([rows.ravel(), (columns + 0.5 * (rows % 2)).ravel()], axis=1) * spacing_km
    inside = (((lattice - 0.65 * extent) / (0.55 * extent)) ** 2).sum(axis=1) <= 1.0
    places = lattice[inside] + random.uniform(-shake_km, shake_km, (inside.sum(), 2))
    ranges = range_km * random.uniform(0.85, 1.0, len(places))
    relative_range = np.full(grid.shape, _OUT_OF_RANGE, np.float32)
    for place, reach in zip(places, ranges, strict=True):
        # Only where the disk is: on the full grid, whole frames for 300 radars take 10 s.
        first = np.maximum(np.floor((place - 1.1 * reach) / grid.pixel_km).astype(int), 0)
        last = np.maximum(np.ceil((place + 1.1 * reach) / grid.pixel_km).astype(int), 0)
        window = slice(first[0], last[0]), slice(first[1], last[1])
        here = relative_range[window]
        y = (first[0] + np.arange(here.shape[0])[:, None] + 0.5) * grid.pixel_km
        x = (first[1] + np.arange(here.shape[1])[None, :] + 0.5) * grid.pixel_km
        np.minimum(here, np.hypot(y - place[0], x - place[1]) / reach, out=here)
    noise = edge_noise_km / range_km * random.standard_normal(grid.shape)
    covered = relative_range + noise < 1.0
    covered.flags.writeable = relative_range.flags.writeable = False
    nodes = tuple(f"zz{_letters(index)}" for index in range(len(places)))
    return RadarNetwork(nodes, covered, relative_range)


def _letters(index: int) -> str:
    """Spell a number below 17,576 with three letters, as radars are called."""
    return "".join(chr(ord("a") + index // 26**place % 26) for place in (2, 1, 0))
