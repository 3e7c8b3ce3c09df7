"""`Trials`, the data structure of the package, and its two file formats."""

from spikeloom.trials.checks import whole_counts
from spikeloom.trials.trials import Trials

__all__ = ["Trials", "whole_counts"]
