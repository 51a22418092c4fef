"""Optional parts of the installation, asked for by name before work begins."""

from __future__ import annotations

import os
from importlib.util import find_spec

from minkgen.errors import MinkgenError

__all__ = ["require_extra"]

_MODULES = {"train": ("torch", "lightning_fabric", "optuna", "safetensors")}


def require_extra(extra: str) -> None:
    """Refuse to go on without the packages of an extra, and prepare what they read on loading.

    Raises
    ------
    MinkgenError
        If a package is not installed.
    """
    missing = [name for name in _MODULES[extra] if find_spec(name) is None]
    if missing:
        raise MinkgenError(
            f"this command needs the extra {extra!r}",
            got=f"{', '.join(missing)} not installed",
            hint=f'pip install "minkgen[{extra}]" (without a GPU with -c constraints.txt)',
        )
    # Threads that wait for one another must not spin: where cores are shared, training on two
    # threads took 85 ms a tile spinning and 11 ms asleep (8 ms on one thread).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
