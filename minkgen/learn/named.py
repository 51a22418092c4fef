"""Surrogates as they are named in settings: closed forms, and files of weights."""

from __future__ import annotations

from pathlib import Path

from minkgen.errors import InputError
from minkgen.learn.analytical import AnalyticalGamma
from minkgen.learn.checkpoints import load_emulator, read_tensors
from minkgen.learn.exact import ExactGamma
from minkgen.learn.surrogate import GammaDefinition, Surrogate
from minkgen.learn.trust import Trust
from minkgen.store.snapshot import Snapshot

__all__ = ["load_surrogate"]

FUNCTIONALS = ("area", "perimeter", "components")


def load_surrogate(
    name: str | Path, snapshot: Snapshot | GammaDefinition, *, least_trust: float
) -> tuple[Surrogate, Trust | None]:
    """Return a surrogate by its name, in evaluation mode, and its trust if it has learned.

    Parameters
    ----------
    name : str or Path
        "exact", "analytical", or the weights of an emulator of this snapshot.
    snapshot : Snapshot or GammaDefinition
    least_trust : float
        An emulator's trust at the 90th percentile of its error on validation tiles.

    Raises
    ------
    InputError
        If there is no such name or file; if it is an emulator, and there is no snapshot that it
        could be of.
    TrainingError
        If the weights cannot be read, or are of another snapshot.
    """
    definition = GammaDefinition.of(snapshot) if isinstance(snapshot, Snapshot) else snapshot
    if name == "exact":
        return ExactGamma(definition, FUNCTIONALS).eval(), None
    if name == "analytical":
        return AnalyticalGamma(definition, functionals=FUNCTIONALS).eval(), None
    if not Path(name).exists():
        raise InputError(
            "there is no such surrogate",
            got=name,
            expected="'exact', 'analytical', or a file: the best.safetensors of a training run",
        )
    if not isinstance(snapshot, Snapshot):
        raise InputError(
            "an emulator belongs to a snapshot",
            where="snapshot",
            got="a definition of γ",
            expected="the snapshot that it was trained on, or 'exact', or 'analytical'",
        )
    error_p90 = read_tensors(Path(name)).content["error_p90"]
    return load_emulator(name, snapshot), Trust.calibrated(error_p90, least_weight=least_trust)
