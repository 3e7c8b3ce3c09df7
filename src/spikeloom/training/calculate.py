"""Run a `Calculation`: a stage of training without updates, in which statistics are computed part by part."""

import sys
import time

from tqdm import tqdm

from spikeloom.training.checkpoint import Line
from spikeloom.training.memory import peak_memory
from spikeloom.training.progress import BAR, StopRequest, TimeLeft, parts_shown
from spikeloom.training.stage import Calculation


def calculate(stage: Calculation, title: str, *, show: bool, stop: StopRequest) -> Line:
    """Compute all parts of a stage, and return its line of history, with the seconds of each part.

    A terminal shows a bar of the parts. A part that works trial by trial shows a second bar with the time left. Other
    outputs get a line before each part.

    Args:
        stage: The stage.
        title: Name of the stage on the screen.
        show: True to show the progress.
        stop: Request to stop. It is checked after each part.

    Raises:
        KeyboardInterrupt: after Ctrl-C or SIGTERM, when the present part is finished.
    """
    seconds: dict[str, float | None] = {}
    began = time.monotonic()
    terminal = sys.stderr.isatty()
    time_left = TimeLeft(len(stage.parts))
    with tqdm(total=len(stage.parts), desc=title, bar_format=BAR, disable=not (show and terminal)) as bar:
        for number, (name, compute) in enumerate(stage.parts.items(), 1):
            if not stage.equal:
                bar.set_postfix_str(name)
            if show and not terminal:
                sys.stderr.write(f"{title}: part {number} of {len(stage.parts)}, {name}\n")
                sys.stderr.flush()
            part_began = time.monotonic()
            with parts_shown(show and terminal):
                compute()
            seconds[name] = round(time.monotonic() - part_began, 3)
            bar.update()
            left = time_left.after(number)
            if stage.equal and left is not None:
                bar.set_postfix_str(f"{tqdm.format_interval(left)} left")
            if stop.requested:
                raise KeyboardInterrupt
    return {
        "stage": stage.name,
        "update": 0,
        "loss": None,
        "parts": seconds,
        "learning_rate": 0.0,
        "gradient_norm": None,
        "skipped": 0,
        "seconds": round(time.monotonic() - began, 3),
        "memory_gb": round(peak_memory(), 3),
    }
