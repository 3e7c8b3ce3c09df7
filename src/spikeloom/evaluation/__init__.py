"""Judging generated trials: every metric between its noise floor and its baselines, as a report or a comparison."""
