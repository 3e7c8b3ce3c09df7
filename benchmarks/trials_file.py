"""Compare how rates, latents and counts of a trials file are stored: with and without gzip.

    python benchmarks/trials_file.py fake.h5

Each row is one array of the file, stored in memory with one chunk per trial and a checksum: its size with and without
gzip, and the ratio of the times to write and to read it with and without gzip (processor time, medians of five).
"""

import argparse
import io
import statistics
import time

import h5py
import numpy as np

from spikeloom.trials import Trials
from spikeloom.trials.hdf5 import CHECKSUM, COMPRESSION

REPEATS = 5


def stored(array: np.ndarray, filters: dict[str, object]) -> tuple[int, float, float]:
    """Return the size in bytes, and the processor time to write and to read, s (medians)."""
    written, read = [], []
    for _ in range(REPEATS):
        image = io.BytesIO()
        start = time.process_time()
        with h5py.File(image, "w", libver=("v110", "v110")) as file:
            file.create_dataset("array", data=array, chunks=(1, *array.shape[1:]), **filters)
        middle = time.process_time()
        with h5py.File(image, "r") as file:
            file["array"][()]
        written.append(middle - start)
        read.append(time.process_time() - middle)
    return len(image.getbuffer()), statistics.median(written), statistics.median(read)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trials", help="trials file of generated trials")
    trials = Trials.load(parser.parse_args().trials)
    print("array | MB | MB with gzip | writing with gzip | reading with gzip")
    for name in ("rates", "latents", "counts"):
        array = getattr(trials, name)
        if array is None:
            continue
        plain = stored(array, CHECKSUM)
        packed = stored(array, CHECKSUM | COMPRESSION)
        sizes = f"{plain[0] / 1e6:.1f} | {packed[0] / 1e6:.1f}"
        print(f"{name} | {sizes} | {packed[1] / plain[1]:.1f} times | {packed[2] / plain[2]:.1f} times")


if __name__ == "__main__":
    main()
