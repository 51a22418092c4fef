"""The row of a table that every model is measured against: the low resolution as it is."""

from __future__ import annotations

import torch
from torch import Tensor

from minkgen.learn.superres.model import Scene, SuperResolver

__all__ = ["Interpolation"]


class Interpolation(SuperResolver):
    """Cells of 25 km brought back to pixels, bicubic or nearest as the scene is; not trained."""

    def sample(
        self, scene: Scene, *, members: int = 1, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return the low resolution, once a member; see `SuperResolver.sample`."""
        return scene.low.expand(members, *scene.low.shape)
