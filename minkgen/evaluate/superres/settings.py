"""What is fixed while fields are scored: the grid, the γ-matrix, thresholds and windows."""

from __future__ import annotations

from dataclasses import dataclass

from minkgen.errors import InputError

__all__ = ["ScoreSetting"]

# The functionals whose errors make up L_M (equation 2 of the paper).
LOSS_FUNCTIONALS = ("area", "perimeter", "components")


@dataclass(frozen=True)
class ScoreSetting:
    """What all chunks of an evaluation share.

    Parameters
    ----------
    pixel_km : float
        Side of a pixel.
    thresholds, measure : tuple of float
        Of γ, in mm/h, and their integration weights.
    functionals : tuple of str
        Names along the functional axis of γ.
    drizzle_mm_h : float, optional
        Rates below are zeroed in predictions, as they are in tiles.
    exceedance_mm_h, fss_mm_h : tuple of float, optional
        Thresholds of the exceedance ratio; of FSS and of reliability.
    fss_windows : tuple of int, optional
        Odd sides of windows, in pixels; none leaves FSS out.
    return_probabilities : tuple of float, optional
        Shares of pixels above the return levels.

    Raises
    ------
    InputError
        If weights and thresholds are not as many, or a window is even.
    """

    pixel_km: float
    thresholds: tuple[float, ...]
    measure: tuple[float, ...]
    functionals: tuple[str, ...]
    drizzle_mm_h: float = 0.1
    exceedance_mm_h: tuple[float, ...] = (0.1, 1.0, 5.0, 10.0, 20.0, 50.0)
    fss_mm_h: tuple[float, ...] = (0.1, 1.0, 5.0, 10.0)
    fss_windows: tuple[int, ...] = (1, 5, 11, 21)
    return_probabilities: tuple[float, ...] = (1e-5, 1e-6)

    def __post_init__(self) -> None:
        if len(self.measure) != len(self.thresholds):
            raise InputError(
                "thresholds and their weights are not as many",
                where="measure",
                got=len(self.measure),
                expected=len(self.thresholds),
            )
        for window in self.fss_windows:
            if window < 1 or window % 2 == 0:
                raise InputError(
                    "a window has no middle pixel",
                    where="fss_windows",
                    got=window,
                    expected="an odd number of pixels",
                )
