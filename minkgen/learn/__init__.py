"""Surrogates of γ and the Minkowski image loss: the only place that knows torch."""
