"""Hostile requests, what each gets, and that they leave nothing behind."""

import contextlib
import http.client
import json
import re
import socket
import threading
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import pytest
import uvicorn

from spikeloom.studio import connection
from spikeloom.studio.launch import config_of, hosts_of, open_port
from spikeloom.studio.security import MOST_BYTES, RATES, Guard
from tests.studio.conftest import STROKE, TOKEN, Served
from tests.studio.test_server import ask

DRAW = "/api/models/draw/draw"
GOOD = {"points": STROKE[:10]}


class Case(NamedTuple):
    """A hostile request through an ordinary client, and the status that it gets."""

    name: str
    status: int
    method: str = "POST"
    path: str = DRAW
    content: bytes | None = None
    headers: dict[str, str] = {}  # noqa: RUF012
    more_headers: tuple[tuple[str, str], ...] = ()


def drawn(name: str, status: int, **changes: object) -> Case:
    """Return a stroke request with other fields."""
    return Case(name, status, content=json.dumps({**GOOD, **changes}).encode())


def posted(name: str, status: int, path: str, **fields: object) -> Case:
    """Return a request to another address."""
    return Case(name, status, path=path, content=json.dumps(fields).encode())


def text(name: str, status: int, content: bytes, **headers: str) -> Case:
    """Return a stroke request with this body."""
    return Case(name, status, content=content, headers={key.replace("_", "-"): value for key, value in headers.items()})


