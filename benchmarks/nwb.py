"""Compare reading of NWB files with spikeloom (h5py) and with pynwb: time of the import, time of reading, and memory.

Run `python benchmarks/nwb.py FILE.nwb ...`. Each measurement is the median of three new processes, CPU time.
"""

import argparse
import statistics
import subprocess
import sys

READERS = {
    "h5py": (
        "from spikeloom.data.nwb import read_nwb",
        "recording = read_nwb(path); list(recording.trial_table.items())",
    ),
    "pynwb": (
        "import pynwb, spikeloom.data.recording",
        "io = pynwb.NWBHDF5IO(path, 'r'); file = io.read(); "
        "file.units is None or file.units.to_dataframe(), file.trials is None or file.trials.to_dataframe()",
    ),
}
"""Reader -> its import, and the statement that reads units and trials."""

PROGRAM = """
import resource, sys, time
path = sys.argv[1]
start = time.process_time()
{imports}
imported = time.process_time()
{read}
print(imported - start, time.process_time() - imported, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)
"""


def measured(reader: str, path: str) -> list[float]:
    """Return seconds of the import, seconds of reading, and peak memory in MB."""
    imports, read = READERS[reader]
    command = [sys.executable, "-c", PROGRAM.format(imports=imports, read=read), path]
    runs = [subprocess.run(command, check=True, capture_output=True, text=True).stdout.split() for _ in range(3)]
    return [statistics.median(float(run[column]) for run in runs) for column in range(3)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", metavar="FILE.nwb")
    print(f"{'reader':8} {'import s':>9} {'read s':>8} {'peak MB':>8}  file")
    for path in parser.parse_args().files:
        for reader in READERS:
            imported, read, memory = measured(reader, path)
            print(f"{reader:8} {imported:9.2f} {read:8.3f} {memory:8.0f}  {path}")


if __name__ == "__main__":
    main()
