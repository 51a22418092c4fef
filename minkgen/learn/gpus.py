"""Which GPUs torch sees on this machine."""

from __future__ import annotations

from importlib.util import find_spec

__all__ = ["gpu_names"]


def gpu_names() -> tuple[str, ...] | None:
    """Return the names of the GPUs that torch sees; None where torch is not installed."""
    if find_spec("torch") is None:
        return None
    import torch

    return tuple(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
