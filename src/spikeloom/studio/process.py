"""The process of a worker: it loads one model and runs the jobs that its parent, the server, sends.

Parent and worker exchange bytes. A job is the JSON text `[name, fields]`. An answer is a JSON text with the `status`
("ok", "refused" for a mistake of the user, "failed" for a fault of spikeloom) and a `message`, followed by the result.
"""

import json
import signal
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from spikeloom.errors import SpikeloomError


def serve(connection: Connection, name: str, run: str, files: Sequence[str]) -> None:
    """Load a model, then answer jobs until the parent closes the connection.

    Args:
        connection: Connection to the parent.
        name: Name of the model on the page.
        run: Path of the run folder.
        files: Trials files that the user named.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    from spikeloom.recipe import load_model
    from spikeloom.studio.facts import LoadedModel
    from spikeloom.studio.jobs import Session
    from spikeloom.studio.results import encoded
    from spikeloom.studio.training_data import training_trials
    from spikeloom.training.memory import keep_freed_memory

    keep_freed_memory()
    try:
        model = load_model(run)
        trials, note = training_trials(model, Path(run), [Path(path) for path in files])
        session = Session(LoadedModel(name, Path(run), model, trials, note))
        details = encoded(session.loaded.details())
    except SpikeloomError as error:
        _answer(connection, "refused", str(error))
        return
    except Exception:
        _answer(connection, "failed", traceback.format_exc())
        return
    _answer(connection, "ok", "", details)
    while True:
        try:
            job, fields = json.loads(connection.recv_bytes())
        except (EOFError, OSError):  # the parent has ended
            return
        try:
            result = session.run(job, fields)
        except SpikeloomError as error:
            _answer(connection, "refused", str(error))
        except Exception:
            _answer(connection, "failed", traceback.format_exc())
        else:
            _answer(connection, "ok", "", result)


def _answer(connection: Connection, outcome: str, message: str, result: bytes = b"") -> None:
    """Send an answer: its status, which is the outcome "ok", "refused" or "failed", and a message; then its result."""
    connection.send_bytes(json.dumps({"status": outcome, "message": message}).encode())
    connection.send_bytes(result)
