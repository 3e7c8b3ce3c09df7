"""Generate a sample in parts, in several processes or on a cluster, and write it to one trials file.

The finished parts stay in the folder `OUT.parts` until they are joined. A process can be killed at any moment. The same
call then resumes: it keeps the parts whose hash is correct, and generates the others.
"""

import contextlib
import shutil
import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from tqdm import tqdm

from spikeloom.distributed.order import Order
from spikeloom.distributed.workers import Workers, processes, ray_tasks, this_process
from spikeloom.errors import CorruptFileError, FileError, SettingError, SpikeloomWarning
from spikeloom.files import ensure_folder, read_json, refuse_foreign, sha256, write_json
from spikeloom.models.common.conditions import ConditionArgument
from spikeloom.text import counted
from spikeloom.training.lock import only_process
from spikeloom.trials import Trials, hdf5

ORDER = "order.json"
"""File in the folder of parts that says to which sample the parts belong."""


class DamagedPartWarning(SpikeloomWarning):
    """A part of a sample is damaged, so it is generated again."""


def sample_distributed(
    run: str | PathLike[str],
    n_trials: int | None = None,
    *,
    out: str | PathLike[str],
    workers: int | None = None,
    ray: bool = False,
    address: str | None = None,
    n_bins: int | None = None,
    like: str | PathLike[str] | None = None,
    condition: ConditionArgument = None,
    guidance: float | None = None,
    sampler: str | None = None,
    changes: Sequence[str] = (),
    seed: int = 0,
    max_batch: int | None = None,
    progress: bool | None = None,
    overwrite: bool = False,
) -> Path:
    """Generate trials in parts, and write them to one trials file; `Trials.load` reads it.

    Trial k is trial k of `load_model(run).sample(n_trials, ..., seed=seed)`. It is equal bit for bit on the same
    processor, with the same libraries and number of threads, and to rounding otherwise. An interrupted call resumes
    when it is repeated. A script that uses several processes needs the line `if __name__ == "__main__":`.

    Args:
        run: Run folder or model folder. All machines of a cluster must be able to read it.
        n_trials: Number of trials. It may be left out with `like`.
        out: Trials file to write (.h5). The disk needs twice its size. All machines of a cluster must be able to write
            to its folder.
        workers: Number of processes on this machine. Default: one, or with Ray one for each core.
        ray: Generate the parts in tasks of Ray.
        address: Address of a Ray cluster. Default: RAY_ADDRESS if set, else Ray is started on this machine.
        n_bins: As in `Model.sample`.
        like: Trials file: see `Model.sample`.
        condition: As in `Model.sample`.
        guidance: As in `Model.sample`.
        sampler: Name of a sampler, with its number of steps, such as "DDIM:50". Default: the model's sampler.
        changes: Changes of settings that need no training, as in `load_model`.
        seed: Random seed.
        max_batch: Largest number of trials in memory of each worker at once. `None` uses `batch` of the model.
        progress: Show progress; None shows it on a terminal.
        overwrite: Replace a file that spikeloom did not write.

    Returns:
        The path of the trials file.

    Raises:
        SettingError: if the arguments disagree, or the folder of parts belongs to another sample.
        ConditionError: as in `Model.sample`.
        FileError: if another process generates this sample, or a file cannot be written.
        TrainingError: if workers are killed again and again.

    Warns:
        DamagedPartWarning: if a part is damaged, and is generated again.

    Example:
        >>> import spikeloom as sl
        >>> trials = sl.simulate.lorenz(24, n_neurons=6, n_bins=30, seed=0)
        >>> _ = sl.fit("lfads-tiny", trials, changes=["plan.updates=2"], out="run", progress=False)
        >>> path = sl.sample_distributed("run", 300, out="fake.h5", seed=1)
        >>> sl.Trials.load(path).counts.shape
        (300, 30, 6)
    """
    path = Path(out)
    if path.suffix != ".h5":
        raise FileError("A sample in parts is written to an .h5 file.", f"It was {str(path)!r}.", "Write out=fake.h5.")
    if address is not None and not ray:
        raise SettingError("An address needs Ray.", f"It was {address}.", "Set ray=True, or remove the address.")
    if workers is not None and workers < 1:
        raise SettingError("The number of workers must be at least 1.", f"It was {workers}.", "Write workers=2.")
    refuse_foreign(path, hdf5.written_source, overwrite=overwrite)
    n_like = None if like is None else len(Trials.load(like))
    n_total = n_trials if n_like is None else n_like
    if n_total is None or n_total < 1 or n_trials not in (None, n_total):
        raise SettingError(
            "The number of trials must be at least 1. With `like`, it must be the number of trials of `like`.",
            f"It was {n_trials}" + ("." if n_like is None else f", and {like} has {counted(n_like, 'trial')}."),
            "Write n_trials=1000.",
        )
    order = Order(
        str(Path(run).resolve()),
        n_total,
        tuple(changes),
        n_bins,
        None if like is None else str(Path(like).resolve()),
        condition,
        guidance,
        sampler,
        seed,
        max_batch,
    )
    if ray:
        generate = ray_tasks(address, number=workers)
    elif workers is None or workers == 1:
        generate = this_process
    else:
        generate = processes(workers)
    write_order(order, path.resolve(), generate, progress=progress)
    return path


