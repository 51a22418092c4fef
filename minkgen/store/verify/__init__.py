"""Verifying a store: its laws as small functions of a view, each returning what it found."""
