"""The exact surrogate, forward and backward, on the tiles and on what networks put out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minkgen.gamma.functionals import FUNCTIONALS
from minkgen.workflows.bench.fields import TILES, Rain, network_like

__all__ = ["ExactWays", "exact_ways"]

Float32 = npt.NDArray[np.float32]
Way = Callable[[Float32], object]

# Rain that a network is usually asked for.
_WET_FRACTION = (0.1, 0.25)
# As many as a batch of training has.
_BATCH = 128
_PIXEL_KM = 2.0
_PAPER = FUNCTIONALS[:3]


class ExactWays(NamedTuple):
    """What is timed of the exact surrogate, on one thread.

    Attributes
    ----------
    tiles : ndarray of float32, shape (128, size, size)
        Of 10 to 25 % wet pixels, repeated where there are fewer.
    dense : ndarray of float32, shape (128, size, size)
        The same, smoothed and nowhere dry: the surrogate zeroes drizzle itself.
    forward, backward, backward_all : callable
        γ of area, perimeter and components; with the gradient; with that of all functionals.
    """

    tiles: Float32
    dense: Float32
    forward: Way
    backward: Way
    backward_all: Way

    def one_round(self) -> Iterator[tuple[str, Way, Float32]]:
        """Yield every quantity, what computes it, and on what."""
        yield "exact/forward", self.forward, self.tiles
        yield "exact/tiles", self.backward, self.tiles
        yield "exact/dense", self.backward, self.dense
        yield "exact/all", self.backward_all, self.tiles


def exact_ways(rain: Rain) -> ExactWays | None:
    """Return what is to be timed; None without torch, or where no tile is of that wet fraction.

    Parameters
    ----------
    rain : Rain

    Returns
    -------
    ExactWays or None
    """
    wet = np.count_nonzero(rain.tiles, axis=(1, 2)) / rain.tiles[0].size
    chosen = np.flatnonzero((wet >= _WET_FRACTION[0]) & (wet <= _WET_FRACTION[1]))
    if find_spec("torch") is None or chosen.size == 0:
        return None
    from minkgen.learn.exact import ExactGamma
    from minkgen.learn.passes import backward_pass, forward_pass
    from minkgen.learn.surrogate import GammaDefinition

    tiles = rain.tiles[np.resize(chosen, _BATCH)]
    thresholds = tuple(float(threshold) for threshold in rain.thresholds)
    definition = GammaDefinition(thresholds, _PIXEL_KM, TILES.drizzle_mm_h, (0.0, 0.0), "alive")
    paper, every = (ExactGamma(definition, names, threads=1) for names in (_PAPER, FUNCTIONALS))
    ways = ExactWays(
        tiles, network_like(tiles), forward_pass(paper), backward_pass(paper), backward_pass(every)
    )
    # Kernels compile before the first round.
    ways.backward(tiles[:1])
    return ways
