"""Measure the commands from a recording to a report, `bin`, `split`, `fit`, `sample` and `evaluate`: time and memory.

    python -m benchmarks.all_commands REC.nwb [--run RUN] [--python PATH] [--source SRC] [--csv OUT.csv --label TEXT]

Each command runs in a process of its own. The table has its wall-clock time, its core-seconds, which depend less on
other programs, and its peak memory. If OMP_NUM_THREADS limits the threads, the last row is `evaluate` once more,
without the limit. With `--run` the model of a finished run generates the trials, and the time of the
fit is taken from its history. `--source` measures another version of spikeloom, such as the `src` of a worktree.

A second table has two start-up times of each command: the time until `--help` is shown, and the time until the command
has imported everything that it needs. To measure the second time, the command gets the name of a file that does not
exist. The command imports everything before it reports this error. Times are medians of three runs.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

WINDOW = ("--bin-width", "0.005", "--align", "target_on_time", "--window", "-0.2", "0.5", "--condition", "angle_deg")
"""Options of `bin` for the delayed reaches, as in docs/results/reach.md."""

STARTS = {
    "bin": ("none.nwb", *WINDOW, "--out", "out.h5"),
    "inspect": ("none.h5",),
    "fit": ("ldns-small", "--data", "none.h5", "--out", "run"),
    "sample": ("none", "--trials", "1", "--out", "out.h5"),
    "evaluate": ("--real", "none.h5", "--fake", "none.h5", "--out", "report"),
}
"""Arguments with which each command imports what it needs, and then reports a missing file."""


THREADS = os.environ.get("OMP_NUM_THREADS")
"""Number of threads of the commands; None for the default of spikeloom."""

UNLIMITED = "evaluate, default threads"
"""Name of the row of `evaluate` with the default number of threads."""


@dataclass(frozen=True)
class Cost:
    """Cost of one command.

    Args:
        command: Name of the command.
        clock: Seconds by the clock.
        core: Seconds of all cores together, or None if they are not known.
        memory: Peak memory of the process in GB.
    """

    command: str
    clock: float
    core: float | None
    memory: float


class Spikeloom:
    """The command `spikeloom` of one version, run in a folder.

    Args:
        python: Python with the packages that spikeloom needs.
        source: Folder that holds the package `spikeloom`, or None for the installed one.
        folder: Folder in which the commands run.
    """

    def __init__(self, python: str, source: str | None, folder: Path) -> None:
        self.program = [python, "-m", "spikeloom"]
        self.environment = os.environ | ({} if source is None else {"PYTHONPATH": str(Path(source).resolve())})
        self.folder = folder

    def measure(self, name: str, *arguments: str, status: int = 0, threads: str | None = THREADS) -> Cost:
        """Run a command and return its cost. Stop the benchmark if its exit code is not the expected one.

        Args:
            name: Name of the command.
            arguments: Its arguments.
            status: Expected exit code.
            threads: Number of threads; None for the default of spikeloom.
        """
        limit = {} if threads is None else {"OMP_NUM_THREADS": threads}
        began = time.perf_counter()
        process = subprocess.Popen(
            [*self.program, name, *arguments],
            cwd=self.folder,
            env={name: value for name, value in self.environment.items() if name != "OMP_NUM_THREADS"} | limit,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        errors = process.stderr.read()
        _, code, usage = os.wait4(process.pid, 0)
        clock = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(code)
        if process.returncode != status:
            sys.exit(f"spikeloom {name} ended with {process.returncode}:\n{errors}")
        unit = 1e9 if sys.platform == "darwin" else 1e6
        return Cost(name, clock, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)


def commands(
    spikeloom: Spikeloom, recording: str, run: Path | None, *, recipe: str, changes: Sequence[str]
) -> list[Cost]:
    """Return the cost of each command from the recording to the report."""
    costs = [spikeloom.measure("bin", recording, *WINDOW, "--out", "all.h5")]
    costs.append(spikeloom.measure("split", "all.h5", "--fraction", "0.75", "--out", "train.h5", "test.h5"))
    if run is None:
        settings = [argument for change in changes for argument in ("--set", change)]
        costs.append(spikeloom.measure("fit", recipe, "--data", "train.h5", *settings, "--out", "run"))
        run = Path("run")
    else:
        costs.append(recorded_fit(run))
    costs.append(spikeloom.measure("sample", str(run), "--like", "all.h5", "--seed", "1", "--out", "fake.h5"))
    files = ["--real", "all.h5", "--fake", "fake.h5", "--reference", "train.h5", "--out", "report"]
    costs.append(spikeloom.measure("evaluate", *files))
    if THREADS is not None:
        files[-1] = "again"
        costs.append(replace(spikeloom.measure("evaluate", *files, threads=None), command=UNLIMITED))
    return costs


def recorded_fit(run: Path) -> Cost:
    """Return the cost of a finished fit from its history, which has the time by the clock only."""
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    last = {line["stage"]: line for line in lines}
    seconds = sum(line["seconds"] for line in last.values())
    return Cost("fit", seconds, None, max(line.get("memory_gb", 0.0) for line in last.values()))


def core_of(cost: Cost) -> str:
    """Return the core-seconds as text; empty if they are not known."""
    return "" if cost.core is None else f"{cost.core:.1f}"


def starts(spikeloom: Spikeloom, *, times: int) -> list[tuple[str, float, float]]:
    """Return name, and median core-seconds of `--help` and of the imports, of each command."""
    rows = []
    for name, arguments in STARTS.items():
        shown = [spikeloom.measure(name, "--help").core for _ in range(times)]
        imported = [spikeloom.measure(name, *arguments, status=2).core for _ in range(times)]
        rows.append((name, statistics.median(shown), statistics.median(imported)))
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables, and add the first one to a CSV file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recording", help="recording of delayed reaches, an NWB file")
    parser.add_argument("--run", type=Path, help="finished run; by default a model is trained")
    parser.add_argument("--recipe", default="ldns-small", help="recipe to train")
    parser.add_argument("--set", action="append", default=[], dest="changes", help="change of the recipe, key=value")
    parser.add_argument("--python", default=sys.executable, help="Python that runs the commands")
    parser.add_argument("--source", help="folder with the package spikeloom of another version")
    parser.add_argument("--csv", type=Path, help="CSV file to which the rows are added")
    parser.add_argument("--label", default="now", help="first column of these rows")
    parser.add_argument("--times", type=int, default=3, help="repetitions of the starts; 0 leaves them out")
    options = parser.parse_args(arguments)
    run = None if options.run is None else options.run.resolve()
    with tempfile.TemporaryDirectory() as folder:
        spikeloom = Spikeloom(options.python, options.source, Path(folder))
        recording = str(Path(options.recording).resolve())
        costs = commands(spikeloom, recording, run, recipe=options.recipe, changes=options.changes)
        print(f"{'command':<28}{'clock s':>10}{'core-s':>10}{'peak GB':>10}")
        for cost in costs:
            print(f"{cost.command:<28}{cost.clock:>10.1f}{core_of(cost):>10}{cost.memory:>10.2f}")
        if options.times:
            print(f"\n{'start of':<10}{'--help':>10}{'imports':>10}   core-seconds")
            for name, shown, imported in starts(spikeloom, times=options.times):
                print(f"{name:<10}{shown:>10.2f}{imported:>10.2f}")
    if options.csv is not None:
        new = not options.csv.exists()
        with options.csv.open("a", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if new:
                writer.writerow(["version", "command", "seconds by the clock", "core-seconds", "peak memory, GB"])
            for cost in costs:
                numbers = f"{cost.clock:.1f}", core_of(cost), f"{cost.memory:.2f}"
                writer.writerow([options.label, cost.command, *numbers])


if __name__ == "__main__":
    main()
