"""Tiles: which are eligible, which split they belong to, coarsening and mix-up."""