MODELS = {"method": "GET", "path": "/api/models"}
CASES = [
    Case("no token", 401, **MODELS, headers={"Authorization": ""}),
    Case("wrong token", 401, **MODELS, headers={"Authorization": "Bearer guess"}),
    Case("token of another scheme", 401, **MODELS, headers={"Authorization": f"Basic {TOKEN}"}),
    Case("token with more behind it", 401, **MODELS, headers={"Authorization": f"Bearer {TOKEN}x"}),
    Case("token in the query", 401, "GET", f"/api/models?token={TOKEN}", headers={"Authorization": ""}),
    Case("unknown address without a token", 401, "GET", "/api/none", headers={"Authorization": ""}),
    Case("wrong Host", 403, **MODELS, headers={"Host": "evil.example"}),
    Case("wrong Host, page", 403, "GET", "/", headers={"Host": "evil.example:8765"}),
    Case("Host without port", 403, **MODELS, headers={"Host": "127.0.0.1"}),
    Case("wrong Origin", 403, **MODELS, headers={"Origin": "http://evil.example"}),
    Case("Origin null", 403, **MODELS, headers={"Origin": "null"}),
    Case("Origin of another port", 403, **MODELS, headers={"Origin": "http://127.0.0.1:1"}),
    Case("Origin of another scheme", 403, **MODELS, headers={"Origin": "https://127.0.0.1"}),
    Case(
        "two Origins",
        400,
        **MODELS,
        more_headers=(("Origin", "http://evil.example"), ("Origin", "http://127.0.0.1")),
    ),
    Case("PUT", 405, "PUT", DRAW, b"{}"),
    Case("DELETE", 405, "DELETE", "/api/models/draw"),
    Case("PATCH", 405, "PATCH", DRAW, b"{}"),
    Case("OPTIONS", 405, "OPTIONS", DRAW),
    Case("TRACE", 405, "TRACE", "/"),
    Case("unknown method", 405, "BREW", "/"),
    Case("GET of a drawing", 405, "GET", DRAW),
    Case("POST to the list of models", 405, "POST", "/api/models", b"{}"),
    Case("unknown address", 404, "GET", "/api/none"),
    Case("unknown model", 404, "GET", "/api/models/none"),
    Case("model outside", 404, "GET", "/api/models/..%2f..%2fetc%2fpasswd"),
    Case("file outside, dots", 404, "GET", "/static/%2e%2e/server.py"),
    Case("file outside, slashes", 404, "GET", "/static/..%2f..%2fserver.py"),
    Case("file outside, backslashes", 404, "GET", "/static/..%5c..%5cserver.py"),
    Case("file outside, root", 404, "GET", "/static//etc/passwd"),
    Case("file with a zero byte", 404, "GET", "/static/%00.js"),
    Case("folder of files", 404, "GET", "/static/"),
    Case("documentation of the server", 404, "GET", "/openapi.json"),
    Case("long address", 400, "GET", "/api/models/" + 3000 * "a"),
    Case("long query", 400, "GET", "/api/models?q=" + 3000 * "a"),
    text("plain text", 415, json.dumps(GOOD).encode(), content_type="text/plain"),
    text("form", 415, b"points=1", content_type="application/x-www-form-urlencoded"),
    text("empty body", 400, b""),
    text("no JSON", 400, b"points"),
    text("JSON without its end", 400, b'{"points": [[0, 0, 0]'),
    text("two JSON objects", 400, b"{}{}"),
    text("list", 400, b"[1]"),
    text("text", 400, b'"points"'),
    text("null", 400, b"null"),
    text("NaN", 400, b'{"points": [[NaN, 0, 0], [1, 1, 1]]}'),
    text("Infinity", 400, b'{"points": [[0, 0, 0], [1, 1, -Infinity]]}'),
    text("infinite number", 422, b'{"points": [[0, 0, 0], [1, 1, 1e999]]}'),
    text("number of 5,000 digits", 400, b'{"seed": ' + 5000 * b"9" + b"}"),
    text("nested 100,000 deep", 400, 100_000 * b"[" + 100_000 * b"]"),
    text("nested 9 deep", 400, b'{"points": ' + 8 * b"[" + 8 * b"]" + b"}"),
    text("objects nested 5,000 deep", 400, 5000 * b'{"a":' + b"1" + 5000 * b"}"),
    text("no UTF-8", 400, b'{"points": "\xff\xfe"}'),
    text("UTF-16", 400, json.dumps(GOOD).encode("utf-16")),
    text("a million points", 413, b'{"points": [' + b"[0,0,0]," * 1_000_000 + b"[1,1,1]]}"),
    drawn("20,001 points", 422, points=[[0, 0, k] for k in range(20_001)]),
    drawn("one point", 422, points=[[0, 0, 0]]),
    drawn("points of two numbers", 422, points=[[0, 0], [1, 1]]),
    drawn("points of text", 422, points=[["0", "0", "0"], ["1", "1", "1"]]),
    drawn("points of truth values", 422, points=[[True, False, True], [False, True, False]]),
    drawn("no points", 422, points=None),
    drawn("times that decrease", 422, points=[[0, 0, 1], [1, 1, 0]]),
    drawn("times that stay", 422, points=[[0, 0, 1], [1, 1, 1]]),
    drawn("a stroke of eleven days", 422, points=[[0, 0, 0], [1, 1, 1e6]]),
    drawn("far away", 422, points=[[1e300, 0, 0], [1, 1, 1]]),
    drawn("negative draws", 422, draws=-1),
    drawn("a million draws", 422, draws=1_000_000),
    drawn("half a draw", 422, draws=1.5),
    drawn("negative seed", 422, seed=-1),
    drawn("huge seed", 422, seed=2**80),
    drawn("no bins", 422, bins=0),
    drawn("negative bins", 422, bins=-5),
    drawn("a billion bins", 422, bins=10**9),
    drawn("scale 0", 422, scale=0),
    drawn("guidance 1e308", 422, guidance=1e308),
    drawn("unknown field", 422, __proto__={"admin": True}),
    drawn("field of another type", 422, smooth="yes"),
    posted("draw without movement", 422, "/api/models/turn/draw", **GOOD),
    posted("turn without condition", 422, "/api/models/draw/turn", condition={"angle_deg": 1}),
    posted("traverse without codes", 422, "/api/models/draw/traverse", values={}),
    posted("unknown condition", 422, "/api/models/turn/turn", condition={"speed": 1}),
    posted("empty condition", 422, "/api/models/turn/turn", condition={}),
    posted("condition of text", 422, "/api/models/turn/turn", condition={"angle_deg": "; rm -rf /"}),
    posted("condition of lists", 422, "/api/models/turn/turn", condition={"angle_deg": [[1]]}),
    posted("too many trials", 422, "/api/models/turn/turn", condition={"angle_deg": 1}, draws=10_000),
    posted("unknown variable", 422, "/api/models/codes/traverse", values={"mood": 1}),
    posted("unknown trial", 422, "/api/models/codes/traverse", reset_to_trial=10**6),
    posted("pair of an unknown trial", 422, "/api/models/draw/pair", trial=10**6),
    posted("pair of a negative trial", 422, "/api/models/draw/pair", trial=-1),
    posted("pair without a trial", 422, "/api/models/draw/pair"),
    posted("pair of many draws", 422, "/api/models/draw/pair", trial=0, draws=10**6),
    posted("endless quiz", 422, "/api/models/draw/quiz", pairs=10**6),
    posted("answer to no quiz", 404, "/api/quiz/none/answer", pair=0, recorded="left"),
    posted("answer of no side", 422, "/api/quiz/none/answer", pair=0, recorded="up"),
    posted("program as a file", 422, "/api/models/draw/download", request={"kind": "draw", **GOOD}, format="exe"),
    posted("download of nothing", 422, "/api/models/draw/download", format="h5"),
    posted("download of another kind", 422, "/api/models/draw/download", request={"kind": "os"}, format="h5"),
    posted("lines of code for a wrong stroke", 422, "/api/models/draw/lines", request={"kind": "draw", "points": 3}),
]


