"""Evaluate: scores, tables and figures on one split of a snapshot.

`surrogates` loads them by name, `emulator` makes the table, the γ curves and the fidelity of
gradients, `inversion` and `mechanism` the other two experiments; `superres` does the same for
models of super-resolution. Each writes JSON, text and pictures into one folder of the store's
runs.
"""

from minkgen.workflows.evaluate.emulator import EvaluateResult, evaluate_emulator
from minkgen.workflows.evaluate.inversion import evaluate_inversion
from minkgen.workflows.evaluate.mechanism import evaluate_mechanism
from minkgen.workflows.evaluate.superres import SUPER_RESOLVERS, evaluate_superres
from minkgen.workflows.evaluate.surrogates import SURROGATES

__all__ = [
    "SUPER_RESOLVERS",
    "SURROGATES",
    "EvaluateResult",
    "evaluate_emulator",
    "evaluate_inversion",
    "evaluate_mechanism",
    "evaluate_superres",
]
