"""How fast γ is: timing in rounds, fields to time, process starts, and the report."""
