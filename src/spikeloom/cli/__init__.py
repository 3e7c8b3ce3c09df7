"""The command line: parse arguments, call the library, print results."""

from spikeloom.cli.app import app, main

__all__ = ["app", "main"]
