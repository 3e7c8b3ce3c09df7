"""Serve a session to clients on a network in real time. `Background` does this in a thread.

A session runs at one of two paces:

* `clock`: bin k is generated and sent when it ends, :math:`t_0 + (k + 1) w` on the clock of this machine. The time is
  computed from the beginning :math:`t_0` and not from the previous bin, so delays do not add up. After a delay, the
  bins that are due are sent one after another without pause.
* `request`: each message generates one bin, which is sent as the answer. This pace is for simulations that do not run
  in real time.
"""

import abc
import asyncio
import selectors
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Literal

from spikeloom.errors import SpikeloomError
from spikeloom.live.protocol import BinSpikes, refusal
from spikeloom.live.session import Session, Source

Pace = Literal["clock", "request"]
"""When bins are generated; see the module."""

Receive = Callable[[bytes, Source], bytes | None]
"""Function that takes a message of a client. It returns the refusal of the message for this client, or None."""

IDLE = 0.005
"""Interval between two checks for the first sample, s."""


class Transport(abc.ABC):
    """A way to reach clients. It has three abstract methods.

    Attributes:
        address: Address in words, once the transport is open.
    """

    address: str = ""

    @abc.abstractmethod
    async def open(self, session: Session, receive: Receive) -> None:
        """Begin to listen.

        Raises:
            SettingError: if that is impossible.
        """

    @abc.abstractmethod
    def send(self, spikes: BinSpikes) -> None:
        """Send a bin to all clients without waiting for them."""

    @abc.abstractmethod
    def close(self) -> None:
        """Stop listening, and close all connections."""

    def poll(self) -> None:
        """Fetch the samples that have arrived. Only transports that do not call `receive` need this method."""
        return


async def serve(
    session: Session,
    transport: Transport,
    *,
    pace: Pace = "clock",
    opened: Callable[[str], object] = lambda address: address,
) -> None:
    """Serve a session until the task is cancelled.

    Args:
        session: The session.
        transport: Way to reach clients.
        pace: When bins are generated; see the module.
        opened: Called with the address once clients can connect.

    Raises:
        SettingError: if the transport cannot be opened.
    """

    def receive(packet: bytes, source: Source) -> bytes | None:
        """Give a message to the session, and return the refusal if there is one."""
        try:
            if pace == "request":
                transport.send(session.request(packet))
            else:
                session.receive(packet, source, time.monotonic())
        except SpikeloomError as error:
            return refusal(error)
        return None

    try:
        await transport.open(session, receive)
        opened(transport.address)
        if pace == "request":
            await asyncio.Event().wait()  # until the task is cancelled; `receive` answers the messages
        await _keep_time(session, transport)
    finally:
        transport.close()


async def _keep_time(session: Session, transport: Transport) -> None:
    """Generate and send every bin when it ends."""
    if not session.waiting:
        session.begin(time.monotonic())
    while session.start is None:
        transport.poll()
        await asyncio.sleep(IDLE)
    while True:
        due = session.due
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        transport.poll()
        transport.send(session.step())
        session.statistics.sent(time.monotonic() - due, bin_width=session.bin_width)


def precise_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop that sleeps to the microsecond; the default one on Linux rounds up to milliseconds."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


class Background:
    """A session that is served in a thread while a `with` block runs.

    Args:
        session: The session.
        transport: Way to reach clients.
        pace: When bins are generated; see the module.

    Example:
        >>> import spikeloom as sl
        >>> from spikeloom import live
        >>> trials = sl.simulate.lorenz(24, n_neurons=6, n_bins=30, seed=0)
        >>> quick = ["autoencoder_plan.updates=2", "code_plan.updates=2"]
        >>> model = sl.fit("autoregressive-ldns-tiny", trials, changes=quick, seed=0, progress=False)
        >>> with live.Background(live.Session(model, seed=1), live.Tcp(port=0)) as server:
        ...     print(server.address.startswith("127.0.0.1:"))
        True
    """

    def __init__(self, session: Session, transport: Transport, *, pace: Pace = "clock") -> None:
        self.session = session
        self._transport = transport
        self._pace = pace
        self._opened = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """Address of the server in words."""
        return self._transport.address

    def __enter__(self) -> "Background":
        self._thread.start()
        self._opened.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._task is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()
        if self._failure is not None and error is None:
            raise self._failure

    def _run(self) -> None:
        """Serve until the task is cancelled, and keep the error if there is one. The thread runs this method."""
        try:
            with asyncio.Runner(loop_factory=precise_loop) as runner:
                runner.run(self._serve())
        except asyncio.CancelledError:
            return
        except Exception as error:
            self._failure = error
        finally:
            self._opened.set()  # `__enter__` must not wait for a server that has failed

    async def _serve(self) -> None:
        """Store the loop and the task, with which `__exit__` cancels the task, and serve."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        await serve(self.session, self._transport, pace=self._pace, opened=lambda _: self._opened.set())
