"""The command live, which generates spikes bin by bin and sends them over a network."""

import contextlib
import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spikeloom.cli.data import Seed
from spikeloom.cli.model import Run
from spikeloom.errors import DataError, FileError, SettingError
from spikeloom.text import counted

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from spikeloom.live import Session
    from spikeloom.live.server import Transport
    from spikeloom.models.common.base import Model

LIVE = "Example: spikeloom live runs/reach --port 8765"

Protocol = Literal["tcp", "udp", "lsl"]


def live(
    *,
    run: Run,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of tcp and udp. 0 chooses a free one.")] = 8765,
    host: Annotated[
        str, typer.Option(help="Address to listen on. By default only programs on this machine can connect.")
    ] = "127.0.0.1",
    protocol: Annotated[
        Protocol,
        typer.Option(help="JSON lines over tcp, JSON datagrams over udp, or streams of the Lab Streaming Layer (lsl)."),
    ] = "tcp",
    pace: Annotated[
        Literal["clock", "request"],
        typer.Option(
            help="clock: send each bin when it ends in real time. request: send one bin per message (tcp, udp)."
        ),
    ] = "clock",
    condition: Annotated[
        list[str] | None,
        typer.Option(help="Value of a condition before its first sample: NAME=VALUE, or NAME=VALUE,VALUE. Repeatable."),
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Strength of the condition. Default: the model's setting.")
    ] = None,
    spike_times: Annotated[
        bool, typer.Option("--spike-times", help="Send the time of each spike instead of counts.")
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option(help="File (.npz) to save the trial to at the end. If it exists, its trial is continued."),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Generate spikes bin by bin while samples of the condition arrive. Ctrl-C ends it."""
    if protocol == "lsl" and pace == "request":
        raise SettingError("--pace request needs messages.", "LSL has none.", "Leave it out, or use --protocol tcp.")
    _check_state(state)
    import torch

    from spikeloom.live.session import Session
    from spikeloom.recipe import load_model

    torch.set_num_threads(1)  # the matrices of a step are small
    model = load_model(run)
    initial = _initial(condition or [], model)
    session = Session(model, seed=seed, condition=initial, guidance=guidance, spike_times=spike_times)
    if state is not None and state.exists():
        _restore(session, state)
    transport = _transport(protocol, host, port)
    if protocol != "lsl" and not _is_loopback(host):
        typer.echo(f"note: any machine that reaches {host} can connect; there is no password.", err=True)
    _serve_until_stopped(session, transport, pace, state, f"{model!r}, {protocol}")


def _serve_until_stopped(
    session: "Session", transport: "Transport", pace: Literal["clock", "request"], state: Path | None, title: str
) -> None:
    """Serve until Ctrl-C. Then print statistics and save the state.

    A shell script starts its background commands such that they ignore SIGINT. Python then installs no handler for
    Ctrl-C. So this function installs the handler, and `spikeloom live RUN &` ends on SIGINT, too.

    Args:
        session: The live trial.
        transport: Way to reach clients.
        pace: When bins are generated, as in `live.server`.
        state: File for the state of the trial, or None.
        title: Text in front of the address, for the user.
    """
    import asyncio
    import signal
    import threading

    from spikeloom.live.server import precise_loop, serve

    def opened(address: str) -> None:
        """Print the address once clients can connect."""
        waiting = f" It begins with the first value of {', '.join(sorted(session.waiting))}." if session.waiting else ""
        typer.echo(f"{title} at {address}.{waiting} Ctrl-C ends it.")

    if threading.current_thread() is threading.main_thread():  # other threads cannot install handlers
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with asyncio.Runner(loop_factory=precise_loop) as runner:
            runner.run(serve(session, transport, pace=pace, opened=opened))
    except KeyboardInterrupt:
        typer.echo(str(session.statistics))
        if state is not None:
            _save(session, state)
        raise


def _initial(texts: list[str], model: "Model") -> "dict[str, ArrayLike | None]":
    """Read the values that the conditions have before their first samples arrive.

    Args:
        texts: Values of `--condition`, such as "direction=90".
        model: Model with the conditions.

    Returns:
        Name -> value for every condition of the model. A condition that `texts` do not name has the value None, and
        the trial begins when the first sample of this condition arrives.
    """
    from spikeloom.cli.conditions import read_value

    named = {condition.name: condition for condition in model.facts.conditions.each}
    values: dict[str, ArrayLike | None] = dict.fromkeys(named)
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in named:
            raise SettingError(
                "--condition must be NAME=VALUE with a condition of the model.",
                f"It was {text!r}; the model has {list(named) or 'none'}.",
                "",
            )
        values[name] = read_value(named[name], value)
    return values


def _transport(protocol: Protocol, host: str, port: int) -> "Transport":
    """Return the transport of a protocol."""
    if protocol == "lsl":
        from spikeloom.live.lsl import Lsl

        return Lsl()
    from spikeloom.live import Tcp, Udp

    return (Tcp if protocol == "tcp" else Udp)(host, port)


def _is_loopback(host: str) -> bool:
    """Return whether an address reaches programs of this machine only."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _check_state(path: Path | None) -> None:
    """Raise a FileError unless a state can be written to a path."""
    if path is None:
        return
    if path.suffix != ".npz" or path.is_dir() or not path.parent.is_dir():
        raise FileError("--state must be an .npz file in an existing folder.", f"It was {str(path)!r}.", "")


def _restore(session: "Session", path: Path) -> None:
    """Continue the trial whose state was saved in a file."""
    import zipfile

    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:
            state = dict(file)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} is not the saved state of a live trial.", "NumPy cannot read it.", "Choose another --state."
        ) from error
    session.restore(state)


def _save(session: "Session", path: Path) -> None:
    """Save the state of the trial in a file (.npz), with which a later session can continue it."""
    import io

    import numpy as np

    from spikeloom.files import atomic_write

    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **session.state())
    atomic_write(path, content.getvalue())
    typer.echo(f"{path}: state after {counted(session.live.bins, 'bin')}")
