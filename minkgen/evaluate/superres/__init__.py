"""Scores of super-resolution: mean statistics of fields, and metrics made from them."""
