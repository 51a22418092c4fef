"""The γ-matrix: kernels, oracles, thresholds and persistence floors."""
