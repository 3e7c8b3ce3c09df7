"""`TimedConnection`: a connection of uvicorn that closes if the head of a request does not arrive in time.

uvicorn limits the time between two requests of a connection, but not the time of the first one, nor that of a head that
arrives byte by byte. Many such connections would keep the page from loading.
"""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""Seconds within which the head of a request must arrive, from the first byte or from the beginning of a connection."""


class TimedConnection(H11Protocol):
    """An HTTP connection that closes after two silent checks in a row. Checks are half of `HEAD_SECONDS` apart."""

    silent = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin the checks."""
        super().connection_made(transport)
        self._check_later()

    def _check_later(self) -> None:
        self.loop.call_later(HEAD_SECONDS / 2, self._check)

    def _check(self) -> None:
        """Close the connection if neither a request nor a pause between requests was in progress twice in a row."""
        if self not in self.connections:  # it is closed, or has become a WebSocket
            return
        answered = self.cycle is None or self.cycle.response_complete
        waiting = answered and self.timeout_keep_alive_task is None
        if waiting and self.silent:
            self.transport.close()
            return
        self.silent = waiting
        self._check_later()
