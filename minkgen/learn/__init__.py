"""Surrogates of γ and the Minkowski image loss: the only place that knows torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minkgen.learn.minkowski_loss import MinkowskiLoss

__all__ = ["MinkowskiLoss"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: a host without torch may ask which GPUs there are.
    if name != "MinkowskiLoss":
        raise AttributeError(f"module 'minkgen.learn' has no attribute {name!r}")
    from minkgen.learn.minkowski_loss import MinkowskiLoss

    return MinkowskiLoss