def write_order(order: Order, out: Path, workers: Workers, *, progress: bool | None = None) -> None:
    """Generate the missing parts of an order, and join all parts in one trials file.

    Args:
        order: The sample.
        out: Trials file to write.
        workers: Function that generates parts.
        progress: Show progress; None shows it on a terminal.
    """
    ensure_folder(out.parent)
    folder = out.with_name(out.name + ".parts")
    with only_process(folder, "sampling"):
        _claim(folder, order)
        parts = {str(folder / f"{rows.start:09d}.h5"): rows for rows in order.parts}
        missing = {path: rows for path, rows in parts.items() if not _is_finished(Path(path))}
        n_finished = order.n_trials - sum(map(len, missing.values()))
        hide = None if progress is None else not progress
        with (
            tqdm(
                total=order.n_trials, initial=n_finished, unit="trial", desc="sample", disable=hide, smoothing=0
            ) as bar,
            contextlib.closing(workers(order, missing)) as finished,
        ):
            for path in finished:
                bar.update(len(parts[path]))
        for path in parts:
            _check(Path(path))
        hdf5.join(out, list(parts))
    shutil.rmtree(folder)


def _claim(folder: Path, order: Order) -> None:
    """Mark the folder as holding parts of this order. Raise a SettingError if it holds parts of another one."""
    identity = order.identity()
    path = folder / ORDER
    stored = read_json(path) if path.exists() else {}
    names = [name for name, value in identity.items() if name not in stored or stored[name] != value]
    if not any(folder.glob("*.h5")):  # without parts, the folder can be used for any sample
        write_json(path, identity)
    elif names:
        raise SettingError(
            f"{folder} holds parts of another sample.",
            f"It differs in {', '.join(names)}.",
            "Repeat the command of that sample, delete the folder, or choose another --out.",
        )


def _is_finished(path: Path) -> bool:
    """Return whether a part is on the disk, complete and undamaged."""
    if not path.with_suffix(".json").exists():
        return False
    try:
        _check(path)
    except (CorruptFileError, FileError) as error:
        warnings.warn(f"{error.args[0]} It is generated again.", DamagedPartWarning, stacklevel=4)
        return False
    return True


def _check(path: Path) -> None:
    """Raise a CorruptFileError if a finished part does not have its hash."""
    if read_json(path.with_suffix(".json")).get("sha256") != sha256(path):
        raise CorruptFileError(f"{path} is damaged.", "", "Repeat the command: the part is generated again.")
