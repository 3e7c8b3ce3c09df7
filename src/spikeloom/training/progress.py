"""Progress of training on the screen, and a clean stop after Ctrl-C.

A terminal shows a bar; other outputs get a line about every ten seconds. Ctrl-C and SIGTERM set a flag that the
training loop reads at the next update, so that it can save first. A second Ctrl-C stops at once.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType

from tqdm import tqdm

LINE_EVERY = 10.0
"""Seconds between two lines of text."""

Handler = Callable[[int, FrameType | None], object] | int | signal.Handlers | None
"""Handler of a signal in `signal.signal`: a function, or a number for the default or for ignoring the signal."""


class Progress:
    """Progress of one stage on standard error.

    Args:
        stage: Name of the stage.
        updates: Total number of updates.
        done: Number of updates that an earlier process has done.
        show: Show the progress.
    """

    def __init__(self, stage: str, *, updates: int, done: int, show: bool) -> None:
        self.stage = stage
        self.updates = updates
        self.first = done
        self.show = show
        self.started = self.said = time.monotonic()
        terminal = show and sys.stderr.isatty()
        self.bar = tqdm(desc=stage, total=updates, initial=done, unit="update") if terminal else None

    def show_update(self, done: int, loss: float) -> None:
        """Show how many updates are done, and the loss (per valid entry)."""
        if self.bar is not None:
            self.bar.set_postfix(loss=f"{loss:.4g}", refresh=False)
            self.bar.update(done - self.bar.n)
        now = time.monotonic()
        if self.bar is None and self.show and now - self.said > LINE_EVERY:
            self.said = now
            left = (now - self.started) / (done - self.first) * (self.updates - done)
            sys.stderr.write(f"{self.stage}: update {done} of {self.updates}, loss {loss:.4g}, {left:.0f} s left\n")
            sys.stderr.flush()

    def close(self) -> None:
        """Close the bar and leave it on the screen."""
        if self.bar is not None:
            self.bar.close()


class StopRequest:
    """Context in which SIGINT and SIGTERM only set the flag `requested`; outside the main thread it does nothing."""

    def __init__(self) -> None:
        self.requested = False
        self.before: dict[signal.Signals, Handler] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.before[number] = signal.signal(number, self._ask)
        return self

    def _ask(self, number: int, frame: FrameType | None) -> None:
        """Set the flag at the first signal, and restore the usual effect for the second."""
        del frame
        self.requested = True
        signal.signal(number, self.before[signal.Signals(number)])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, error, trace
        for number, handler in self.before.items():
            signal.signal(number, handler)
