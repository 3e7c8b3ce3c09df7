"""Progress of training on the screen, and a clean stop after Ctrl-C.

A terminal shows a bar; other outputs get a line about every ten seconds. The time left covers only the present stage,
because the duration of a later stage is unknown until that stage begins. The time left is the mean duration of the
updates so far, times the number of updates left. Updates that are followed by a validation take longer, so their mean
duration is computed separately. The first update of a process is not counted, because this update also prepares the
networks.

Ctrl-C and SIGTERM set a flag that the training loop reads at the next update. The training loop then saves and stops.
A second Ctrl-C stops at once.
"""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import FrameType, TracebackType

from tqdm import tqdm

LINE_EVERY = 10.0
"""Seconds between two lines of text."""

Handler = Callable[[int, FrameType | None], object] | int | signal.Handlers | None
"""Handler of a signal in `signal.signal`: a function, or a number for the default or for ignoring the signal."""

BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
"""Format of the progress bar of a stage, as tqdm expects it."""

_SHOWN: ContextVar[bool] = ContextVar("progress of the parts of a stage", default=False)


class TimeLeft:
    """Estimate of the time that the remaining steps of a task will take.

    Args:
        steps: Number of steps of the task.
        long: Function that returns True if a step, counted from 1, is a long step, such as an update with a
            validation. The mean durations of long and of other steps are estimated separately.
        clock: Function that returns the present time in seconds.
    """

    def __init__(
        self, steps: int, *, long: Callable[[int], bool] | None = None, clock: Callable[[], float] | None = None
    ) -> None:
        self.steps = steps
        self.long = [long is not None and long(step) for step in range(1, steps + 1)]
        self.clock = clock or time.monotonic
        self._last: float | None = None  # time of the last call of `after`, s
        # True for long steps, False for others -> sum of the durations (s), number of steps
        self._durations: dict[bool, tuple[float, int]] = {False: (0.0, 0), True: (0.0, 0)}
        self._remaining = {is_long: self.long.count(is_long) for is_long in (False, True)}
        self._done = 0

    def after(self, done: int) -> float | None:
        """Return the seconds left after `done` steps; None after the first step of this process, which is not counted.

        The caller must call this method after every step.
        """
        now = self.clock()
        for is_long in self.long[self._done : done]:
            self._remaining[is_long] -= 1
        self._done = done
        if self._last is not None:  # the duration of the first step of this process is unknown
            is_long = self.long[done - 1]
            total, count = self._durations[is_long]
            self._durations[is_long] = total + now - self._last, count + 1
        self._last = now
        means = {is_long: total / count for is_long, (total, count) in self._durations.items() if count}
        if not means:
            return None if done < self.steps else 0.0
        longest = max(means.values())  # in place of a mean that has not been measured yet
        return sum(count * means.get(is_long, longest) for is_long, count in self._remaining.items())


@contextlib.contextmanager
def parts_shown(show: bool) -> Iterator[None]:
    """Return a context in which the work inside a stage shows its own progress on a terminal, or never.

    Args:
        show: True if the work may show its progress. `show_parts` then returns None, and False otherwise.
    """
    token = _SHOWN.set(show)
    try:
        yield
    finally:
        _SHOWN.reset(token)


def show_parts() -> bool | None:
    """Return the argument `progress` for work inside a stage: None on a terminal if the stage shows its progress."""
    return None if _SHOWN.get() else False


class Progress:
    """Progress of one stage on standard error.

    Args:
        stage: Name of the stage on the screen.
        updates: Total number of updates.
        done: Number of updates that are done already, if the stage resumes.
        show: True to show the progress.
        long: Function that returns True for an update that is followed by a validation and so takes longer.
    """

    def __init__(
        self, stage: str, *, updates: int, done: int, show: bool, long: Callable[[int], bool] | None = None
    ) -> None:
        self.stage = stage
        self.updates = updates
        self.show = show
        self.left = TimeLeft(updates, long=long)
        self.last_line = time.monotonic()
        terminal = show and sys.stderr.isatty()
        self.bar = tqdm(desc=stage, total=updates, initial=done, bar_format=BAR) if terminal else None

    def show_update(self, done: int, loss: float) -> None:
        """Show the number of updates that are done, and the loss (mean over valid entries)."""
        left = self.left.after(done)
        if self.bar is not None:
            time_left = "" if left is None else f"{tqdm.format_interval(left)} left, "
            self.bar.set_postfix_str(f"{time_left}loss {loss:.4g}", refresh=False)
            self.bar.update(done - self.bar.n)
        now = time.monotonic()
        if self.bar is None and self.show and now - self.last_line > LINE_EVERY:
            self.last_line = now
            time_left = "" if left is None else f", {left:.0f} s left"
            sys.stderr.write(f"{self.stage}: update {done} of {self.updates}, loss {loss:.4g}{time_left}\n")
            sys.stderr.flush()

    def close(self) -> None:
        """Close the bar and leave it on the screen."""
        if self.bar is not None:
            self.bar.close()


class StopRequest:
    """Context in which Ctrl-C (SIGINT) and SIGTERM only set the flag `requested`.

    A second signal has its usual effect. Python receives signals in the main thread only; in other threads the context
    does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self.handlers: dict[signal.Signals, Handler] = {}  # signal -> handler to restore when this context ends

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.handlers[number] = signal.signal(number, self._request_stop)
        return self

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        """Set the flag at the first signal, and restore the previous handler, so that a second signal stops at once."""
        del frame
        self.requested = True
        signal.signal(number, self.handlers[signal.Signals(number)])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, error, trace
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
