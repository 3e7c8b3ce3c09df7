"""Processes that are copied from a server, which imports a module once."""

import concurrent.futures
import os
import sys
from pathlib import Path

import pytest

from spikeloom import processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no server of processes here")

MODULE = "spikeloom.distributed.order"


def test_workers_are_copied_from_one_server_that_has_imported_torch():
    processes.start_importing(MODULE)
    with concurrent.futures.ProcessPoolExecutor(2, processes.context(MODULE)) as pool:
        (server,) = {job.result() for job in [pool.submit(os.getppid) for _ in range(4)]}
    assert server != os.getpid()
    assert "libtorch" in Path(f"/proc/{server}/maps").read_text()


def test_importing_may_be_started_again():
    processes.start_importing(MODULE)
    processes.start_importing(MODULE)
