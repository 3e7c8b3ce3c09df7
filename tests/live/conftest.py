"""A tiny model with a series and an angle, and clients of its sockets."""

import json
import socket
from collections.abc import Callable

import pytest

from spikeloom.models.autoregressive_ldns import AutoregressiveLDNS
from spikeloom.observation.model import ObservationModel
from tests.helpers.small_ldns import toy_trials
from tests.models.test_autoregressive_ldns import tiny


@pytest.fixture(scope="session")
def fitted() -> AutoregressiveLDNS:
    """A model of 6 neurons in bins of 10 ms that follows the series `wave`."""
    return tiny(condition=("wave",), observation=ObservationModel()).fit(toy_trials(32), progress=False)


@pytest.fixture(scope="session")
def several() -> AutoregressiveLDNS:
    """A model that follows an angle, a category and a series."""
    return tiny(condition=("angle_deg", "side", "wave")).fit(toy_trials(32), progress=False)


class TcpClient:
    """A client that sends JSON objects and reads one per line."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.lines = self.socket.makefile("rb")
        self.greeting = self.read()

    def send(self, message: object) -> None:
        """Send an object, or bytes as they are."""
        packet = message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"
        self.socket.sendall(packet)

    def read(self) -> dict:
        """Read the next message."""
        return json.loads(self.lines.readline())

    def closed(self) -> bool:
        """Return whether the server closes the connection after the messages that it has sent."""
        try:
            while self.lines.readline():
                pass
        except ConnectionError:
            return True
        return True

    def close(self) -> None:
        """Close the connection."""
        self.lines.close()
        self.socket.close()


class UdpClient:
    """A client that sends and reads JSON objects as datagrams."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(10)
        self.socket.connect((host, int(port)))

    def send(self, message: object) -> None:
        """Send an object, or bytes as they are."""
        self.socket.send(message if isinstance(message, bytes) else json.dumps(message).encode())

    def read(self) -> dict:
        """Read the next message."""
        return json.loads(self.socket.recv(65_536))

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


@pytest.fixture
def connect() -> Callable[..., TcpClient | UdpClient]:
    """Function that makes clients of an address, which are closed at the end of the test."""
    clients: list[TcpClient | UdpClient] = []

    def make(address: str, *, kind: type[TcpClient | UdpClient] = TcpClient) -> TcpClient | UdpClient:
        clients.append(kind(address))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
