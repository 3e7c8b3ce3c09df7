"""Read and describe files of matrices (.npz, .npy, .mat) for the commands bin and inspect."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from spikeloom.errors import SettingError
from spikeloom.text import counted

if TYPE_CHECKING:
    from spikeloom.data.recording import Recording
    from spikeloom.trials import Trials


def read_for_bin(
    path: Path,
    *,
    variable: str | None,
    axes: str | None,
    bin_width: float,
    window: tuple[float, float] | None,
    recording_options: Mapping[str, object],
) -> "Recording | Trials":
    """Return the trials or the recording that a file of matrices holds.

    Counts and spike times that are cut by trial give trials; spike times of the full recording give a recording.

    Args:
        path: The file.
        variable: Name of the variable. `None` is enough if only one variable is possible.
        axes: Axes of the variable as words, such as "neuron trial time".
        bin_width: Width of a bin in seconds.
        window: Start and end in seconds, for spike times that are cut by trial.
        recording_options: Options of the command, by name, that are valid for a recording only. An option that was not
            given is None.

    Raises:
        SettingError: if the file holds trials, and an option is set that is valid for a recording only.
    """
    from spikeloom.data.matrices import read_matrix
    from spikeloom.trials import Trials

    contents = read_matrix(path, variable=variable, axes=axes, bin_width=bin_width, window=window)
    extra = [f"--{name.replace('_', '-')}" for name, value in recording_options.items() if value is not None]
    if isinstance(contents, Trials) and extra:
        raise SettingError(
            f"{', '.join(extra)} would have no effect: the data are already cut into trials.",
            f"{path.name} holds {counted(len(contents), 'trial')}.",
            "Remove the option.",
        )
    return contents


def describe_matrices(path: Path) -> str:
    """Return the variables of a file with shapes, types and possible roles as text.

    For the first three variables that hold counts or spike times, the text has a command that reads the variable.
    """
    from spikeloom.data.matrices import read_variables

    variables = read_variables(path)
    width = max((len(entry.name) for entry in variables), default=0) + 2
    lines = [f"matrices      {path.name}, {len(variables)} variables"]
    for entry in variables:
        role = f": could be {entry.role}" if entry.role else ""
        lines.append(f"  {entry.name:<{width}}{entry.what}{role}")
    options = {  # role of a variable -> options that read it
        "counts": '--axes "neuron trial time" --bin-width 0.01',
        "cells of counts": '--axes "time neuron" --bin-width 0.01',
        "spike times cut by trial": '--axes "neuron trial" --window 0 1 --bin-width 0.01',
    }
    for entry in [entry for entry in variables if entry.role][:3]:
        arguments = options.get(entry.role, "--every 2 --bin-width 0.01")
        if entry.role == "counts" and entry.value.ndim == 2:  # one matrix of a continuous recording
            arguments = arguments.replace("neuron trial time", "time neuron")
        lines.append(f"read it       spikeloom bin {path.name} --variable {entry.name} {arguments} --out trials.h5")
    if not any(entry.role for entry in variables):
        lines.append("beware        no variable can hold spike counts or spike times: nothing can be binned")
    return "\n".join(lines)
