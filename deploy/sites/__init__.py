"""Site profiles that are shipped with minkgen, as YAML files."""
