"""`Trials`, the noun that everything takes and gives, and its two file formats."""

from spikeloom.trials.trials import Trials, whole_counts

__all__ = ["Trials", "whole_counts"]
