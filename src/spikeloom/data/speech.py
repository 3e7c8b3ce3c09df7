"""Attempted speech of one person (Willett et al. 2023, Dryad `competitionData`), prepared as in the LDNS paper.

A partition is a folder of MATLAB files, one per day, such as `train/t12.2022.04.28.mat`. `tx1` holds one array (bin,
channel) per sentence: threshold crossings in bins of 20 ms, of 256 channels, of which the first 128 lie in area 6v.
Sentences longer than 512 bins are removed; the others keep their lengths, and models mask the padding. Days are read in
the order of their names and pooled. Day and sentence of each trial are conditions.

The paper validates on the first quarter of the partition `test`, and tests on the rest.
"""

import os
from pathlib import Path

import numpy as np

from spikeloom.data.arrays import from_counts
from spikeloom.errors import CorruptFileError, DataError, FileError
from spikeloom.shapes import Array
from spikeloom.trials import Trials

CHANNELS = 128
"""Number of channels of area 6v."""

LONGEST = 512
"""Number of bins of the longest sentence that is kept."""

BIN_WIDTH = 0.02
"""Width of a bin in seconds."""


def read_speech(folder: str | os.PathLike[str], *, channels: int = CHANNELS, longest: int = LONGEST) -> Trials:
    """Read the sentences of one partition, a folder of `.mat` files, or of one such file.

    Args:
        folder: Folder such as `competitionData/train`, or a file.
        channels: Number of channels to keep, from the first one.
        longest: Largest number of bins of a sentence. Longer sentences are removed.

    Returns:
        Trials of different length, with the conditions `day` (name of the file) and `sentence`.

    Raises:
        FileError: if there are no such files.
        CorruptFileError: if a file is damaged.
        DataError: if a file has another layout, or no sentence remains.
    """
    location = Path(folder)
    paths = sorted(location.glob("*.mat")) if location.is_dir() else [location]
    if not paths or not paths[0].exists():
        raise FileError(
            "Speech data must be a folder of .mat files.",
            f"{location} {'holds none' if location.is_dir() else 'does not exist'}.",
            "Name the folder of one partition, such as competitionData/train.",
        )
    counts = list[Array]()
    days = list[str]()
    sentences = list[str]()
    for path in paths:
        for sentence_counts, sentence in _day(path, channels):
            if 0 < len(sentence_counts) <= longest:
                counts.append(sentence_counts)
                days.append(path.stem)
                sentences.append(sentence)
    if not counts:
        raise DataError(
            f"Speech data must hold sentences of at most {longest} bins.", f"{location} holds none.", "Raise longest."
        )
    conditions = {"day": np.array(days), "sentence": np.array(sentences)}
    return from_counts(counts, bin_width=BIN_WIDTH, conditions=conditions, source=f"{location.name} (speech)")


def paper_split(trials: Trials) -> tuple[Trials, Trials]:
    """Return validation and test trials: the first quarter of the sentences of `test` (213), and the others (640)."""
    quarter = len(trials) // 4
    if not quarter:
        raise DataError(
            "The partition must hold at least four sentences.", f"It holds {len(trials)}.", "Use more sentences."
        )
    return trials.select(slice(quarter)), trials.select(slice(quarter, None))


def _day(path: Path, channels: int) -> list[tuple[Array, str]]:
    """Return the counts (bin, channel) and the text of each sentence of a file."""
    variables = _read(path)
    if "tx1" not in variables:
        names = ", ".join(variables)
        raise DataError(
            "A file of speech data must hold the threshold crossings tx1.", f"{path} holds {names}.", "Check the file."
        )
    cells = variables["tx1"].ravel()
    texts = [str(row).strip() for row in variables.get("sentenceText", np.full(len(cells), "")).ravel()]
    sentences = []
    for number, cell in enumerate(cells):
        array = np.asarray(cell)
        if array.ndim != 2 or array.shape[1] < channels or array.dtype.kind not in "iuf":
            raise DataError(
                f"Each sentence must be an array (bin, channel) of at least {channels} channels.",
                f"Number {number} of {path} has shape {array.shape}.",
                "Check the file, or keep fewer channels.",
            )
        sentences.append((array[:, :channels], texts[number] if number < len(texts) else ""))
    return sentences


def _read(path: Path) -> dict[str, Array]:
    """Read the two variables of a file by name. Raise a CorruptFileError if it cannot be read."""
    from scipy.io import loadmat  # scipy.io is slow to import

    try:
        variables = loadmat(path, variable_names=["tx1", "sentenceText"])
        return {name: value for name, value in variables.items() if not name.startswith("__")}
    except Exception as error:  # scipy raises many different errors for a damaged file
        raise CorruptFileError(
            "Speech data must be MATLAB files (version 5 to 7.2).",
            f"{path} is not: {' '.join(str(error).split())[:150] or type(error).__name__}.",
            "Download it again.",
        ) from error
