"""Metrics: how far generated trials are from real ones. Pure functions of two `Trials`, NumPy and SciPy only."""

from spikeloom.metrics.pair import Pair
from spikeloom.metrics.panel import METRICS, Metric, measure
from spikeloom.metrics.result import Result

__all__ = ["METRICS", "Metric", "Pair", "Result", "measure"]
