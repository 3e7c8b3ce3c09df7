"""Files with the generated trials, and lines of code that generate the same trials.

A user who likes the trials on the page can download them, or copy lines of Python or of the shell that generate the
same trials without the studio.
"""

import csv
import io
import shlex
import tempfile
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from spikeloom.studio.bodies import Draw, Traverse, Turn
from spikeloom.studio.facts import LoadedModel
from spikeloom.studio.results import Json
from spikeloom.studio.samples import Sampled, sample_of
from spikeloom.studio.strokes import Path2
from spikeloom.trials import Trials

Format = Literal["h5", "nwb", "csv"]


class Lines(NamedTuple):
    """Lines of Python and lines of the shell that generate the same trials."""

    python: str
    shell: str


def file_of(loaded: LoadedModel, body: Draw | Turn | Traverse, ending: Format) -> bytes:
    """Generate the trials of a request, and return the bytes of a file with them.

    Raises:
        SettingError: if a package that writes the format is not installed.
    """
    trials = sample_of(loaded, body).trials
    if ending == "csv":
        return table_of(trials)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"trials.{ending}"
        (trials.save if ending == "h5" else trials.to_nwb)(path)
        return path.read_bytes()


def table_of(trials: Trials) -> bytes:
    """Return trials as CSV, with one line for each bin and neuron with spikes.

    The columns are the trial, the neuron, the bin, the start of the bin in seconds, and the count.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "neuron", "bin", "time (s)", "count"])
    for trial, time, neuron in np.argwhere(np.asarray(trials.counts, np.int64) > 0).tolist():
        writer.writerow(
            [trial, neuron, time, f"{time * trials.bin_width:.6g}", int(trials.counts[trial, time, neuron])]
        )
    return text.getvalue().encode()


def lines_of(loaded: LoadedModel, body: Draw | Turn | Traverse, ending: Format) -> Lines:
    """Return lines that generate the trials of a request and save them in a file with this ending."""
    out = f"studio.{ending}"
    if isinstance(body, Draw):
        return _of_stroke(loaded, body, sample_of(loaded, body), out)
    if isinstance(body, Turn):
        return _of_condition(loaded, body, out)
    return _of_code(loaded, body, sample_of(loaded, body), out)


def _of_stroke(loaded: LoadedModel, body: Draw, result: Sampled, out: str) -> Lines:
    """Return the lines for a drawn stroke, with the velocity or position in each bin as numbers.

    Args:
        loaded: The model.
        body: Request with the stroke.
        result: Trials of the request, with the stroke in bins.
        out: Name of the file that the lines write.
    """
    # `samples.drawn` has raised an error for a model without a drawn condition
    assert loaded.drawn is not None
    assert loaded.movements is not None
    assert result.stroke is not None
    name = loaded.drawn.name
    kind = loaded.movements.kind
    series = result.stroke.series(kind)
    bin_width = result.trials.bin_width
    others = [other for other in loaded.model.facts.conditions.names if other != name]
    rows = ",\n".join(f"    [{x!r}, {y!r}]" for x, y in series.tolist())
    condition = ", ".join([f"{name!r}: path", *(f"{other!r}: None" for other in others)])
    unit = loaded.drawn.unit
    setting = f"path = np.array([\n{rows},\n])  # {name}{f' ({unit})' if unit else ''} in bins of {bin_width:g} s\n"
    arguments = [str(body.draws), f"n_bins={len(series)}", f"condition={{{condition}}}", *_guidance(body.guidance)]
    python = _python(loaded, setting, [*arguments, f"seed={body.seed}"], out)
    options = [f"--bins {len(series)}", f"--condition {shlex.quote(name)}=path.csv"]
    options += [f"--condition {shlex.quote(other)}" for other in others]
    shell = f"cat > path.csv <<'END'\n{_csv_of(series, bin_width)}END\n" + _shell(
        loaded, body, body.draws, options, out
    )
    return Lines(python, shell)


def _csv_of(series: Path2, bin_width: float) -> str:
    """Return a series as CSV with the time and value at the centre of each bin.

    The first value is repeated at the start of the first bin, and the last value at the end of the last bin.
    """
    times = [0.0, *((np.arange(len(series)) + 0.5) * bin_width).tolist(), len(series) * bin_width]
    rows = [series[0], *series, series[-1]]
    lines = [f"{t!r},{float(x)!r},{float(y)!r}" for t, (x, y) in zip(times, rows, strict=True)]
    return "\n".join(["time,x,y", *lines]) + "\n"


def _of_condition(loaded: LoadedModel, body: Turn, out: str) -> Lines:
    """Return the lines for trials of one condition."""
    names = loaded.model.facts.conditions.names
    bins = loaded.model.facts.longest
    values = {name: body.condition.get(name) for name in names}
    arguments = [str(body.draws), f"n_bins={bins}", f"condition={values!r}", *_guidance(body.guidance)]
    python = _python(loaded, "", [*arguments, f"seed={body.seed}"], out)
    options = [f"--bins {bins}"]
    for name, value in values.items():
        options.append(f"--condition {shlex.quote(name if value is None else f'{name}={value}')}")
    return Lines(python, _shell(loaded, body, body.draws, options, out))


def _of_code(loaded: LoadedModel, body: Traverse, result: Sampled, out: str) -> Lines:
    """Return Python and shell lines that generate the trials of a moved code of GNOCCHI.

    The Python lines hold the numbers of the code. The shell lines run the Python lines.
    """
    assert result.code is not None
    numbers = ", ".join(repr(value) for value in result.code.astype(np.float32).tolist())
    arguments = [f"n_bins={result.trials.n_bins}", "codes=code", f"seed={body.seed}"]
    python = _python(loaded, f"code = np.array([[{numbers}]])\n", arguments, out)
    return Lines(python, f"python - <<'END'\n{python}END\n")


def _python(loaded: LoadedModel, setting: str, arguments: list[str], out: str) -> str:
    """Return a Python program that samples and saves the trials.

    Args:
        loaded: The model.
        setting: Lines that define the variables of the arguments, or an empty text.
        arguments: Arguments of `Model.sample`.
        out: Name of the file.
    """
    numpy = "import numpy as np\n" if setting else ""
    call = f"trials = model.sample({', '.join(arguments)})\n"
    save = f"trials.to_nwb({out!r})\n" if out.endswith(".nwb") else f"trials.save({Path(out).stem + '.h5'!r})\n"
    return f"{numpy}import spikeloom as sl\n\nmodel = sl.load_model({str(loaded.run)!r})\n{setting}{call}{save}"


def _shell(loaded: LoadedModel, body: Draw | Turn, draws: int, options: list[str], out: str) -> str:
    """Return a command line that samples and saves the trials.

    Args:
        loaded: The model.
        body: Request, for its seed and guidance.
        draws: Number of trials.
        options: Further options of `spikeloom sample`.
        out: Name of the file that the command writes.
    """
    strength = [] if body.guidance is None else [f"--guidance {body.guidance!r}"]
    parts = [f"spikeloom sample {shlex.quote(str(loaded.run))}", f"--trials {draws}", *options, *strength]
    target = out if out.endswith((".h5", ".nwb")) else "studio.h5"
    return " ".join([*parts, f"--seed {body.seed}", f"--out {target}"]) + "\n"


def _guidance(strength: float | None) -> list[str]:
    """Return the argument `guidance` of `Model.sample` in a list. Without a strength, the list is empty."""
    return [] if strength is None else [f"guidance={strength!r}"]


def plain(lines: Lines) -> Json:
    """Return the lines as a JSON object."""
    return {"python": lines.python, "shell": lines.shell}
