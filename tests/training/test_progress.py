"""Time left, with a clock that the test moves."""

import io
import sys

import pytest

from spikeloom.training import progress
from spikeloom.training.progress import Progress, TimeLeft, parts_shown, show_parts
from spikeloom.training.stage import Calculation
from spikeloom.training.train import train


class Clock:
    """A clock whose time the test sets, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def seconds_of(update: int, *, each: float, validation: float, every: int, start: float) -> float:
    """Duration of an update: the first prepares the networks, some validate, and every third is slower."""
    return each * (1.3 if update % 3 == 0 else 0.85) + validation * (update % every == 0) + start * (update == 1)


STAGES = {
    "autoencoder": dict(each=0.05, validation=2.0, every=50, start=5.0),
    "diffusion": dict(each=0.4, validation=1.0, every=50, start=1.0),
    "short": dict(each=2.0, validation=0.0, every=50, start=30.0),
}


@pytest.mark.parametrize("resumed", [0, 400])
@pytest.mark.parametrize("stage", STAGES)
def test_after_a_tenth_the_time_left_is_right_within_a_fifth(stage, resumed):
    clock = Clock()
    updates = 1000
    words = STAGES[stage]
    left = TimeLeft(updates, long=lambda update: update % words["every"] == 0, clock=clock)
    estimates = {}
    for done in range(resumed + 1, updates + 1):
        clock.now += seconds_of(done, **words) if done > resumed + 1 else seconds_of(1, **words)
        estimates[done] = left.after(done), clock.now
    end = clock.now
    assert estimates[resumed + 1][0] is None
    for done in range(resumed + (updates - resumed) // 10, updates):
        estimate, now = estimates[done]
        assert estimate == pytest.approx(end - now, rel=0.2, abs=2.0)
    assert estimates[updates][0] == 0


class Terminal(io.StringIO):
    """Standard error that says that it is a terminal."""

    def isatty(self) -> bool:
        """True."""
        return True


def test_the_bar_shows_the_time_left(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(sys, "stderr", Terminal())
    bar = Progress("diffusion", updates=101, done=0, show=True)
    bar.left = TimeLeft(101, clock=clock)
    for done in range(1, 12):
        clock.now += 60 if done == 1 else 2
        bar.show_update(done, 0.5)
    bar.bar.refresh()
    bar.close()
    assert sys.stderr.getvalue().splitlines()[-1].split("\r")[-1].endswith("03:00 left, loss 0.5]")


def test_parts_of_a_calculation_show_progress_only_if_the_stage_does(monkeypatch):
    seen = []
    stage = Calculation("readout", {"samples": lambda: seen.append(show_parts())})
    train([stage], seed=0, progress=None)  # not a terminal
    monkeypatch.setattr(sys, "stderr", Terminal())
    train([stage], seed=0, progress=None)
    train([stage], seed=0, progress=False)
    assert seen == [False, None, False]
    with parts_shown(True):
        assert show_parts() is None
    assert show_parts() is False


def test_equal_parts_show_the_time_left(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    monkeypatch.setattr(sys, "stderr", Terminal())
    parts = {str(number): lambda: setattr(clock, "now", clock.now + 10) for number in range(5)}
    train([Calculation("samples", parts, equal=True)], seed=0, progress=None)
    assert "00:30 left" in sys.stderr.getvalue()


def test_the_log_has_a_line_per_stage(tmp_path):
    parts = {"encode": lambda: None, "fit": lambda: None}
    train([Calculation("readout", parts), Calculation("samples", parts, equal=True)], seed=0, out=tmp_path)
    first, second = (line[20:] for line in (tmp_path / "log.txt").read_text().splitlines())
    assert first == "readout: encode 0.0 s, fit 0.0 s"
    assert second == "samples: 0.0 s"
