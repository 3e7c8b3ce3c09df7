"""Start further Python processes that import torch only once, while the first process still imports it.

On Linux, a server process imports a module and is then copied for each worker (`forkserver` of `multiprocessing`). The
server computes nothing, so it has no threads and uses no GPU when it is copied. On other systems, each worker starts
as a new Python process and imports the module itself.
"""

import multiprocessing
import sys
from multiprocessing import forkserver
from multiprocessing.context import BaseContext


def context(module: str) -> BaseContext:
    """Return the context of `multiprocessing` in which workers are started.

    Args:
        module: Name of the module that the server imports. The first call decides, because the server starts once.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    multiprocessing.set_forkserver_preload([module])
    return multiprocessing.get_context("forkserver")


def start_importing(module: str) -> None:
    """Let the server import a module that workers need. Call this before this process imports torch itself."""
    if context(module).get_start_method() == "forkserver":
        forkserver.ensure_running()
