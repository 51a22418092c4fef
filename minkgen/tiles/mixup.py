"""Mix-up in physical space: a tile blended with its own coarse self, seeded by what it is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minkgen.recipe import Recipe
from minkgen.tiles.coarsening import coarsen, refine

__all__ = ["mix_tile"]


def mix_tile(
    tile: npt.NDArray[np.float32], identity: tuple[int, int, int], recipe: Recipe, pixel_km: float
) -> npt.NDArray[np.float32]:
    """Return lambda x + (1 - lambda) max(x_interp + noise, 0), on the value grid of the data.

    `lambda ~ Beta(alpha, alpha)` once per tile, `noise ~ N(0, noise_mm_h)` per pixel, `x_interp`
    the tile coarsened to 25 km and brought back (arXiv 2604.11422, section 3.1). The result is
    rounded to 0.01 mm/h and drizzle is zeroed: off the grid it would take 8 times the space and
    differ between machines in the last digit.

    Parameters
    ----------
    tile : ndarray of float32, shape (H, W)
        A tile with drizzle zeroed; missing pixels (NaN) count as dry.
    identity : tuple of int
        Minutes since 1970, row and column of the tile.
    recipe : Recipe
        Its seed and its sections `mixup` and `tiles`.
    pixel_km : float
        Side of a pixel in km.

    Returns
    -------
    ndarray of float32, shape (H, W)
        The same for the same recipe seed and identity, whatever the order of execution.
    """
    random = np.random.default_rng(np.random.SeedSequence((recipe.seed, *identity)))
    blend = random.beta(recipe.mixup.alpha, recipe.mixup.alpha)
    noise = random.normal(0.0, recipe.mixup.noise_mm_h, tile.shape)
    covered = tile if np.isfinite(tile).all() else np.nan_to_num(tile, nan=0.0)
    dry = covered.astype(np.float64)
    smooth = refine(coarsen(dry, pixel_km), dry.shape, pixel_km, recipe.mixup.upsampling)
    mixed = blend * dry + (1.0 - blend) * np.maximum(smooth + noise, 0.0)
    rounded = (np.round(mixed * 100.0) / 100.0).astype(np.float32)
    rounded[rounded < np.float32(recipe.tiles.drizzle_mm_h)] = 0.0
    return rounded
