"""Exact geometric training targets from weather radar."""
