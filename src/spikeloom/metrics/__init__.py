"""Metrics: how far generated trials are from real ones. Pure functions of two `Trials`, NumPy and SciPy only."""
