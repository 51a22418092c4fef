"""Evaluate: scores, tables and figures of surrogates of γ on one split of a snapshot.

`surrogates` loads them by name, `emulator` makes the table, the γ curves and the fidelity of
gradients, `inversion` and `mechanism` the other two experiments. Each writes JSON, text and
pictures into one folder of the store's runs.
"""

from minkgen.workflows.evaluate.emulator import EvaluateResult, evaluate_emulator
from minkgen.workflows.evaluate.inversion import evaluate_inversion
from minkgen.workflows.evaluate.mechanism import evaluate_mechanism
from minkgen.workflows.evaluate.surrogates import SURROGATES

__all__ = [
    "SURROGATES",
    "EvaluateResult",
    "evaluate_emulator",
    "evaluate_inversion",
    "evaluate_mechanism",
]
