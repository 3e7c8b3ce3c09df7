"""Training: the one loop, its plan, checkpoints and averages."""
