"""A lock that lets only one process at a time work in a folder.

The operating system locks the file `.lock` in the folder (`flock`) and releases the lock when the process ends, also
after `kill -9` or a crash. The file contains the number and host of the process, for error messages. Some network disks
have no locks. There the content of the file decides: the lock of a process on this host that has ended is taken over,
and the lock of a process on another host is kept, because it cannot be checked whether that process still runs.
"""

import contextlib
import json
import os
import socket
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO, TypedDict

from spikeloom.errors import FileError, StaleLockWarning
from spikeloom.files import ensure_folder

FILE = ".lock"


class Owner(TypedDict, total=False):
    """Content of a lock file: number, host and start of the process that holds the lock."""

    process: int
    host: str
    since: str


@contextlib.contextmanager
def only_process(folder: str | os.PathLike[str], what: str) -> Iterator[None]:
    """Return a context in which no other process can work in this folder.

    Args:
        folder: Path of the folder, which is created if it does not exist.
        what: Activity for messages, such as "training".

    Raises:
        FileError: Another process works there. The message names it.
    """
    path = ensure_folder(folder) / FILE
    with path.open("a+") as file:
        held = _lock(file)
        before = _read(file)
        if held is False or (held is None and before and not _is_mine(before) and not _ended(before)):
            raise _busy(path, before, what, certain=held is False)
        if before and not _is_mine(before):
            warnings.warn(
                f"Process {before.get('process')} on {before.get('host')} stopped without finishing its work in "
                f"{folder}; this process takes over.",
                StaleLockWarning,
                stacklevel=3,
            )
        _write(file, {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%F %T")})
        try:
            yield
        finally:
            _write(file, None)


def _lock(file: TextIO) -> bool | None:
    """Lock an open file until it is closed. Return True if locked, False if it is taken, None if there are no locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a network disk without locks
        return None
    return True


def _read(file: TextIO) -> Owner:
    """Read process and host from a lock file. The result is empty if there are none."""
    file.seek(0)
    try:
        owner: Owner = json.loads(file.read())
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _write(file: TextIO, owner: Owner | None) -> None:
    file.seek(0)
    file.truncate()
    if owner is not None:
        file.write(json.dumps(owner))
    file.flush()


def _is_mine(owner: Owner) -> bool:
    return (owner.get("process"), owner.get("host")) == (os.getpid(), socket.gethostname())


def _ended(owner: Owner) -> bool:
    """Return whether it is certain that the process has ended."""
    process = owner.get("process")
    if owner.get("host") != socket.gethostname() or not isinstance(process, int) or process <= 0:
        return False
    if os.name != "posix":
        return False  # os.kill would end the process there
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _busy(path: Path, owner: Owner, what: str, *, certain: bool) -> FileError:
    who = f"Process {owner['process']} on {owner.get('host')}" if "process" in owner else "Another process"
    wait = "Wait for it, stop it, or choose another --out."
    if not certain:
        wait += f" If it has ended, delete {path}."
    return FileError(f"One process at a time can work in {path.parent}.", f"{who} is {what} there.", wait)
