"""Addresses of sockets as text, and the error if an address cannot be used."""

import errno
import socket

from spikeloom.errors import SettingError


def address_text(address: tuple[object, ...]) -> str:
    """Return the address of a socket as host:port."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def cannot_listen(error: OSError, host: str, port: int) -> SettingError:
    """Return the error for an address on which no server can listen."""
    if error.errno == errno.EADDRINUSE:
        return SettingError(
            f"Port {port} of {host} is in use.", "", "Choose another --port; --port 0 chooses a free one."
        )
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return SettingError("--host must be an address of this machine.", f"It was {host!r}.", "Leave it out.")
    if error.errno == errno.EACCES:
        return SettingError(f"This user may not listen on port {port}.", "", "Choose a port above 1023.")
    return SettingError(f"Nothing can listen on port {port} of {host}.", f"{error.strerror or error}.", "")
