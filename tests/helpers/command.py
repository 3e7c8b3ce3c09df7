"""Run commands in this process, for the tests of the command line."""

import pytest

from spikeloom import cli


def run(*words):
    """Run a command in this process and give its exit code."""
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    return end.value.code
