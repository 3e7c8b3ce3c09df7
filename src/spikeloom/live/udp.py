"""Live spikes over UDP: one JSON object per datagram in both directions; see `protocol`.

UDP has no connections. A client that has sent a valid message gets all bins until it sends nothing for `SILENCE`. A
program that only listens sends ``{}`` every few seconds.
"""

import asyncio
import time
from typing import NamedTuple

from spikeloom.live.addresses import address_text, cannot_listen
from spikeloom.live.protocol import BinSpikes
from spikeloom.live.server import Receive, Transport
from spikeloom.live.session import Session, Source

SILENCE = 10.0
"""Time after which a silent client gets no more bins, s."""

MOST_CLIENTS = 64
"""Largest number of clients. A new client replaces the client that was silent for the longest time."""

LARGEST_DATAGRAM = 65_000
"""Largest datagram, bytes; larger messages are dropped and counted."""

Address = tuple[str, int] | tuple[str, int, int, int]
"""Address of a client in version 4 or 6 of the internet protocol."""


class _Client(NamedTuple):
    """A client, with its clock and the time of its last message on the clock of this machine, s."""

    source: Source
    last: float


class Udp(Transport, asyncio.DatagramProtocol):
    """UDP server on an address.

    Args:
        host: Address to listen on. The default accepts programs of this machine only.
        port: Port; 0 chooses a free one.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 8765) -> None:
        self._host = host
        self._port = port
        self._clients: dict[Address, _Client] = {}
        self._socket: asyncio.DatagramTransport | None = None

    async def open(self, session: Session, receive: Receive) -> None:
        """Begin to listen; see `Transport.open`."""
        self._session = session
        self._receive = receive
        try:
            self._socket, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: self, local_addr=(self._host, self._port)
            )
        except OSError as error:
            raise cannot_listen(error, self._host, self._port) from error
        self.address = address_text(self._socket.get_extra_info("sockname"))

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Take a message of a client. A refused message does not make its sender a client."""
        known_client = self._clients.pop(addr, None)
        client = _Client(Source() if known_client is None else known_client.source, time.monotonic())
        self._clients[addr] = client  # clients are in the order of their last messages
        refusal = self._receive(data, client.source)
        if refusal is None:
            if len(self._clients) > MOST_CLIENTS:  # the first one was silent for the longest time
                del self._clients[next(iter(self._clients))]
            return
        del self._clients[addr]
        if known_client is not None:
            self._clients[addr] = known_client
        self._send_to(addr, refusal)

    def send(self, spikes: BinSpikes) -> None:
        """Send a bin to all clients that are not silent; see `Transport.send`."""
        now = time.monotonic()
        self._clients = {key: client for key, client in self._clients.items() if now - client.last < SILENCE}
        if self._clients:
            message = self._session.message(spikes)
            for address in self._clients:
                self._send_to(address, message)

    def close(self) -> None:
        """Close the socket; see `Transport.close`."""
        if self._socket is not None:
            self._socket.close()

    def _send_to(self, address: Address, message: bytes) -> None:
        """Send a message to an address. Drop and count it if it is too large, or if the socket is not open."""
        if self._socket is None or len(message) > LARGEST_DATAGRAM:
            self._session.statistics.dropped += 1
        else:
            self._socket.sendto(message, address)
