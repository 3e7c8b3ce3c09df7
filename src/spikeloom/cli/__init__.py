"""The command line: parse, call, show."""

from spikeloom.cli.app import app, main

__all__ = ["app", "main"]
