"""Persistence pairs of tiles: births and deaths of their components and holes, and where."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minkgen.gamma.fields import as_field, as_floors, as_tiles
from minkgen.gamma.kernel import find_pairs
from minkgen.gamma.neighbourhoods import NEIGHBOURHOODS

__all__ = ["PersistencePairs", "persistence_pairs"]


class PersistencePairs(NamedTuple):
    """Persistence pairs of one tile, or of several, one after the other.

    Attributes
    ----------
    birth, death : ndarray of float32, shape (n,)
        In mm/h, birth > death. The essential component of every tile dies at -inf.
    dimension : ndarray of int8, shape (n,)
        0 for components, 1 for holes.
    birth_pixel, death_pixel : ndarray of int64, shape (n,)
        Where the tile takes these values: row times W plus column; -1 for the death of the
        essential component.
    offsets : ndarray of int64, shape (tiles + 1,)
        The pairs of tile i are those from offsets[i] to offsets[i + 1], exclusive: the essential
        component, the other components, then the holes.
    """

    birth: npt.NDArray[np.float32]
    death: npt.NDArray[np.float32]
    dimension: npt.NDArray[np.int8]
    birth_pixel: npt.NDArray[np.int64]
    death_pixel: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]

    def finite(self, dimension: int) -> npt.NDArray[np.float32]:
        """Return birth and death, shape (m, 2), of all pairs of one dimension that ever die."""
        chosen = (self.dimension == dimension) & (self.death_pixel >= 0)
        return np.stack([self.birth[chosen], self.death[chosen]], axis=-1)


def persistence_pairs(
    rain_rate: npt.ArrayLike, *, min_persistence: float | tuple[float, float] = 0.0
) -> PersistencePairs:
    """Find the persistence pairs of the superlevel filtration, with their critical pixels.

    Components are 8-connected, holes are 4-connected dry regions that do not reach the tile's
    frame. Exact; pairs that are born and die at one value are none. Where values tie, the critical
    pixels are one possible choice, always the same one.

    Parameters
    ----------
    rain_rate : array_like of floats, shape (..., H, W)
        Rain rate in mm/h, one tile or a batch; H and W at least 1. NaN and infinities are missing
        and count as 0.0. float64 is rounded to float32. Not modified.
    min_persistence : float or tuple of float
        Floors ε in mm/h of components and of holes, or one for both: a pair is kept when
        birth - death > ε, in float64.

    Returns
    -------
    PersistencePairs
        Tiles in C order of the leading dimensions.

    Raises
    ------
    InputError
        If the field is no float16, float32 or float64 array of at least two dimensions with
        pixels in it, or the floors cannot be used.

    Examples
    --------
    >>> ridge = np.array([[3.0, 1.0, 2.0]], dtype=np.float32)
    >>> pairs = persistence_pairs(ridge)
    >>> pairs.birth, pairs.death, pairs.death_pixel
    (array([3., 2.], dtype=float32), array([-inf,   1.], dtype=float32), array([-1,  1]))
    """
    tiles = as_tiles(as_field(rain_rate))
    pixels, offsets, components = find_pairs(tiles, as_floors(min_persistence), NEIGHBOURHOODS)
    counts = np.diff(offsets)
    place = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
    tile = np.repeat(np.arange(len(tiles)), counts)
    birth, death = (_values_at(tiles, tile, where) for where in pixels)
    death[offsets[:-1]] = -np.inf
    return PersistencePairs(
        birth=birth,
        death=death,
        dimension=(place >= np.repeat(components, counts)).astype(np.int8),
        birth_pixel=pixels[0],
        death_pixel=pixels[1],
        offsets=offsets,
    )


def _values_at(
    tiles: npt.NDArray[np.float32], tile: npt.NDArray[np.int64], pixel: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Read pixels of tiles as the kernel does: missing ones are 0.0, and so is -0.0."""
    values = tiles[tile, *np.divmod(pixel, tiles.shape[2])]
    values[~np.isfinite(values) | (values == 0)] = 0.0
    return values
