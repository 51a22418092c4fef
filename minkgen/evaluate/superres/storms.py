"""Which storms are shown: by a rule that leaves no choice."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minkgen.evaluate.figures.gamma_curves import choose_cases

__all__ = ["choose_storms"]


def choose_storms(area: npt.ArrayLike, components: npt.ArrayLike) -> dict[str, int]:
    """Choose an extreme, a median and a fragmented tile.

    Extreme: the largest area at the highest threshold, of equals that at the next lower one, and
    so on. Median: among tiles that are not empty at the median threshold (all, if every one is),
    the median area at the lowest threshold. Fragmented: as `choose_cases` has it, the 99th
    percentile of components at the median threshold. Of equals, the first.

    Parameters
    ----------
    area, components : array_like (samples, Q)
        Of the targets, samples >= 1.

    Returns
    -------
    dict
        Position of the tile, by the name of the case.

    Raises
    ------
    InputError
        If there is no sample.

    Examples
    --------
    >>> area = [[4.0, 0.0, 0.0], [8.0, 4.0, 4.0], [40.0, 8.0, 0.0], [80.0, 40.0, 0.0]]
    >>> choose_storms(area, [[1, 0, 0], [1, 1, 1], [3, 2, 0], [9, 5, 0]])
    {'extreme': 1, 'median': 2, 'fragmented': 3}
    """
    areas, counts = np.asarray(area, np.float64), np.asarray(components, np.float64)
    middle = areas.shape[1] // 2
    fragmented = choose_cases(counts[:, middle], areas[:, middle])["fragmented"]
    # The last key decides first; of equals, a stable sort of the reversed rows has the first last.
    extreme = len(areas) - 1 - int(np.lexsort(areas[::-1].T)[-1])
    candidates = np.flatnonzero(areas[:, middle] > 0)
    if not candidates.size:
        candidates = np.arange(len(areas))
    typical = np.quantile(areas[candidates, 0], 0.5, method="inverted_cdf")
    median = int(candidates[areas[candidates, 0] == typical][0])
    return {"extreme": extreme, "median": median, "fragmented": fragmented}