PAGE = Path(__file__).parents[2] / "docs" / "develop" / "hostile-requests.md"
"""Page with the table of hostile requests, and what each gets."""


def row(case: Case, sentence: str) -> str:
    """Return the line of a request in the table, with a backslash before | and __, which have a meaning in Markdown."""
    written = re.sub(r"[|]|_(?=_)|(?<=_)_", r"\\\g<0>", sentence)
    return f"| {case.name} | {case.status} | {written} |"


def send(served: Served, case: Case):
    """Send a hostile request."""
    headers = {} if case.content is None else {"Content-Type": "application/json"}
    pairs = [*{**headers, **case.headers}.items(), *case.more_headers]
    return served.client.request(case.method, case.path, content=case.content, headers=pairs)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_request_gets_a_sentence(served, case):
    answer = send(served, case)
    assert answer.status_code == case.status, answer.text
    if case.method != "HEAD":
        sentence = answer.json()["error"]
        assert sentence[0].isupper() or sentence.startswith(("angle", "hand"))
        assert sentence.endswith((".", "]", ")"))
        assert len(sentence) < 500
        assert "Traceback" not in sentence
        assert "spikeloom/" not in sentence
        assert row(case, sentence) in PAGE.read_text(), f"write into {PAGE.name}: {row(case, sentence)}"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def raw(served: Served, *pieces: bytes, pause: float = 0.0) -> int:
    """Send bytes as they are, and return the status of the answer; 0 if the connection closes without one."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as line:
        for piece in pieces:
            line.sendall(piece)
            time.sleep(pause)
        try:
            head = line.recv(64)
        except ConnectionResetError:
            return 0
    return int(head.split()[1]) if head else 0


def head(served: Served, *lines: str, path: str = DRAW, method: str = "POST") -> bytes:
    """Return the head of a request with the right Host and token, and further lines."""
    first = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{served.port}", f"Authorization: Bearer {TOKEN}"]
    return "\r\n".join([*first, "Content-Type: application/json", *lines, "", ""]).encode()


def test_a_body_in_pieces_without_a_length_is_limited(served):
    chunk = b"10000\r\n" + b"1" * 65536 + b"\r\n"
    pieces = [chunk] * (MOST_BYTES // 65536 + 2)
    assert raw(served, head(served, "Transfer-Encoding: chunked"), *pieces, b"0\r\n\r\n") == 413


def test_an_endless_body_is_cut_off(served):
    chunk = b"100000\r\n" + b"1" * 2**20 + b"\r\n"
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        raw(served, head(served, "Transfer-Encoding: chunked"), *[chunk] * 200)


def test_a_length_that_is_too_large_is_refused_at_once(served):
    assert raw(served, head(served, f"Content-Length: {10**11}")) == 413


def test_a_body_that_never_comes_times_out(served):
    start = time.monotonic()
    assert raw(served, head(served, "Content-Length: 100"), b'{"points": ') == 408
    assert time.monotonic() - start < 10


def status(line: socket.socket) -> int:
    """Read one whole answer from a connection and return its status; head and body may come in two pieces."""
    answer = http.client.HTTPResponse(line)
    answer.begin()
    answer.read()
    return answer.status


def test_silent_connections_are_closed(served, monkeypatch):
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.4)
    with contextlib.ExitStack() as stack:
        lines = [
            stack.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=20)) for _ in range(3)
        ]
        lines[1].sendall(b"GET / HT")
        lines[2].sendall(head(served, path="/api/models", method="GET"))
        assert status(lines[2]) == 200
        lines[2].sendall(b"GET / HTTP/1.1\r\nHost: 127")
        assert [line.recv(10) for line in lines] == [b"", b"", b""]


def test_a_pause_between_requests_closes_nothing(served, monkeypatch):
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.1)
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as line:
        for _ in range(3):
            line.sendall(head(served, path="/api/models", method="GET"))
            assert status(line) == 200
            time.sleep(0.5)


@pytest.mark.parametrize(
    ("name", "statuses"),
    [("negative length", {400}), ("length of words", {400}), ("two lengths", {400}), ("length and pieces", {400, 422})],
)
def test_impossible_lengths_are_refused(served, name, statuses):
    lines = {
        "negative length": ["Content-Length: -5"],
        "length of words": ["Content-Length: many"],
        "two lengths": ["Content-Length: 5", "Content-Length: 7"],
        "length and pieces": ["Content-Length: 5", "Transfer-Encoding: chunked"],
    }[name]
    assert raw(served, head(served, *lines), b"2\r\n{}\r\n0\r\n\r\n") in statuses


def test_no_http_is_refused(served):
    assert raw(served, b"\x16\x03\x01 this is no HTTP\r\n\r\n") == 400
    assert raw(served, f"GET / HTTP/1.1\r\nX: {200_000 * 'a'}\r\n\r\n".encode()) in (0, 400)
    assert raw(served, b"GET / HTTP/1.1\r\n\r\n") == 400  # no Host
    assert raw(served, b"GET / HTTP/1.0\r\n\r\n") == 403
    assert raw(served, head(served, "Host: evil.example", path="/", method="GET")) == 400


def test_a_path_with_dots_stays_inside(served):
    for path in ("/static/../server.py", "/static/../../../../../../etc/passwd", "/../../etc/passwd"):
        assert raw(served, head(served, path=path, method="GET")) == 404


class Use(NamedTuple):
    """Threads, open files and memory of this process, which runs the server."""

    threads: int
    files: int
    megabytes: float


def used() -> Use:
    """Return the present use, when connections have had a moment to close."""
    time.sleep(0.3)
    process = psutil.Process()
    return Use(threading.active_count(), process.num_fds(), process.memory_info().rss / 2**20)


def test_hostile_requests_leave_nothing_behind(served):
    for case in CASES:
        send(served, case)
    before = used()
    for _ in range(3):
        for case in CASES:
            send(served, case)
    after = used()
    assert after.threads <= before.threads
    assert after.files <= before.files + 2
    assert after.megabytes < before.megabytes + 30


def test_clients_that_leave_free_what_they_held(served):
    body = json.dumps({"condition": {"angle_deg": 10.0}, "draws": 200}).encode()
    before = used()
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", served.port)) as line:
            line.sendall(head(served, f"Content-Length: {len(body)}", path="/api/models/turn/turn") + body)
            time.sleep(0.1)
    answer = ask(served, "turn", "turn", condition={"angle_deg": 10.0}, draws=1)
    assert answer["bins"] == 40
    after = used()
    assert (after.threads, after.files) <= (before.threads, before.files + 2)


def test_two_clients_get_their_own_answers(served):
    alone = {seed: ask(served, "draw", "draw", points=STROKE, seed=seed) for seed in (1, 2)}
    together: dict[int, list[object]] = {1: [], 2: []}

    def client(seed: int) -> None:
        for _ in range(5):
            together[seed].append(ask(served, "draw", "draw", points=STROKE, seed=seed))

    threads = [threading.Thread(target=client, args=(seed,)) for seed in together]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, answers in together.items():
        assert answers == [alone[seed]] * 5


def test_a_long_request_does_not_hold_up_another_model(served):
    ends: dict[str, float] = {}

    def long() -> None:
        ask(served, "turn", "turn", condition={"angle_deg": 10.0}, draws=200)
        ends["long"] = time.monotonic()

    thread = threading.Thread(target=long)
    thread.start()
    time.sleep(0.05)
    ask(served, "draw", "draw", points=STROKE)
    ends["short"] = time.monotonic()
    thread.join()
    assert ends["short"] < ends["long"]


def test_ten_thousand_requests_are_limited():
    """Nine of ten requests get 429, and the server answers afterwards."""

    async def app(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    listening = open_port("127.0.0.1", 0)
    port = listening.getsockname()[1]
    guard = Guard(app, token=TOKEN, hosts=hosts_of("127.0.0.1", port))
    config = config_of(guard)
    config.lifespan = "off"
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    served = Served(port, None, None)
    one = head(served, path="/api/models", method="GET").replace(b"Content-Type: application/json\r\n", b"")
    before, start, codes = used(), time.monotonic(), Counter()
    for _ in range(100):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
            line.sendall(100 * one)
            received = b""
            while received.count(b"HTTP/1.1 ") < 100 or not received.endswith((b"}", b"\r\n\r\n")):
                received += line.recv(65536)
        codes.update(int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:])
    seconds, after = time.monotonic() - start, used()
    speed, burst = RATES["known"]
    assert codes[200] + codes[429] == 10_000
    assert burst <= codes[200] <= burst + speed * seconds + 1
    assert after.threads <= before.threads
    assert after.megabytes < before.megabytes + 20
    time.sleep(2 / speed)
    assert raw(served, one) == 200
    server.should_exit = True
    thread.join()
    listening.close()


def test_the_table_is_long_enough():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names) >= 40
    assert np.isin([200], [case.status for case in CASES]).sum() == 0
