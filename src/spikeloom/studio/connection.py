"""`TimedConnection`: a connection that closes if the head of a request (its first line and headers) is late.

The server uvicorn closes a connection if the next request does not come in time. But it waits forever for the first
request, and for a head that arrives byte by byte. Many such connections would keep the page from loading.
"""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""Seconds within which the head of a request must arrive. They count from the opening of the connection, or from the
first byte of a later request."""


class TimedConnection(H11Protocol):
    """An HTTP connection that is checked every `HEAD_SECONDS / 2`.

    It is closed if two checks in a row find that the head of a request is incomplete.
    """

    incomplete = False
    """True if the last check found an incomplete head."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin the checks."""
        super().connection_made(transport)
        self._check_later()

    def _check_later(self) -> None:
        """Plan the next check."""
        self.loop.call_later(HEAD_SECONDS / 2, self._check)

    def _check(self) -> None:
        """Close the connection if this check and the previous one found an incomplete head."""
        if self not in self.connections:  # it is closed, or has become a WebSocket
            return
        no_open_request = self.cycle is None or self.cycle.response_complete
        between_requests = self.timeout_keep_alive_task is not None  # uvicorn itself limits this time
        incomplete = no_open_request and not between_requests
        if incomplete and self.incomplete:
            self.transport.close()
            return
        self.incomplete = incomplete
        self._check_later()
