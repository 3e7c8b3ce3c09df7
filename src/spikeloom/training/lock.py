"""A folder that one process at a time works in.

The lock is the operating system's (`flock`) on the file `.lock` in the folder, so it ends with the process, however
that ends: also with `kill -9` or a crash. The file holds the number and host of the process, which a message can name.
Where a disk knows no locks (some network disks), what the file says decides: a process on this host that has ended is
taken over from, one on another host is not, because nobody can tell from here whether it still runs.
"""

import contextlib
import json
import os
import socket
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from spikeloom.errors import FileError, StaleLockWarning
from spikeloom.files import ensure_folder

FILE = ".lock"


@contextlib.contextmanager
def only_process(folder: str | os.PathLike[str], what: str) -> Iterator[None]:
    """Context in which no other process works in this folder.

    Args:
        folder: The folder; created if it does not exist.
        what: What processes do there, as in "training".

    Raises:
        FileError: if another process works there; the message names it.
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
    """Lock an open file until it is closed: True if that worked, False if it is taken, None if locks do not exist."""
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


def _read(file: TextIO) -> dict[str, Any]:
    """Process and host that a lock file names; empty if it names none."""
    file.seek(0)
    try:
        owner = json.loads(file.read())
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _write(file: TextIO, owner: dict[str, Any] | None) -> None:
    file.seek(0)
    file.truncate()
    if owner is not None:
        file.write(json.dumps(owner))
    file.flush()


def _is_mine(owner: dict[str, Any]) -> bool:
    return (owner.get("process"), owner.get("host")) == (os.getpid(), socket.gethostname())


def _ended(owner: dict[str, Any]) -> bool:
    """Whether it is certain that the process has ended."""
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


def _busy(path: Path, owner: dict[str, Any], what: str, *, certain: bool) -> FileError:
    who = f"Process {owner['process']} on {owner.get('host')}" if "process" in owner else "Another process"
    wait = "Wait for it, stop it, or choose another --out."
    if not certain:
        wait += f" If it has ended, delete {path}."
    return FileError(f"One process at a time can work in {path.parent}.", f"{who} is {what} there.", wait)
