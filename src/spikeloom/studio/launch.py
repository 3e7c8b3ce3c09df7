"""Start the studio: load the models, open the port, print the address, and serve until Ctrl-C."""

import errno
import secrets
import socket
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import uvicorn

from spikeloom.errors import SettingError, SpikeloomError
from spikeloom.studio.connection import TimedConnection
from spikeloom.studio.security import Guard
from spikeloom.studio.server import Studio, application
from spikeloom.studio.workers import Worker

Say = Callable[[str], object]
"""Function that prints a line of text."""

MOST_CONNECTIONS = 128
"""Largest number of connections that are open at the same time."""


def launch(runs: Sequence[Path], *, port: int, host: str, files: Sequence[Path], say: Say) -> None:
    """Serve the page for these runs until Ctrl-C.

    Args:
        runs: Run folders or model folders.
        port: Port of the server; 0 chooses a free one.
        host: Address under which the server is reached.
        files: Trials files with the training trials.
        say: Function that prints a line of text.

    Raises:
        SettingError: if the port is in use, or a model cannot be shown.
    """
    listening = open_port(host, port)
    try:
        studio = start_studio(runs, files, say)
    except BaseException:
        listening.close()
        raise
    token = secrets.token_urlsafe(24)
    bound = int(listening.getsockname()[1])
    app = application(studio, token=token, hosts=hosts_of(host, bound))
    say(f"Open {address(host, bound)}/#token={token}")
    say("Press Ctrl-C to stop.")
    try:
        uvicorn.Server(config_of(app)).run(sockets=[listening])
    except KeyboardInterrupt:
        pass
    finally:
        studio.close()
        listening.close()


def config_of(app: Guard) -> uvicorn.Config:
    """Return the settings of the server, with limits of connections, idle times and message sizes."""
    return uvicorn.Config(
        app,
        log_level="warning",
        server_header=False,
        date_header=False,
        http=TimedConnection,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=20,  # s without a request, after which a connection is closed
        timeout_graceful_shutdown=3,  # s
        ws_max_size=2**16,  # bytes of a message of a WebSocket
    )


def start_studio(runs: Sequence[Path], files: Sequence[Path], say: Say) -> Studio:
    """Start a worker for each run and wait until all models are loaded.

    Raises:
        SettingError: if a model cannot be shown.
    """
    workers: dict[str, Worker] = {}
    try:
        for run in runs:
            key = _key(run, workers)
            workers[key] = Worker(key, str(run), [str(path) for path in files])
        say(f"Loading {', '.join(worker.run for worker in workers.values())} ...")
        starting = {key: worker.start() for key, worker in workers.items()}
        details = {key: future.result() for key, future in starting.items()}
    except BaseException as error:
        for worker in workers.values():
            worker.close()
        if isinstance(error, SpikeloomError):
            raise SettingError(str(error), "", "") from error
        raise
    return Studio(workers, details)


def open_port(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address.

    Raises:
        SettingError: if the port is in use, or the address is not one of this machine.
    """
    if host in ("0.0.0.0", "::", ""):
        raise SettingError(
            "--host must be the address under which a browser reaches this machine.",
            f"It was {host!r}, which stands for all addresses.",
            "Write, for instance, --host 192.168.1.20, or leave it out.",
        )
    try:
        family, *_, socket_address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # also soon after another server has ended
        listening.bind(socket_address)
        listening.listen(MOST_CONNECTIONS)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SettingError(
                f"Port {port} of {host} is in use.", "", f"Write --port {port + 1}, or stop the other program."
            ) from error
        raise SettingError(f"The studio cannot listen at {host}:{port}: {error.strerror}.", "", "") from error
    return listening


def hosts_of(host: str, port: int) -> frozenset[str]:
    """Return the values of the `Host` header under which a server is reached."""
    local = {"127.0.0.1", "localhost", "[::1]"}
    name = f"[{host}]" if ":" in host else host.lower()
    names = local if name in local else {name}
    return frozenset(f"{name}:{port}" for name in names)


def address(host: str, port: int) -> str:
    """Return the address of the server for a browser."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _key(run: Path, taken: Collection[str]) -> str:
    """Return an id of a run for addresses: the name of its folder, with a number if another run has this name."""
    folder = run.resolve()
    folder = folder.parent if folder.name == "model" else folder
    name = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in folder.name) or "model"
    number = 2
    key = name
    while key in taken:
        key = f"{name}-{number}"
        number += 1
    return key
