"""Metrics that compare generated ("fake") with real trials: pure functions of two `Trials`, with NumPy and SciPy only.

A metric takes a `Pair` of both sets of trials, and returns a `Result`. `METRICS` lists all of them.
"""

from spikeloom.metrics.pair import Pair
from spikeloom.metrics.panel import METRICS, Metric, measure
from spikeloom.metrics.result import Result

__all__ = ["METRICS", "Metric", "Pair", "Result", "measure"]
