"""Training: the one loop, its plan, checkpoints and averages."""

from spikeloom.training.plan import Plan

__all__ = ["Plan"]
