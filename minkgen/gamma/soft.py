"""γ with soft steps in place of thresholds, which has a gradient: that of the persistence pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minkgen.errors import InputError
from minkgen.gamma.fields import as_field, as_floors, as_pixel_km, as_tiles
from minkgen.gamma.functionals import FUNCTIONALS, essential_ceiling, rows_of
from minkgen.gamma.kernel import (
    Steps,
    as_kernel_input,
    pull_back,
    push_forward,
    soft_batch,
    zero_drizzle,
)
from minkgen.gamma.matrix import gamma_matrix
from minkgen.gamma.neighbourhoods import NEIGHBOURHOODS
from minkgen.gamma.thresholds import as_thresholds

__all__ = ["SoftGamma"]

Float32 = npt.NDArray[np.float32]


class SoftGamma:
    """The γ-matrix of a prediction, and the derivatives of its soft form.

    γ_soft,f(u) = Σ_p w_f[p] s((x_p - u) / τ_u), where w_f are the weight maps (`weight_maps`) of
    the field, and s is the cubic step on [-1, 1]: 0 below, 1 above, 1/2 + (3 t - t³) / 4 between.
    It is smooth but for its second derivative, and rises nowhere else. Where no rate equals a
    threshold, γ_soft tends to γ as τ tends to 0; one that does counts one half.

    Rates below the drizzle threshold are dry, as in γ of a target. But the steps see the rate
    before it is zeroed: a pixel that is a little too dry for a step has a gradient. Zeroed pixels
    all tie; they are ordered by what they were, while the lifetimes of pairs that end in them are
    counted to 0, as in γ. Dry pixels on no step add nothing. Thresholds below the drizzle
    threshold are met where that is.

    Weights are constants between ties: where two rates cross, or a lifetime the floor, they jump,
    and the derivatives do not see it. Where rates tie, they are those of one possible order. All
    conventions are those of `gamma_matrix`: rain is 8-connected and dry ground 4-connected,
    `perimeter` and `holes` leave out what touches the tile's frame, NaN and infinities are dry.
    `hard` is exact; the others are sums in float64, of weights that are exact but for lengths, of
    which each is rounded to float32.

    Parameters
    ----------
    thresholds : array_like of real numbers, shape (Q,)
        In mm/h, positive and strictly increasing.
    temperatures : array_like of real numbers, shape (Q,)
        τ_u in mm/h: positive, at most u, and such that no step begins or ends below one of a lower
        threshold.
    pixel_km : float
        Side of a pixel in km.
    drizzle_mm_h : float
        Lower rates are dry; 0 for none.
    min_persistence : float or tuple of float
        Floors ε in mm/h of components and of holes, or one for both.
    functionals : sequence of str
        Which, and in what order.
    essential : {"alive", "background"}
        Where the component that never dies counts, as in `gamma_matrix`.

    Raises
    ------
    InputError
        If any of these cannot be used.

    Examples
    --------
    >>> soft = SoftGamma([1.0], [0.5], pixel_km=2.0, drizzle_mm_h=0.1, functionals=["area"])
    >>> rain = np.array([[3.0, 1.0, 0.75, 0.5]], np.float32)
    >>> soft.hard(rain), soft.soft(rain)
    (array([[8.]], dtype=float32), array([[6.625]], dtype=float32))
    >>> soft.pull_back(rain, np.ones((1, 1), np.float32))
    array([[0. , 6. , 4.5, 0. ]], dtype=float32)
    """

    def __init__(
        self,
        thresholds: npt.ArrayLike,
        temperatures: npt.ArrayLike,
        *,
        pixel_km: float,
        drizzle_mm_h: float,
        min_persistence: float | tuple[float, float] = 0.0,
        functionals: Sequence[str] = FUNCTIONALS,
        essential: str = "alive",
    ) -> None:
        self.thresholds = as_thresholds(thresholds)
        self.functionals = tuple(functionals)
        self.pixel_km = as_pixel_km(pixel_km)
        # In float32, as rates are compared with it.
        self.drizzle = float(np.float32(_as_drizzle(drizzle_mm_h)))
        self.floors = as_floors(min_persistence)
        self.essential = essential
        self._rows = rows_of(functionals)
        ceiling = essential_ceiling(essential)
        self._steps = _steps(
            self.thresholds,
            temperatures,
            self.drizzle,
            int(np.searchsorted(self.thresholds, ceiling, side="right")),
        )

    def hard(self, rain_rate: npt.ArrayLike) -> Float32:
        """Compute γ of the field with drizzle zeroed, as `gamma_matrix` does.

        Parameters
        ----------
        rain_rate : array_like of floats, shape (..., H, W)
            In mm/h, rounded to float32. Not modified.

        Returns
        -------
        ndarray of float32, shape (..., F, Q)

        Raises
        ------
        InputError
            If the field is no array of floats, of at least two dimensions and with pixels in it.
        """
        field, tiles = self._tiles(rain_rate)
        zeroed = np.empty_like(tiles)
        zero_drizzle(tiles, self.drizzle, zeroed)
        gamma = gamma_matrix(
            zeroed,
            self.thresholds,
            pixel_km=self.pixel_km,
            min_persistence=self.floors,
            functionals=self.functionals,
            essential=self.essential,
        )
        return gamma.reshape(*field.shape[:-2], *gamma.shape[1:])

    def soft(self, rain_rate: npt.ArrayLike) -> Float32:
        """Compute γ_soft.

        Parameters, return value and errors are those of `hard`.
        """
        field, tiles = self._tiles(rain_rate)
        gamma = np.empty((len(tiles), self._rows.size, self.thresholds.size), np.float32)
        soft_batch(
            tiles, self.pixel_km, self.floors, self._rows, self._steps, NEIGHBOURHOODS, gamma
        )
        return gamma.reshape(*field.shape[:-2], *gamma.shape[1:])

    def push_forward(self, rain_rate: npt.ArrayLike, direction: npt.ArrayLike) -> Float32:
        """Compute the derivative of γ_soft along a direction (the Jacobian times a vector).

        Parameters
        ----------
        rain_rate : array_like of floats, shape (..., H, W)
        direction : array_like of floats, shape (..., H, W)
            Change of the rain rate.

        Returns
        -------
        ndarray of float32, shape (..., F, Q)

        Raises
        ------
        InputError
            As `hard`, or if the shapes differ.
        """
        field, tiles = self._tiles(rain_rate)
        directions = _matching(direction, field.shape, "direction").reshape(tiles.shape)
        change = np.empty((len(tiles), self._rows.size, self.thresholds.size), np.float32)
        push_forward(
            tiles,
            directions,
            self.pixel_km,
            self.floors,
            self._rows,
            self._steps,
            NEIGHBOURHOODS,
            change,
        )
        return change.reshape(*field.shape[:-2], *change.shape[1:])

    def pull_back(self, rain_rate: npt.ArrayLike, gradient: npt.ArrayLike) -> Float32:
        """Compute Σ_fu gradient[f, u] dγ_soft,f(u) / dx (a vector times the Jacobian).

        Parameters
        ----------
        rain_rate : array_like of floats, shape (..., H, W)
        gradient : array_like of floats, shape (..., F, Q)
            Of a loss, with respect to γ.

        Returns
        -------
        ndarray of float32, shape (..., H, W)
            Of the loss, with respect to the rain rate.

        Raises
        ------
        InputError
            As `hard`, or if the gradient has another shape than γ.
        """
        field, tiles = self._tiles(rain_rate)
        shape = (self._rows.size, self.thresholds.size)
        gradients = _matching(gradient, (*field.shape[:-2], *shape), "gradient")
        slopes = np.empty(tiles.shape, np.float32)
        pull_back(
            tiles,
            gradients.reshape(len(tiles), *shape),
            self.pixel_km,
            self.floors,
            self._rows,
            self._steps,
            NEIGHBOURHOODS,
            slopes,
        )
        return slopes.reshape(field.shape)

    def _tiles(self, rain_rate: npt.ArrayLike) -> tuple[npt.NDArray[Any], Float32]:
        field = as_field(rain_rate)
        return field, as_tiles(field)


def _as_drizzle(drizzle_mm_h: float) -> float:
    if not 0 <= drizzle_mm_h < math.inf:
        raise InputError(
            "the drizzle threshold cannot be used",
            where="drizzle_mm_h",
            got=repr(drizzle_mm_h),
            expected="a number >= 0 in mm/h",
        )
    return drizzle_mm_h


def _steps(
    thresholds: Float32, temperatures: npt.ArrayLike, drizzle: float, highest_essential: int
) -> Steps:
    met = np.maximum(thresholds.astype(np.float64), drizzle)
    half_widths = np.asarray(temperatures, np.float64)
    if (
        half_widths.shape != thresholds.shape
        or not ((half_widths > 0) & (half_widths < np.inf)).all()
    ):
        raise InputError(
            "the temperatures cannot be used",
            where="temperatures",
            got=repr(temperatures),
            expected=f"{thresholds.size} finite numbers > 0 in mm/h, one for each threshold",
        )
    begins, ends = met - half_widths, met + half_widths
    # float32 thresholds, say 0.1 and a temperature of 0.1 times 1.0: equal but for rounding.
    begins[np.abs(begins) < 1e-6 * met] = 0.0
    if begins.min() < 0 or (np.diff(begins) < 0).any() or (np.diff(ends) < 0).any():
        raise InputError(
            "the steps are too soft",
            where="temperatures",
            got=f"steps from {begins} to {ends} mm/h",
            expected="steps that begin at 0 mm/h or above, and after those of lower thresholds",
            hint="lower the temperatures",
        )
    return Steps(
        begins,
        1.0 / (ends - begins),
        as_kernel_input(ends),
        drizzle,
        highest_essential,
    )


def _matching(values: npt.ArrayLike, shape: tuple[int, ...], name: str) -> Float32:
    array = np.asarray(values)
    if array.dtype.kind != "f" or array.shape != shape:
        raise InputError(
            "an array does not fit the field",
            where=name,
            got=f"{array.dtype}, shape {array.shape}",
            expected=f"floats, shape {shape}",
        )
    return as_kernel_input(array)
