"""Evaluate super-resolution: scores, tables and figures of models on one split of a snapshot.

`models` loads them by name, `subject` is what is evaluated, `scores` passes over the split,
`storms` keeps what figures show, `figures` and tables are made from what was saved.
"""

from minkgen.workflows.evaluate.superres.evaluate import evaluate_superres, redraw_superres
from minkgen.workflows.evaluate.superres.models import SUPER_RESOLVERS

__all__ = ["SUPER_RESOLVERS", "evaluate_superres", "redraw_superres"]
