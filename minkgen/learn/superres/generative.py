"""What diffusion and flow have in common: a baseline, and the scale of what it lacks.

Shape suffixes: M members, B samples, H rows (north first), W columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from minkgen.errors import TrainingError
from minkgen.learn.superres.model import Scene, SuperResolver

__all__ = ["GenerativeResolver"]


class GenerativeResolver(SuperResolver):
    """A model that draws what a baseline lacks.

    Networks learn fastest what is of order one, and rain is not: the residual's scale is measured
    on training scenes before the first step, and is part of the state, because it belongs to the
    baseline it was measured with.

    Parameters
    ----------
    log_max : float
        log1p of the largest training rate, from the snapshot.
    """

    is_generative = True
    residual_scale: Tensor

    def __init__(self, log_max: float) -> None:
        super().__init__(log_max)
        self.register_buffer("residual_scale", torch.tensor(0.0))

    def baseline(self, scene: Scene) -> Tensor:
        """Return the normalised field (B, H, W) that residuals are taken from."""
        raise NotImplementedError

    def sampler(self, scene: Scene) -> Callable[[Tensor], Tensor]:
        """Return what makes of noise (B, H, W) of variance 1 a field in mm/h."""
        raise NotImplementedError

    @torch.no_grad()
    def prepare(self, batches: Iterable[tuple[Scene, Tensor]]) -> None:
        """Measure the residual's scale: its root mean square over all pixels of the batches.

        Raises
        ------
        TrainingError
            If there is no residual, or none that is finite.
        """
        squares, pixels = 0.0, 0
        for scene, target_BHW in batches:
            residual_BHW = self.normalised(target_BHW) - self.baseline(scene)
            squares += float(residual_BHW.double().square().sum())
            pixels += residual_BHW.numel()
        scale = (squares / max(pixels, 1)) ** 0.5
        if not 0.0 < scale < float("inf"):
            raise TrainingError(
                "there is nothing for the model to draw",
                got=f"residuals of scale {scale} over {pixels} pixels",
                expected="training scenes with rain, all of it finite",
                hint="run `minkgen verify` on the store",
            )
        self.residual_scale.fill_(scale)

    def require_scale(self) -> None:
        """Refuse to train, or to sample, before the residual's scale is known.

        Raises
        ------
        TrainingError
        """
        if not self.residual_scale > 0.0:
            raise TrainingError(
                "the scale of the model's residual is not known",
                hint="call prepare with batches of training scenes first",
            )

    @torch.no_grad()
    def sample(
        self, scene: Scene, *, members: int = 1, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return fields in mm/h, (M, B, H, W); the first members of many are those of few.

        Raises
        ------
        TrainingError
            If the residual's scale was not measured.
        """
        self.require_scale()
        field_of = self.sampler(scene)
        shape, device = scene.low.shape, scene.low.device
        noises = (torch.randn(shape, generator=generator).to(device) for _ in range(members))
        return torch.stack([field_of(noise_BHW) for noise_BHW in noises])
