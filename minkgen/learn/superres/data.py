"""Scenes and their targets, from a snapshot: shuffled for training, in order for scores.

Shape suffixes: B samples, F functionals, Q thresholds, H rows (north first), W columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from minkgen.learn.data import Batch, ShuffledTiles, TileReader, reader_on
from minkgen.learn.superres.model import Scene
from minkgen.learn.superres.scenes import LowResolution, Terrain
from minkgen.recipe.superres import SuperResolution
from minkgen.store.snapshot import Snapshot

__all__ = ["SceneBatch", "SceneTiles", "scenes_in_order"]

IndexArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]


class SceneBatch(NamedTuple):
    """Scenes, and what is to be made of them.

    Attributes
    ----------
    scene : Scene
        Low resolution in mm/h and terrain, each (B, H, W).
    target : Tensor (B, H, W)
        Rain rate in mm/h, north first; missing pixels are 0.
    gamma : Tensor (B, F, Q)
        Of the target, in physical units.
    """

    scene: Scene
    target: Tensor
    gamma: Tensor


class SceneTiles:
    """The training split in shuffled batches, wet and dry tiles in their shares, with flips.

    What a batch holds depends on (seed, epoch, batch, rank), the settings and the number of ranks
    only. Each wet tile comes once an epoch; so many dry ones are spread over it that
    `settings.wet_share` of each batch is wet, and all of them where there are too few. Mixed tiles
    are left out. On a GPU the split is kept in its memory, where there is room.

    Parameters
    ----------
    snapshot : Snapshot
    store : Path
        The snapshot's store, which has the terrain.
    settings : SuperResolution
        `batch_size` samples of all ranks make one batch.
    functionals : sequence of str
        The rows of γ to read, in this order.
    rank, ranks : int, optional
        Which process this is, from 0, and how many there are.
    device : str or torch.device, optional
        Where batches are wanted.

    Attributes
    ----------
    samples : int
        Samples of an epoch, over all ranks.
    batches : int
        Batches of an epoch on each rank.

    Raises
    ------
    EmptySplitError
        If the split has no wet sample, or its first `settings.max_tiles` have none.
    InputError
        If there are too few samples for so many ranks.
    StoreError
        If the terrain is of another grid.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        store: Path,
        settings: SuperResolution,
        functionals: Sequence[str],
        *,
        rank: int = 0,
        ranks: int = 1,
        device: str | torch.device = "cpu",
    ) -> None:
        reader = reader_on(
            torch.device(device),
            snapshot,
            "train",
            functionals,
            max_tiles=settings.max_tiles,
            dry=settings.wet_share < 1,
        )
        self._tiles = ShuffledTiles(
            reader,
            batch_size=settings.batch_size // ranks,
            seed=settings.seed,
            wet_share=settings.wet_share,
            rank=rank,
            ranks=ranks,
        )
        self._stage = _Stage(snapshot, store, settings, "train", reader.rows, device)
        self._seed, self._rank, self._flips = settings.seed, rank, settings.flips
        self.samples, self.batches = self._tiles.samples, self._tiles.batches

    def epoch(self, number: int, *, done: int = 0) -> Iterator[SceneBatch]:
        """Yield the batches of an epoch, or what is left of it.

        Parameters
        ----------
        number : int
            Not negative.
        done : int, optional
            Batches that this rank was given already. The rest is bit for bit what would have come.

        Yields
        ------
        SceneBatch
        """
        batches = self._tiles.epoch(number, done=done).numbered()
        for position, (samples, batch) in enumerate(batches, start=done):
            # The last word keeps this stream apart from those of the order.
            random = np.random.default_rng([self._seed, number, position, self._rank, 2])
            flips = random.random((2, len(samples))) < self._flips
            yield self._stage.set(samples, batch, flips)


def scenes_in_order(
    snapshot: Snapshot,
    store: Path,
    settings: SuperResolution,
    split: str,
    functionals: Sequence[str],
    batch_size: int,
    *,
    wet_only: bool = False,
    first: int = 0,
    last: int | None = None,
    device: str | torch.device = "cpu",
) -> Iterator[tuple[IndexArray, SceneBatch]]:
    """Yield the tiles of a split in the order of the store, without flips.

    Parameters
    ----------
    snapshot : Snapshot
    store : Path
        The snapshot's store, which has the terrain.
    settings : SuperResolution
        Of these, `upsampling`.
    split : {"train", "validation", "test"}
    functionals : sequence of str
        The rows of γ to read, in this order.
    batch_size : int
        The last batch may be smaller.
    wet_only : bool, optional
        Leave the dry tiles out.
    first, last : int, optional
        Which of these tiles: from the first to before the last; by default all.
    device : str or torch.device, optional
        Where batches are wanted.

    Yields
    ------
    rows : array of int, shape (B,)
        Row numbers in the split.
    batch : SceneBatch

    Raises
    ------
    EmptySplitError
        If the split has no wet sample.
    StoreError
        If there is no such split, or the terrain is of another grid.
    """
    reader = TileReader(snapshot, split, functionals, dry=not wet_only)
    stage = _Stage(snapshot, store, settings, split, reader.rows, device)
    for batch in reader.in_order(batch_size, first, last):
        samples = np.arange(first, first + len(batch.gamma))
        yield reader.rows[samples], stage.set(samples, batch, None)
        first += len(samples)


class _Stage:
    """Makes scenes of tiles that a reader has given by number."""

    def __init__(
        self,
        snapshot: Snapshot,
        store: Path,
        settings: SuperResolution,
        split: str,
        rows: IndexArray,
        device: str | torch.device,
    ) -> None:
        self._device = torch.device(device)
        size, pixel_km = snapshot.tile_size, snapshot.pixel_km
        self._low_resolution = LowResolution(size, pixel_km, settings.upsampling).to(device)
        self._terrain = Terrain(store, size, pixel_km, device=device)
        self._x0, self._y0 = (
            np.asarray(snapshot.array(split, name)[:], np.float64)[rows] for name in ("x0", "y0")
        )

    def set(self, samples: IndexArray, batch: Batch, flips: BoolArray | None) -> SceneBatch:
        """Return the scenes of a batch.

        Parameters
        ----------
        samples : array of int, shape (B,)
            Which of the reader's samples they are.
        batch : Batch
        flips : array of bool, shape (2, B), or None
            Which of them are turned upside down, and which left to right. γ stays as it is.
        """
        target_BHW, gamma_BFQ = (tensor.to(self._device) for tensor in batch)
        terrain_BHW = self._terrain.at(self._x0[samples], self._y0[samples])
        if flips is not None:
            target_BHW, terrain_BHW = (
                _flipped(field_BHW, flips) for field_BHW in (target_BHW, terrain_BHW)
            )
        scene = Scene(self._low_resolution(target_BHW), terrain_BHW)
        return SceneBatch(scene, target_BHW, gamma_BFQ)


def _flipped(field_BHW: Tensor, flips: BoolArray) -> Tensor:
    for axis, chosen in zip((1, 2), flips, strict=True):
        chosen_B11 = torch.from_numpy(chosen).to(field_BHW.device)[:, None, None]
        field_BHW = torch.where(chosen_B11, field_BHW.flip(axis), field_BHW)
    return field_BHW
