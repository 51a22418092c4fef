"""What a super-resolution model is given: rain at 25 km, and the terrain below it.

Shape suffixes: B samples, H rows (north first), W columns.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from torch import Tensor, nn

from minkgen.errors import StoreError
from minkgen.store.layout import StorePaths
from minkgen.store.static import open_static
from minkgen.tiles.coarsening import averaging_matrix, interpolating_matrix

__all__ = ["LowResolution", "Terrain"]

# Coordinates are pixel centres on a grid of 1000 m or more, exact to the last digit.
_TOLERANCE_M = 1.0

Coordinates = npt.NDArray[np.float64]


class LowResolution(nn.Module):
    """Rain averaged over 25 km cells and brought back to the pixels of the tile.

    Called as ``low_resolution(rain_rate_BHW) -> low_BHW``, both in mm/h. It is
    `refine(coarsen(x))` of `minkgen.tiles.coarsening` in float32.

    Parameters
    ----------
    size : int
        Rows and columns of a tile.
    pixel_km : float
        Side of a pixel in km.
    upsampling : {"bicubic", "nearest"}

    Raises
    ------
    InputError
        If a tile is smaller than two coarse cells.
    """

    average: Tensor
    interpolate: Tensor

    def __init__(self, size: int, pixel_km: float, upsampling: str) -> None:
        super().__init__()
        average = averaging_matrix(size, pixel_km)
        interpolate = interpolating_matrix(size, pixel_km, upsampling)
        self.register_buffer("average", torch.tensor(average, dtype=torch.float32))
        self.register_buffer("interpolate", torch.tensor(interpolate, dtype=torch.float32))

    def forward(self, rain_rate_BHW: Tensor) -> Tensor:
        """Return the low resolution of rain rates, in float32 under autocast, too."""
        # In bfloat16 mass would be conserved to three digits only.
        with torch.autocast(rain_rate_BHW.device.type, enabled=False):
            coarse_Bhw = self.average @ rain_rate_BHW @ self.average.T
            return (self.interpolate @ coarse_Bhw @ self.interpolate.T).clamp_min(0.0)


class Terrain:
    """The height of the terrain below tiles, looked up by their coordinates.

    It is standardised by mean and deviation over the store's whole grid, where the sea counts with
    the height of its surface. Where a store has no terrain, it is 0 everywhere, and a warning says
    so once.

    Parameters
    ----------
    store : Path
        The store's folder.
    size : int
        Rows and columns of a tile.
    pixel_km : float
        Side of a pixel in km.
    device : str or torch.device, optional
        Where tiles are wanted.

    Attributes
    ----------
    is_known : bool
        Whether the store has a terrain.

    Raises
    ------
    StoreError
        If the store's terrain is of an unknown layout.
    """

    def __init__(
        self, store: Path, size: int, pixel_km: float, *, device: str | torch.device = "cpu"
    ) -> None:
        self._path = StorePaths(store).static
        self._offsets = 1000.0 * pixel_km * np.arange(size)
        self._device = torch.device(device)
        self.is_known = self._path.exists()
        if self.is_known:
            static = open_static(store)
            self._axes = {name: static[name].values for name in ("y", "x")}
            self._plane_HW = torch.from_numpy(_standardised(static)).to(self._device)
        else:
            # Of this line, so that a process is told once about a store, whoever asks.
            warnings.warn(
                f"the store has no terrain, which is 0 everywhere for its models: {store}\n"
                "  next: name an elevation model in the recipe (dem.path), run `minkgen ingest`",
                stacklevel=1,
            )

    def at(self, x0: Coordinates, y0: Coordinates) -> Tensor:
        """Return the terrain below tiles.

        Parameters
        ----------
        x0, y0 : array of float, shape (B,)
            Centres of the north-west pixels, in metres.

        Returns
        -------
        Tensor (B, H, W)
            Dimensionless, north first.

        Raises
        ------
        StoreError
            If a tile does not lie on the grid of the terrain.
        """
        if not self.is_known:
            size = len(self._offsets)
            return torch.zeros((len(x0), size, size), device=self._device)
        rows_BH = self._positions("y", y0[:, None] - self._offsets)
        columns_BW = self._positions("x", x0[:, None] + self._offsets)
        return self._plane_HW[rows_BH[:, :, None], columns_BW[:, None, :]]

    def _positions(self, name: str, wanted: Coordinates) -> Tensor:
        """Return where coordinates stand along an axis of the plane."""
        axis = self._axes[name]
        found = np.rint((wanted - axis[0]) / (axis[1] - axis[0])).astype(np.intp)
        np.clip(found, 0, len(axis) - 1, out=found)
        away = np.abs(axis[found] - wanted) > _TOLERANCE_M
        if away.any():
            raise StoreError(
                "a tile does not lie on the grid of the store's terrain",
                where=self._path,
                got=f"{name} = {wanted[away][0]:.2f} m",
                expected=f"a pixel centre between {axis.min():.2f} and {axis.max():.2f} m",
                hint="remove static.zarr and run `minkgen ingest` with the recipe's dem",
            )
        return torch.from_numpy(found).to(self._device)


def _standardised(static: xr.Dataset) -> npt.NDArray[np.float32]:
    """Return heights less their mean, in units of their deviation; 0 where all are alike."""
    height: npt.NDArray[Any] = static["terrain"].transpose("y", "x").values.astype(np.float64)
    deviation = height.std()
    above = height - height.mean()
    standardised: npt.NDArray[np.float32] = np.divide(
        above, deviation, out=np.zeros_like(above), where=deviation > 0
    ).astype(np.float32)
    return standardised
