"""Recipes that are shipped with minkgen, as YAML files."""
