"""Metrics that compare generated with real trials: pure functions of two `Trials`, with NumPy and SciPy only."""

from spikeloom.metrics.pair import Pair
from spikeloom.metrics.panel import METRICS, Metric, measure
from spikeloom.metrics.result import Result

__all__ = ["METRICS", "Metric", "Pair", "Result", "measure"]
