"""Training: the training loop, its plan, checkpoints, and averages of weights."""

from spikeloom.training.plan import Plan

__all__ = ["Plan"]
