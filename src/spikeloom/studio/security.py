"""`Guard`: ASGI middleware that checks every request before it reaches the application.

The checks are, in this order:

1. The headers `Host` and `Origin` must name this server. Otherwise a foreign web page in the user's browser could send
   requests to it.
2. A client may not send too many requests.
3. The address may not be too long, and the method must be one that is supported.
4. A request to `/api/` must hold the token.
5. The body must be JSON of limited size and nesting, with finite numbers, and must arrive in time.

A WebSocket gets only the first two checks here. The module `live` checks its messages, of which the first holds the
token.

Every answer gets headers that let the page load files from this server only.
"""

import asyncio
import hmac
import json
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import NoReturn

# The types of ASGI, the interface between a Python web server and an application.

Message = MutableMapping[str, object]
"""Part of a request or of an answer."""

Receive = Callable[[], Awaitable[Message]]
"""Function that returns the next part of a request."""

Send = Callable[[Message], Awaitable[None]]
"""Function that sends a part of the answer."""

Scope = MutableMapping[str, object]
"""Facts about a request: type, path, headers and address of the client."""

App = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An application, or middleware around one."""

Rates = Mapping[str, tuple[float, float]]
"""Kind of request -> requests per second, and requests at once."""

MOST_BYTES = 2**20
"""Largest size of a body in bytes."""

MOST_DEPTH = 8
"""Deepest nesting of lists and objects in a body."""

MOST_ADDRESS = 2000
"""Largest number of characters of path and query together."""

MOST_DISCARDED = 2**25
"""A body above `MOST_BYTES` but below this size is read to its end before it is refused; see `_read`."""

BODY_SECONDS = 10.0
"""Seconds within which a body must arrive."""

RATES = {"page": (40.0, 200.0), "known": (60.0, 240.0), "unknown": (10.0, 60.0)}
"""Maps a kind of request to the requests per second and the requests at once that a client may send.

The kinds are "page" (files of the page), "known" (requests with the right token) and "unknown" (without it).
"""

MOST_CLIENTS = 1024
"""Number of clients whose rates are remembered."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
"""Headers of every answer."""

METHODS = {"GET", "HEAD", "POST"}
"""HTTP methods that the application supports."""


class Rejected(Exception):
    """Error that refuses a request.

    Args:
        code: HTTP status code of the answer.
        sentence: Reason, for the user.
    """

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(code, sentence)
        self.code = code
        self.sentence = sentence


class Allowance:
    """Number of requests that each client may still send, for each kind of request.

    Each request takes one from this number. The number grows at a constant rate, up to a largest value.

    Args:
        rates: Kind of request -> requests per second, and requests at once.
    """

    def __init__(self, rates: Rates) -> None:
        self.rates = rates
        self._left: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def take(self, client: str, kind: str) -> bool:
        """Count one request of a client, and return True if it is allowed."""
        per_second, most = self.rates[kind]
        now = time.monotonic()
        n_left, last_request = self._left.pop((client, kind), (most, now))
        n_left = min(most, n_left + per_second * (now - last_request))
        self._left[client, kind] = (max(0.0, n_left - 1), now)
        while len(self._left) > MOST_CLIENTS:
            self._left.popitem(last=False)  # the client whose last request is oldest
        return n_left >= 1


