"""Commands that make and read data: simulate, bin, inspect."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikeloom.cli.paths import Overwrite, different_files, output_file
from spikeloom.errors import DataError, SettingError
from spikeloom.text import counted

if TYPE_CHECKING:
    from spikeloom.trials import Trials

TrialsOut = Annotated[Path, typer.Option("--out", help="Trials file to write, .h5.")]
Counts = Annotated[
    str | None, typer.Option(help="Series of binned spike counts to use if the recording has no spike times.")
]
Seed = Annotated[int, typer.Option(min=0, help="Random seed.")]

LORENZ = "Example: spikeloom simulate lorenz --trials 5000 --seed 42 --out lorenz.h5"


def lorenz(
    *,
    trials: Annotated[int, typer.Option(min=1, help="Number of trials.")] = 5000,
    neurons: Annotated[int, typer.Option(min=1, help="Number of neurons.")] = 128,
    bins: Annotated[int, typer.Option(min=2, help="Number of bins of each trial.")] = 256,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    out: TrialsOut,
) -> None:
    """Simulate neurons driven by a Lorenz system, with true rates and latents."""
    output_file(out, ".h5", overwrite=overwrite)
    from spikeloom.simulate.lorenz_system import lorenz as simulate

    write_trials(simulate(trials, n_neurons=neurons, n_bins=bins, seed=seed), out)


REACHING = "Example: spikeloom simulate reaching --trials 3600 --seed 0 --out train.h5 --held-out-to unseen.h5"


def reaching(
    *,
    trials: Annotated[int, typer.Option(min=1, help="Number of trials.")] = 3600,
    neurons: Annotated[int, typer.Option(min=1, help="Number of neurons.")] = 64,
    seed: Seed = 0,
    held_out: Annotated[
        list[str] | None,
        typer.Option(help="Target to hold out: ROW,COLUMN from 0,0 to 5,5, or none. Repeatable. Default: six targets."),
    ] = None,
    held_out_to: Annotated[
        Path | None,
        typer.Option(help="Trials file (.h5) for the trials to held-out targets, which are then not in --out."),
    ] = None,
    controller: Annotated[
        Path | None,
        typer.Option(help="Weights of the network that moves the arm. Default: the weights that come with spikeloom."),
    ] = None,
    overwrite: Overwrite = False,
    out: TrialsOut,
) -> None:
    """Simulate neurons of a network that moves an arm between targets on a grid, with true rates."""
    outputs = [out] if held_out_to is None else [out, held_out_to]
    for path in outputs:
        output_file(path, ".h5", inputs=[controller], overwrite=overwrite)
    different_files(*outputs)
    from spikeloom.simulate.reaching_task import HELD_OUT, read_controller, read_target
    from spikeloom.simulate.reaching_task import reaching as simulate

    targets = HELD_OUT if held_out is None else [read_target(text) for text in held_out if text != "none"]
    simulated = simulate(trials, n_neurons=neurons, seed=seed, held_out=targets, controller=read_controller(controller))
    if held_out_to is None:
        write_trials(simulated, out)
        return
    kept = simulated.conditions["held_out"] == 0  # trials to the other targets, for --out
    if kept.all() or not kept.any():
        raise DataError(
            "--held-out-to needs held-out trials, and other trials for --out.",
            f"{int(trials - kept.sum())} of {trials} are held out.",
            "Hold out at least one target, or remove --held-out-to.",
        )
    write_trials(simulated.select(kept), out)
    write_trials(simulated.select(~kept), held_out_to)


CONTROLLER = "Example: spikeloom simulate controller --seed 0 --out controller.safetensors"


def controller(
    *,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    out: Annotated[Path, typer.Option(help="File of weights to write, .safetensors.")],
) -> None:
    """Train the network that moves the arm of `simulate reaching` (a minute). Trained weights come with spikeloom."""
    output_file(out, ".safetensors", overwrite=overwrite)
    from safetensors.numpy import save

    from spikeloom.files import atomic_write, ensure_folder
    from spikeloom.simulate.controller import train_controller
    from spikeloom.simulate.reaching_task import add_hidden_statistics

    trained = {name: value.numpy() for name, value in train_controller(seed=seed).items()}
    weights, error = add_hidden_statistics(trained)
    ensure_folder(out.parent)
    atomic_write(out, save(weights))
    typer.echo(f"{out}: the hand ends {100 * error:.2f} cm from the target on average")


BIN = (
    "Example: spikeloom bin session.nwb --bin-width 0.005 --align target_on_time --window -0.2 0.5 "
    "--condition direction --behavior hand_vel --keep 'quality == good' --out trials.h5. "
    "A continuous recording: spikeloom bin sleep.nwb --bin-width 0.02 --every 2 --trials epochs --out pieces.h5"
)


def bin_recording(
    *,
    recording: Annotated[Path, typer.Argument(help="Recording (.nwb) or matrices (.npz, .npy or .mat).")],
    bin_width: Annotated[float, typer.Option(help="Width of a bin, s.")],
    align: Annotated[
        str | None, typer.Option(help="Column of the trial table with the time of the event that becomes time 0.")
    ] = None,
    window: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="START END", help="Start and end relative to the alignment, s. Default: the whole trial."),
    ] = None,
    relative: Annotated[
        bool | None,
        typer.Option(
            "--relative/--absolute",
            help="Alignment times count from the start of each trial (relative) or are on the recording's clock. "
            "Default: absolute, with an error if most of them lie outside their trial.",
        ),
    ] = None,
    every: Annotated[
        float | None, typer.Option(help="Cut a continuous recording into consecutive pieces of this length, s.")
    ] = None,
    trials: Annotated[
        str | None,
        typer.Option(
            metavar="TABLE",
            help="Table of intervals whose rows are the trials, such as epochs; with --every, the intervals that are "
            "cut into pieces. `spikeloom inspect` lists the tables.",
        ),
    ] = None,
    condition: Annotated[
        list[str] | None, typer.Option(help="Column of the trial table to keep as a condition. Repeatable.")
    ] = None,
    behavior: Annotated[list[str] | None, typer.Option(help="Behaviour series to keep. Repeatable.")] = None,
    angle: Annotated[
        list[str] | None,
        typer.Option(help="Behaviour series or condition to treat as an angle, whatever its unit. Repeatable."),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            help="Keep neurons that satisfy a comparison on the neuron table, such as 'quality == good'. Repeatable."
        ),
    ] = None,
    units: Annotated[
        str | None,
        typer.Option(help="Ids of the neurons to keep, such as 3,5-9. Without ids, neurons are numbered from 0."),
    ] = None,
    counts: Counts = None,
    variable: Annotated[
        str | None, typer.Option(help="Variable that holds the counts or spike times, for a file of matrices.")
    ] = None,
    axes: Annotated[
        str | None,
        typer.Option(
            help='Axes of that variable, such as "neuron trial time", or "neuron trial" for cells of spike times.'
        ),
    ] = None,
    lag: Annotated[float, typer.Option(help="Behaviour is read this much later than the spikes, s.")] = 0.0,
    min_rate: Annotated[
        float, typer.Option(min=0, help="Remove neurons with a lower mean rate in the binned trials, spikes/s.")
    ] = 0.0,
    overwrite: Overwrite = False,
    out: TrialsOut,
) -> None:
    """Cut a recording into trials and count spikes in bins."""
    output_file(out, ".h5", inputs=[recording], overwrite=overwrite)
    from spikeloom.cli.matrices import read_for_bin
    from spikeloom.data.load import load
    from spikeloom.data.matrices import is_matrix_file
    from spikeloom.data.recording import Recording

    is_matrices = is_matrix_file(recording)
    session: Recording | Trials
    if is_matrices:
        options = {"align": align, "every": every, "trials": trials, "condition": condition, "behavior": behavior}
        options |= {"angle": angle, "keep": keep, "units": units, "counts": counts, "lag": lag or None}
        options |= {"absolute" if relative is False else "relative": relative}  # False is --absolute, None is neither
        session = read_for_bin(
            recording, variable=variable, axes=axes, bin_width=bin_width, window=window, recording_options=options
        )
    elif variable is not None or axes is not None:
        raise SettingError("--variable and --axes are for .npz, .npy and .mat files.", f"The file was {recording}.", "")
    else:
        session = load(recording, counts=counts)
    if isinstance(session, Recording):
        binned = session.bin(
            bin_width,
            align=align,
            window=window,
            relative=relative,
            every=every,
            trials=trials,
            conditions=condition or (),
            behavior=behavior or (),
            angles=angle or (),
            keep=keep or (),
            units=units,
            lag=lag,
        )
    elif is_matrices:
        binned = session
    else:
        raise DataError(
            "Only a recording can be binned.",
            f"{recording} holds trials that are already binned.",
            "Use Trials.rebin in Python.",
        )
    write_trials(_busy_neurons(binned, min_rate), out)


def _busy_neurons(binned: "Trials", min_rate: float) -> "Trials":
    """Return trials without the neurons that fire less than `min_rate` spikes/s. Print how many were removed."""
    rates_hz = binned.mean_rates_hz()
    busy = rates_hz >= min_rate
    if not busy.any():
        raise SettingError(
            f"At least one neuron must fire at {min_rate:g} spikes/s or more.",
            f"The highest rate of {counted(binned.n_neurons, 'neuron')} is {rates_hz.max():.3g} spikes/s in the binned "
            f"trials.",
            "Choose a smaller --min-rate.",
        )
    if busy.all():
        return binned
    n_removed = binned.n_neurons - int(busy.sum())
    typer.echo(
        f"note: removed {counted(n_removed, 'neuron', of=binned.n_neurons)}: rates below {min_rate:g} spikes/s.",
        err=True,
    )
    return binned.select_neurons(busy)


INSPECT = "Example: spikeloom inspect session.nwb"


def inspect(
    *,
    file: Annotated[
        Path,
        typer.Argument(
            help="Recording (.nwb), trials (.h5), matrices (.npz, .npy, .mat), recipe (.toml), run or model folder."
        ),
    ],
    counts: Counts = None,
) -> None:
    """Describe a recording, trials file, recipe or model."""
    from spikeloom.cli.describe import describe

    typer.echo(describe(file, counts=counts))


def write_trials(trials: "Trials", path: Path) -> None:
    """Write a trials file and print a summary of it."""
    from spikeloom.files import ensure_folder

    ensure_folder(path.parent)
    trials.save(path, overwrite=True)  # `output_file` has checked the path
    typer.echo(f"{path}: {trials!r}")
