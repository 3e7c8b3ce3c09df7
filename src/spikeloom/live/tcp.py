"""Live spikes over TCP: one JSON object per line in both directions; see `protocol`."""

import asyncio
import contextlib

from spikeloom.live.addresses import address_text, cannot_listen
from spikeloom.live.protocol import LARGEST_MESSAGE, BinSpikes, refusal, too_large
from spikeloom.live.server import Receive, Transport
from spikeloom.live.session import Session, Source

MOST_CLIENTS = 64
"""Largest number of connections. Further connections are closed with a refusal."""

LARGEST_BACKLOG = 1_000_000
"""Bytes that may wait for a client that reads slowly. Further messages to this client are dropped and counted."""


class Tcp(Transport):
    """TCP server on an address.

    Args:
        host: Address to listen on. The default accepts programs of this machine only.
        port: Port; 0 chooses a free one.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 8765) -> None:
        self._host = host
        self._port = port
        self._clients: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def open(self, session: Session, receive: Receive) -> None:
        """Begin to listen; see `Transport.open`."""
        self._session = session
        self._receive = receive
        try:
            self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=LARGEST_MESSAGE)
        except OSError as error:
            raise cannot_listen(error, self._host, self._port) from error
        self.address = address_text(self._server.sockets[0].getsockname())

    def send(self, spikes: BinSpikes) -> None:
        """Send a bin to all clients; see `Transport.send`."""
        if self._clients:
            message = self._session.message(spikes)
            for client in self._clients:
                self._write(client, message)

    def close(self) -> None:
        """Close the server and all connections; see `Transport.close`."""
        if self._server is not None:
            self._server.close()
        for client in self._clients:
            client.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the messages of one client until it leaves."""
        source = Source()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError), contextlib.closing(writer):
            if len(self._clients) >= MOST_CLIENTS:
                self._write(writer, refusal(ConnectionError(f"The server has {MOST_CLIENTS} clients already.")))
                return
            self._write(writer, self._session.greeting)
            self._clients.add(writer)
            try:
                await self._take_lines(reader, writer, source)
            finally:
                self._clients.discard(writer)

    async def _take_lines(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: Source) -> None:
        """Take lines until the connection ends or a line is too long, and send the refusals."""
        while True:
            try:
                line = await reader.readline()
            except ValueError:  # the line is too long, and the beginning of the next one is unknown
                self._session.statistics.refused += 1
                self._write(writer, refusal(too_large()))
                return
            if not line:
                return
            answer = self._receive(line, source)
            if answer is not None:
                self._write(writer, answer)
            await asyncio.sleep(0)  # lines that wait in the buffer must not delay the next bin

    def _write(self, client: asyncio.StreamWriter, message: bytes) -> None:
        """Send a message to a client, or drop it if too much waits for this client already."""
        if client.transport.get_write_buffer_size() > LARGEST_BACKLOG:
            self._session.statistics.dropped += 1
        else:
            client.write(message)
