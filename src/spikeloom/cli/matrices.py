"""What the commands bin and inspect do with ordinary files of matrices: .npz, .npy and .mat."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from spikeloom.errors import SettingError

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
    unread: Mapping[str, object],
) -> "Recording | Trials":
    """Trials of a file that holds counts or spike times cut by trial; a recording of one that holds whole spike trains.

    Args:
        path: The file.
        variable: Name of the variable; may be absent where only one is possible.
        axes: Its axes as words.
        bin_width: Seconds.
        window: From and to, in seconds, for spike times that are cut by trial.
        unread: Other options of the command by name, which only a recording reads.

    Raises:
        SettingError: if the file holds trials, and one of the other options is given.
    """
    from spikeloom.data.matrices import read_matrix
    from spikeloom.trials import Trials

    found = read_matrix(path, variable=variable, axes=axes, bin_width=bin_width, window=window)
    extra = [f"--{name.replace('_', '-')}" for name, value in unread.items() if value]
    if isinstance(found, Trials) and extra:
        raise SettingError(
            "Counts, and spike times that are cut by trial, are trials already.",
            f"{path.name} holds {len(found)} of them, and {', '.join(extra)} would not be read.",
            "Leave it out.",
        )
    return found


def describe_matrices(path: Path) -> str:
    """The variables of a file with their shapes and types, what each could be, and a command that reads one."""
    from spikeloom.data.matrices import read_variables

    variables = read_variables(path)
    width = max((len(each.name) for each in variables), default=0) + 2
    lines = [f"matrices      {path.name}, {len(variables)} variables"]
    for each in variables:
        could = f": could be {each.role}" if each.role else ""
        lines.append(f"  {each.name:<{width}}{each.what}{could}")
    options = {
        "counts": '--axes "neuron trial time" --bin-width 0.01',
        "cells of counts": '--axes "time neuron" --bin-width 0.01',
        "spike times cut by trial": '--axes "neuron trial" --window 0 1 --bin-width 0.01',
    }
    for each in [each for each in variables if each.role][:3]:
        given = options.get(each.role, "--every 2 --bin-width 0.01")
        if each.role == "counts" and each.value.ndim == 2:
            given = given.replace("neuron trial time", "time neuron")
        lines.append(f"read it       spikeloom bin {path.name} --variable {each.name} {given} --out trials.h5")
    if not any(each.role for each in variables):
        lines.append("beware        no variable can be counts of spikes or spike times: nothing can be binned")
    return "\n".join(lines)
