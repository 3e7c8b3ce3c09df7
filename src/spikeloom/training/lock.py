"""A lock that lets only one process at a time work in a folder.

The operating system locks the file `.lock` in the folder (`flock`) and releases the lock when the process ends, also
after `kill -9` or a crash. The file contains the number and the host of the process, for error messages. Some network
disks have no locks. There the content of the file decides. If the file names a process of this host that has ended, the
present process takes over. If the file names a process of another host, the folder counts as taken, because nobody can
check whether that process still runs.
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
    """Content of a lock file: number and host of the process that holds the lock, and the time when it got the lock."""

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
        FileError: if another process works there; the message names that process.
    """
    path = ensure_folder(folder) / FILE
    with path.open("a+") as file:
        locked = _lock(file)
        owner = _read(file)
        owner_may_run = bool(owner) and not _is_mine(owner) and not _ended(owner)
        if locked is False or (locked is None and owner_may_run):
            raise _busy(path, owner, what, certain=locked is False)
        if owner and not _is_mine(owner):
            warnings.warn(
                f"Process {owner.get('process')} on {owner.get('host')} stopped without finishing its work in "
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
    """Lock an open file until it is closed.

    Returns:
        True if this process now holds the lock, False if another process holds it, None if the disk has no locks.
    """
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
    """Return the content of a lock file, or an empty dictionary if it names no process."""
    file.seek(0)
    try:
        owner: Owner = json.loads(file.read())
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _write(file: TextIO, owner: Owner | None) -> None:
    """Replace the content of a lock file; `None` as the owner empties the file."""
    file.seek(0)
    file.truncate()
    if owner is not None:
        file.write(json.dumps(owner))
    file.flush()


def _is_mine(owner: Owner) -> bool:
    """Return True if the lock file names this process."""
    return (owner.get("process"), owner.get("host")) == (os.getpid(), socket.gethostname())


def _ended(owner: Owner) -> bool:
    """Return True if it is certain that the process has ended, and False if it may still run."""
    process = owner.get("process")
    if owner.get("host") != socket.gethostname() or not isinstance(process, int) or process <= 0:
        return False
    if os.name != "posix":
        return False  # on Windows, os.kill with signal 0 would end the process
    try:
        os.kill(process, 0)  # signal 0 only checks that the process exists
    except ProcessLookupError:
        return True
    except PermissionError:  # the process exists, and belongs to another user
        return False
    return False


def _busy(path: Path, owner: Owner, what: str, *, certain: bool) -> FileError:
    """Return the error that another process works in the folder.

    Args:
        path: Path of the lock file.
        owner: Content of the lock file.
        what: Activity of this process, such as "training". The other process is assumed to do the same.
        certain: True if the other process certainly runs.
    """
    who = f"Process {owner['process']} on {owner.get('host')}" if "process" in owner else "Another process"
    remedy = "Wait for that process, stop that process, or choose another --out."
    if not certain:
        remedy += f" If that process has ended, delete {path}."
    return FileError(f"One process at a time can work in {path.parent}.", f"{who} is {what} there.", remedy)
