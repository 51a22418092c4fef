"""Training: a loop that is stopped and resumed after any batch, and the tasks it is used for.

`fit` reads like a page, `steps` are what it repeats, `ahead` reads for them, `state` is what a
checkpoint holds, `devices` are the processes, `signals` end it, `reports` tell how far it is. What
is trained is a `task`: an `emulator`, or `superres`, whose loss may have `geometry`.
"""

from minkgen.learn.training.devices import process_rank
from minkgen.learn.training.emulator import fit_emulator
from minkgen.learn.training.geometry import GeometricSurrogate, TrustedEmulator
from minkgen.learn.training.reports import TrainingProgress, TrainingSummary
from minkgen.learn.training.state import BEST, LAST, METRICS, training_budget, training_finished
from minkgen.learn.training.superres import fit_superres, training_identity

__all__ = [
    "BEST",
    "LAST",
    "METRICS",
    "GeometricSurrogate",
    "TrainingProgress",
    "TrainingSummary",
    "TrustedEmulator",
    "fit_emulator",
    "fit_superres",
    "process_rank",
    "training_budget",
    "training_finished",
    "training_identity",
]
