"""Workers, one for each model. A model runs in a separate process, so that long requests can be cancelled.

    worker = Worker("reach", "runs/reach", files=[])
    details = worker.start().result()
    answer = await worker.ask("draw", fields)

A worker runs one request at a time. Further requests wait in a queue of limited length. If the client of a request
leaves, or the request takes too long, the process is killed and started again.
"""

import asyncio
import json
import multiprocessing
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import NamedTuple

from spikeloom.errors import SpikeloomError
from spikeloom.studio.process import serve

MOST_WAITING = 8
"""Largest number of requests in a worker: the running one and those that wait."""

LIMIT = 60.0
"""Seconds after which a request is stopped."""

GRACE = 1.0
"""Seconds that a cancelled request may still run before its process is killed."""

START_LIMIT = 300.0
"""Seconds that loading a model may take."""


class Refused(SpikeloomError):
    """A request is invalid for this model."""


class Busy(SpikeloomError):
    """A worker has too many requests, or a request took too long."""


class Failed(SpikeloomError):
    """A request failed because of a fault of spikeloom."""


class Reply(NamedTuple):
    """Answer of a worker process, or "late" as the status if no answer came. See `process` for the fields."""

    status: str
    message: str
    result: bytes


class Worker:
    """The process of one model, and the queue of its requests.

    Args:
        name: Name of the model on the page.
        run: Path of the run folder.
        files: Trials files that the user named.
        limit: Seconds after which a request is stopped.
    """

    def __init__(self, name: str, run: str, files: Sequence[str], *, limit: float = LIMIT) -> None:
        self.name = name
        self.run = run
        self.files = list(files)
        self.limit = limit
        self._thread = ThreadPoolExecutor(1, f"studio {name}")
        self._closing = threading.Event()
        self._waiting = 0  # number of requests that run or wait
        self._counting = threading.Lock()  # held while `_waiting` is changed
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None

    def start(self) -> "Future[bytes]":
        """Start the process, which loads the model. Return a future of the details of the model as JSON.

        The error of the future is `Refused` if the model or its training trials cannot be read, and `Failed` for other
        reasons.
        """
        return self._thread.submit(self._start)

    async def ask(self, job: str, fields: Mapping[str, object]) -> bytes:
        """Run a job in the process and return its result. If the caller is cancelled, the job is cancelled too.

        Args:
            job: Name of the job.
            fields: Fields of the checked body of the request.

        Raises:
            Refused: if the request is invalid for this model.
            Busy: if too many requests wait, or the job took too long.
            Failed: if the job failed for another reason.
        """
        if self._closing.is_set():
            raise Busy("The studio is closing.", "", "Start it again.")
        if self._waiting >= MOST_WAITING:
            raise Busy(
                f"{self.name} works on {self._waiting} requests already, and no further one can wait.",
                "",
                "Wait for a few seconds, and send it again.",
            )
        cancelled = threading.Event()
        with self._counting:
            self._waiting += 1
        future = self._thread.submit(self._exchange, json.dumps([job, fields]).encode(), cancelled)
        future.add_done_callback(lambda _: self._finished())
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def close(self) -> None:
        """End the process and the thread of the worker. A closed worker cannot be started again."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._thread.submit(self._end)
        self._thread.shutdown(wait=True, cancel_futures=False)

    # The methods below run in the thread of the worker, except `_finished`.

    def _start(self) -> bytes:
        """Start the process, wait until it has loaded the model, and return the details of the model as JSON."""
        connection, connection_of_process = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        process = context.Process(
            target=serve,
            args=(connection_of_process, self.name, self.run, self.files),
            name=f"studio {self.name}",
            daemon=True,
        )
        process.start()
        connection_of_process.close()  # the process has its own copy
        self._process = process
        self._connection = connection
        return self._result(self._receive(threading.Event(), START_LIMIT))

    def _alive(self) -> bool:
        """Return whether the process runs."""
        return self._process is not None and self._process.is_alive()

    def _exchange(self, job: bytes, cancelled: threading.Event) -> bytes:
        """Send a job to the process and return the result. Start the process again if it has ended.

        Args:
            job: Name and fields of the job as JSON.
            cancelled: Event that is set when the request is cancelled.
        """
        if cancelled.is_set() or self._closing.is_set():  # nobody waits for the result
            return b""
        if not self._alive() or self._connection is None:
            self._end()
            self._start()
        assert self._connection is not None
        self._connection.send_bytes(job)
        reply = self._receive(cancelled, self.limit)
        if not self._alive() and not self._closing.is_set():  # load the model now, not during the next request
            self._start()
        return self._result(reply)

    def _receive(self, cancelled: threading.Event, limit: float) -> Reply:
        """Wait for an answer. Kill the process if the request is cancelled or takes too long.

        Args:
            cancelled: Event that is set when the request is cancelled. The request may then run for `GRACE` seconds
                more.
            limit: Seconds after which the process is killed.
        """
        assert self._connection is not None
        deadline = time.monotonic() + limit
        is_shortened = False  # True once the deadline was moved because of a cancellation
        try:
            while not self._connection.poll(0.02):  # s
                now = time.monotonic()
                if cancelled.is_set() and not is_shortened:
                    deadline = min(deadline, now + GRACE)
                    is_shortened = True
                if now > deadline or self._closing.is_set():
                    self._end()
                    return Reply("late", f"{self.name} did not answer within {limit:g} s.", b"")
            head = json.loads(self._connection.recv_bytes())
            return Reply(head["status"], head["message"], self._connection.recv_bytes())
        except (EOFError, OSError):
            self._end()
            return Reply("late", f"The process of {self.name} ended unexpectedly.", b"")

    def _result(self, reply: Reply) -> bytes:
        """Return the result of an answer, or raise the error that its status stands for."""
        if reply.status == "ok":
            return reply.result
        if reply.status == "refused":
            raise Refused(reply.message, "", "")
        if reply.status == "late":
            raise Busy(reply.message, "The request was stopped.", "Send a smaller one.")
        sys.stderr.write(reply.message)
        raise Failed(
            f"{self.name} failed on this request.", "The terminal of `spikeloom studio` shows where.", "Send another."
        )

    def _end(self) -> None:
        """Kill the process and close the connection to it."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None

    def _finished(self) -> None:
        """Count a request as finished."""
        with self._counting:
            self._waiting -= 1
