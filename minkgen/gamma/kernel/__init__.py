"""The γ kernel: functionals, persistence pairs and weight maps of batches of tiles, compiled.

Conventions, everywhere here: the excursion set at u is {x >= u}, both sides float32. NaN, +inf and
-inf are missing and count as 0.0, -0.0 is 0.0; negative values are ordinary values. Rain is
8-connected and dry ground 4-connected (`euler_4` swaps the two). Counts, areas and Euler
characteristics are integers until the last step; lengths are computed in float64. One kernel serves
tiles of every shape and any number of thresholds; its work is bounded by N log N of the N pixels,
whatever the values.

How it works, and why it is exact, is told with pictures in docs/kernel.md. In short:

- Pixels are totally ordered by value, then by index, and enter the set from the highest to the
  lowest. The code of a pixel's higher neighbours (`minkgen.gamma.neighbourhoods`) decides what it
  changes.
- Dry ground that reaches the frame becomes part of the outside (`background`): most pixels need no
  more work.
- Geometry is a histogram of the other pixels over thresholds and classes of codes (`geometry`).
- Topology is decided at saddles (`merging`). Every pixel points to a higher neighbour, so that from
  each group of a saddle a walk leads to a maximum; one union-find over these pointers, with the
  elder rule, pairs saddles with maxima (components). Saddles that meet one component twice close
  rings: pointers downhill, to minima or to the outside, pair those (holes).

- With soft steps in place of thresholds, what pixels add is listed and summed (`soft`).

`batches` and `soft` hold what is called from outside; the modules above them do one step each.
"""

from minkgen.gamma.kernel.batches import find_pairs, gamma_batch, map_weights
from minkgen.gamma.kernel.compiled import LARGEST_TILE, as_kernel_input
from minkgen.gamma.kernel.soft import Steps, pull_back, push_forward, soft_batch, zero_drizzle

__all__ = [
    "LARGEST_TILE",
    "Steps",
    "as_kernel_input",
    "find_pairs",
    "gamma_batch",
    "map_weights",
    "pull_back",
    "push_forward",
    "soft_batch",
    "zero_drizzle",
]
