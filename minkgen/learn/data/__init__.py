"""Tiles and their targets as tensors: read from a snapshot, in order or shuffled by chunks.

`tiles` reads samples by number, `order` says which of them are drawn together, `shuffled` cuts the
epochs of all ranks and workers from that.
"""

from minkgen.learn.data.shuffled import EpochBatches, ShuffledTiles
from minkgen.learn.data.tiles import Batch, TileReader, reader_on, wet_rows

__all__ = ["Batch", "EpochBatches", "ShuffledTiles", "TileReader", "reader_on", "wet_rows"]
