"""Sampling in parts: in several processes of one machine, or by the tasks of a Ray cluster."""

from spikeloom.distributed.sample import sample_distributed

__all__ = ["sample_distributed"]
