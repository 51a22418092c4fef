"""The Minkowski image loss as a module for anybody's network.

Shape suffixes: B samples, F functionals, Q thresholds, H rows (north first), W columns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from minkgen.errors import InputError
from minkgen.gamma.matrix import gamma_matrix
from minkgen.learn.losses import sample_terms
from minkgen.learn.named import load_surrogate
from minkgen.learn.surrogate import GammaDefinition, Surrogate
from minkgen.learn.trust import squared_log_error
from minkgen.store.snapshot import Snapshot

__all__ = ["MinkowskiLoss"]

Measure = Literal["counting", "grid"]


class MinkowskiLoss(nn.Module):
    """How unlike two rain fields are in area, perimeter and components, as a differentiable loss.

    L_M is the mean over samples of ``Σ_f Σ_u w(u) |log1p γ̂_f(u) - log1p γ_f(u)|`` (signed
    logarithms for Euler numbers), with γ̂ of a prediction by a differentiable surrogate and γ of the
    target exact.
    Fields are rain rates in mm/h; what comes from a network must be brought back to them first.

    Parameters
    ----------
    snapshot : Snapshot or GammaDefinition
        Where thresholds, persistence floors and drizzle threshold come from; a definition of your
        own where there is no store.
    surrogate : str or Path or Surrogate
        "exact" (the functionals themselves, with persistence gradients), "analytical" (the paper's
        closed form), or the weights of a trained emulator of this snapshot, which brings its trust
        coefficient with it.
    pixel_km : float
        Side of a pixel, in km, of the fields that the loss will see.
    measure : {"counting", "grid"}
        w(u): 1 (the paper's equation 2), or the integration weights of the snapshot's thresholds.
    least_trust : float
        What a sample counts where an emulator errs as much on its truth as on one in ten of the
        validation tiles; exp(-kappa err²) elsewhere (appendix E.3 of the paper).

    Raises
    ------
    InputError
        If surrogate or measure are unknown, the pixel size is not that of the snapshot, or a
        definition is to be integrated over.
    TrainingError
        If the emulator's weights cannot be read, or are of another snapshot.

    Notes
    -----
    arXiv 2604.11422, equations 2 and 7.

    Examples
    --------
    >>> definition = GammaDefinition((0.5, 2.0), pixel_km=2.0)
    >>> loss = MinkowskiLoss(definition, pixel_km=2.0)
    >>> rain = torch.zeros(1, 4, 4)
    >>> rain[0, 1, 1] = 3.0
    >>> prediction = (0.8 * rain).requires_grad_()
    >>> loss(prediction, rain)
    tensor(0., grad_fn=<SumBackward0>)
    """

    measure: Tensor

    def __init__(
        self,
        snapshot: Snapshot | GammaDefinition,
        surrogate: str | Path | Surrogate = "exact",
        *,
        pixel_km: float,
        measure: Measure = "counting",
        least_trust: float = 0.05,
    ) -> None:
        super().__init__()
        definition = GammaDefinition.of(snapshot) if isinstance(snapshot, Snapshot) else snapshot
        if pixel_km != definition.pixel_km:
            raise InputError(
                "fields have another pixel size than the targets",
                where="pixel_km",
                got=f"{pixel_km:g} km",
                expected=f"{definition.pixel_km:g} km",
                hint="compute a snapshot of fields of this pixel size",
            )
        self.definition = definition
        if isinstance(surrogate, Surrogate):
            self.surrogate, self.trust = surrogate, None
        else:
            self.surrogate, self.trust = load_surrogate(
                surrogate, snapshot, least_trust=least_trust
            )
        self.register_buffer("measure", _measure(snapshot, definition, measure))

    @property
    def functionals(self) -> tuple[str, ...]:
        """Names of the functionals whose errors are summed."""
        return self.surrogate.functionals

    def target_gamma(self, target_BHW: Tensor) -> Tensor:
        """Return the exact γ of target fields, shape (B, F, Q), on their device."""
        definition = self.definition
        gamma_BFQ = gamma_matrix(
            target_BHW.detach().float().cpu().numpy(),
            definition.thresholds,
            pixel_km=definition.pixel_km,
            min_persistence=definition.floors,
            functionals=self.functionals,
            essential=definition.essential,
        )
        return torch.from_numpy(np.asarray(gamma_BFQ)).to(target_BHW.device)

    def terms(
        self, predicted_BHW: Tensor, target_BHW: Tensor, target_gamma_BFQ: Tensor | None = None
    ) -> Tensor:
        """Return the terms of the loss, one per functional, in the order of `functionals`.

        Parameters
        ----------
        predicted_BHW, target_BHW : Tensor
            Rain rates in mm/h, north first; a target is 0 below the drizzle threshold.
        target_gamma_BFQ : Tensor, optional
            γ of the targets, as a snapshot holds it; computed from them by default.

        Returns
        -------
        Tensor (F,)
            Means over samples, weighted by trust where an emulator has one.

        Raises
        ------
        InputError
            If shapes differ, targets are not rain rates in mm/h (negative, not finite, between 0
            and the drizzle threshold: they may have been normalised), or γ is not theirs.
        """
        self._require_rain_rates(predicted_BHW, target_BHW)
        if target_gamma_BFQ is None:
            target_gamma_BFQ = self.target_gamma(target_BHW)
        else:
            self._require_gamma_of(target_BHW, target_gamma_BFQ)
        terms_BF = sample_terms(self.surrogate(predicted_BHW), target_gamma_BFQ, self.measure)
        if self.trust is not None:
            with torch.no_grad():
                error_B = squared_log_error(self.surrogate(target_BHW), target_gamma_BFQ)
            terms_BF = self.trust.weights(error_B)[:, None] * terms_BF
        return terms_BF.mean(dim=0)

    def forward(
        self, predicted_BHW: Tensor, target_BHW: Tensor, target_gamma_BFQ: Tensor | None = None
    ) -> Tensor:
        """Return the loss, a scalar: the sum of `terms`, which describes the arguments."""
        return self.terms(predicted_BHW, target_BHW, target_gamma_BFQ).sum()

    def _require_rain_rates(self, predicted_BHW: Tensor, target_BHW: Tensor) -> None:
        if predicted_BHW.ndim != 3 or predicted_BHW.shape != target_BHW.shape:
            raise InputError(
                "prediction and target cannot be compared",
                got=f"{tuple(predicted_BHW.shape)} and {tuple(target_BHW.shape)}",
                expected="the same (samples, rows, columns)",
                hint="take the channel dimension away: field[:, 0]",
            )
        drizzle = self.definition.drizzle_mm_h
        # NaN fails every comparison, so that it is strange, too.
        fits_BHW = (target_BHW == 0.0) | ((target_BHW >= drizzle) & torch.isfinite(target_BHW))
        if not bool(fits_BHW.all()):
            strange = target_BHW[~fits_BHW].flatten()[0].item()
            raise InputError(
                "a target is no rain rate in mm/h",
                got=f"{strange:g}",
                expected=f"0, or {drizzle:g} and above",
                hint="undo the normalisation, set missing pixels and those below the drizzle "
                "threshold to 0",
            )

    def _require_gamma_of(self, target_BHW: Tensor, gamma_BFQ: Tensor) -> None:
        """Refuse γ of other fields, other thresholds, or another pixel size."""
        count = len(self.definition.thresholds)
        shape = (len(target_BHW), len(self.functionals), count)
        if gamma_BFQ.shape != shape:
            raise InputError(
                "γ has another shape than that of the targets",
                got=tuple(gamma_BFQ.shape),
                expected=f"{shape}: samples, {', '.join(self.functionals)}, thresholds",
            )
        if "area" not in self.functionals:
            return
        threshold = float(self.surrogate.thresholds[count // 2])
        pixel_km2 = self.definition.pixel_km**2
        area_B = (target_BHW >= threshold).sum(dim=(1, 2)) * pixel_km2
        given_B = gamma_BFQ[:, self.functionals.index("area"), count // 2]
        wrong_B = (area_B - given_B).abs() > 0.5 * pixel_km2
        if bool(wrong_B.any()):
            sample = int(wrong_B.nonzero()[0, 0])
            raise InputError(
                "γ is not that of the targets",
                where=f"sample {sample}, area at {threshold:g} mm/h",
                got=f"{float(given_B[sample]):g} km2",
                expected=f"{float(area_B[sample]):g} km2, as the target has it",
                hint="give both in the same order, rates in mm/h and γ of this snapshot",
            )


def _measure(
    snapshot: Snapshot | GammaDefinition, definition: GammaDefinition, measure: Measure
) -> Tensor:
    if measure == "counting":
        return torch.ones(len(definition.thresholds))
    if measure != "grid":
        raise InputError(
            "there is no such measure",
            where="measure",
            got=repr(measure),
            expected="'counting' or 'grid'",
        )
    if isinstance(snapshot, GammaDefinition):
        raise InputError(
            "a definition has no integration weights",
            where="measure",
            got=repr(measure),
            expected="'counting', or a snapshot",
        )
    return torch.as_tensor(snapshot.measure, dtype=torch.float32)
