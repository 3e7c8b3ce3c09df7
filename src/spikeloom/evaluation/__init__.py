"""Evaluation of generated trials: every metric with its noise floor and baselines, as a report or a comparison."""