class Guard:
    """Middleware that checks requests; the text at the top of this module lists the checks.

    Args:
        app: Application that receives the requests that pass all checks.
        token: Secret that every request to `/api/` must hold, except a WebSocket.
        hosts: Values of the `Host` header under which the server is reached, such as "127.0.0.1:8765".
        rates: Numbers of requests that a client may send, as in `RATES`, which is the default.
        body_seconds: Seconds within which a body must arrive.
    """

    def __init__(
        self,
        app: App,
        *,
        token: str,
        hosts: frozenset[str],
        rates: Rates | None = None,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self.app = app
        self.token = token
        self.hosts = hosts
        self.body_seconds = body_seconds
        self.allowance = Allowance(RATES if rates is None else rates)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, then pass it to the application. A request that fails a check is answered with an error."""
        if scope["type"] == "lifespan":  # start and end of the server, no request
            await self.app(scope, receive, send)
            return
        try:
            headers = headers_of(scope)
            self._check_source(headers)
            if scope["type"] == "websocket":  # its first message holds the token
                self._check_rate(scope, "known")
                await self.app(scope, receive, send)
                return
            self._check_request(scope, headers)
            if scope["method"] == "POST":
                body = await self._body(headers, receive)
                receive = replay(body, receive)
            await self.app(scope, receive, with_headers(send))
        except Rejected as error:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008, "reason": error.sentence[:120]})
            else:
                await refuse(with_headers(send), error)

    def _check_source(self, headers: dict[str, str]) -> None:
        """Raise a `Rejected` if the request is for another server, or comes from a page of another server."""
        host = headers.get("host", "")
        origin = headers.get("origin")
        if host.lower() not in self.hosts:
            raise Rejected(403, f"This server does not serve {host[:80]!r}. Open the address that it printed.")
        if origin is not None and origin.lower() not in {f"http://{name}" for name in self.hosts}:
            raise Rejected(403, f"Pages of {origin[:80]!r} may not use this server. Open the address that it printed.")

    def _check_request(self, scope: Scope, headers: dict[str, str]) -> None:
        """Check the rate, the address, the method and the token of a request. Raise a `Rejected` if one is wrong."""
        path = str(scope["path"])
        method = str(scope["method"])
        query = scope["query_string"]
        is_api = path == "/api" or path.startswith("/api/")
        has_token = self._is_token(headers.get("authorization", ""))
        if is_api:
            self._check_rate(scope, "known" if has_token else "unknown")
        else:
            self._check_rate(scope, "page")
        if len(path) + len(query if isinstance(query, bytes) else b"") > MOST_ADDRESS:
            raise Rejected(400, f"An address may have at most {MOST_ADDRESS} characters. Shorten it.")
        if method not in METHODS:
            raise Rejected(405, f"The method {method[:20]} is not supported. Use GET or POST.")
        if is_api and not has_token:
            raise Rejected(
                401, "The token is missing or wrong. Open the address that `spikeloom studio` printed, with its token."
            )

    def _check_rate(self, scope: Scope, kind: str) -> None:
        """Raise a `Rejected` if the client has sent too many requests of this kind."""
        address = scope.get("client")
        client = str(address[0]) if isinstance(address, tuple | list) else ""
        if not self.allowance.take(client, kind):
            per_second = self.allowance.rates[kind][0]
            raise Rejected(429, f"There were too many requests. Send at most {per_second:g} per second.")

    def _is_token(self, authorization: str) -> bool:
        """Return True if the header `Authorization` holds the token. The time of the comparison does not reveal it."""
        return hmac.compare_digest(authorization.encode(), f"Bearer {self.token}".encode())

    async def _body(self, headers: dict[str, str], receive: Receive) -> bytes:
        """Read the body, check it, and return it. Raise a `Rejected` if it is wrong or late."""
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Rejected(415, f"A body must be JSON. Its type was {kind[:40]!r}. Send it as application/json.")
        length = headers.get("content-length")
        if length is not None and (not length.isdigit() or len(length) > 12):
            raise Rejected(400, f"The length of the body was {length[:20]!r}, which is no number of bytes.")
        if length is not None and int(length) > MOST_DISCARDED:
            _too_large(int(length))
        try:
            async with asyncio.timeout(self.body_seconds):
                body = await _read(receive)
        except TimeoutError:
            raise Rejected(
                408, f"The body did not arrive within {self.body_seconds:g} s. Send the request again."
            ) from None
        check_json(body)
        return body


def headers_of(scope: Scope) -> dict[str, str]:
    """Return the headers of a request, with names in lower case.

    Raises:
        Rejected: if `Host` or `Origin` occurs twice. Only one of the two would be checked.
    """
    table: dict[str, str] = {}
    pairs = scope["headers"]
    for name, value in pairs if isinstance(pairs, list | tuple) else []:
        key = name.decode("latin-1").lower()
        if key in table and key in ("host", "origin"):
            raise Rejected(400, f"The header {key.capitalize()} occurs twice. Send it once.")
        table[key] = value.decode("latin-1")
    return table


def check_json(body: bytes) -> None:
    """Raise a `Rejected` unless a body is JSON of limited depth whose numbers are finite."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Rejected(400, "The body is not UTF-8 text. Send JSON in UTF-8.") from None
    depth = deepest = 0
    without_strings = re.sub(r'"(?:[^"\\]|\\.)*"', "", text)  # brackets in strings are not counted
    for bracket in re.findall(r"[\[{}\]]", without_strings):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    if deepest > MOST_DEPTH:
        raise Rejected(400, f"The body is nested {deepest} deep. Lists and objects may be nested {MOST_DEPTH} deep.")
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Rejected(400, "The body is not valid JSON. Numbers must be finite, and text must be closed.") from None
    if not isinstance(value, dict):
        kind = {list: "a list", str: "text", bool: "a truth value", type(None): "null"}.get(type(value), "a number")
        raise Rejected(400, f"The body must be a JSON object. It was {kind}.")


def replay(body: bytes, receive: Receive) -> Receive:
    """Return a function from which the application receives a body that has been read already.

    The first call returns the body. Later calls wait for the next message, which says that the client has left.
    """
    unread = [body]

    async def receive_body_first() -> Message:
        """Return the body, or the next message if the body was returned already."""
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        return await receive()

    return receive_body_first


def with_headers(send: Send) -> Send:
    """Return a function that adds `HEADERS` to an answer and sends it."""

    async def sending(message: Message) -> None:
        """Send a message. The first message of an answer holds its headers."""
        if message["type"] == "http.response.start":
            existing = message.get("headers", [])
            pairs = list(existing) if isinstance(existing, list | tuple) else []
            message["headers"] = [*pairs, *((name.lower().encode(), text.encode()) for name, text in HEADERS.items())]
        await send(message)

    return sending


async def refuse(send: Send, error: Rejected) -> None:
    """Answer a request with an error."""
    body = json.dumps({"error": error.sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if error.code in (408, 413):  # the client may still be sending the body
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": error.code, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _read(receive: Receive) -> bytes:
    """Read a body, which may come in pieces, and raise a `Rejected` if it is larger than `MOST_BYTES`.

    A browser shows the error only when it has sent the whole body. So a body of up to `MOST_DISCARDED` bytes is read to
    its end, and discarded, before it is refused.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Rejected(400, "The client left before the body was complete.")
        part = message.get("body", b"")
        size += len(part) if isinstance(part, bytes) else 0
        if size > MOST_BYTES:
            parts.clear()
        elif isinstance(part, bytes):
            parts.append(part)
        if size > MOST_DISCARDED or (size > MOST_BYTES and not message.get("more_body", False)):
            _too_large(size)
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large(size: int) -> NoReturn:
    """Refuse a body of `size` bytes or more."""
    raise Rejected(413, f"A body may have at most {MOST_BYTES:,} bytes. It has {size:,} or more. Send fewer points.")


def _no_constant(word: str) -> NoReturn:
    """Refuse NaN and Infinity, which the standard of JSON does not have."""
    raise ValueError(word)
