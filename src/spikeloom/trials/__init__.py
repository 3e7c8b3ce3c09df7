"""`Trials`, the noun that everything takes and gives, and its two file formats."""

from spikeloom.trials.checks import whole_counts
from spikeloom.trials.trials import Trials

__all__ = ["Trials", "whole_counts"]
