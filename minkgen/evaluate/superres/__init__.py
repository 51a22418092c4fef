"""Scores of super-resolution: statistics of chunks of fields, and scores made from merged ones."""
