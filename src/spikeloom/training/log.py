"""The log of a run, `log.txt` in its folder: its start, the duration of each stage, and its end."""

import time
from pathlib import Path


def log(folder: Path, line: str) -> None:
    """Append a line with the time of day to the log of a run."""
    with (folder / "log.txt").open("a") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")
