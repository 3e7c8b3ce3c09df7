"""The WebSocket of live trials, whose spikes are generated while the user moves the hand.

The first message of the client is `{"token", "model", "seed", "condition": {name: [x, y]}}`. Each further message holds
the condition of the next bin, `{"condition": {name: [x, y]}}`, or of several bins, `{"conditions": [{...}, ...]}`. The
server answers `{"bin": k, "spikes": [neurons]}` for every bin.

With `{"decode": [x, y]}` the client requests the path that is decoded from all spikes so far. Here x and y are the
position before the first bin. The answer is `{"decoded": [[x, y], ...], "r2": 0.7}`. After an error the server sends
`{"error": "a sentence"}` and ends the trial.
"""

import asyncio
import contextlib
import hmac
import json
import secrets
from collections.abc import Mapping

from fastapi import WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from spikeloom.errors import SpikeloomError
from spikeloom.studio.bodies import LiveBegin, LiveDecode, LiveSteps
from spikeloom.studio.security import Rejected, check_json
from spikeloom.studio.workers import Worker

FIRST_SECONDS = 5.0
"""Seconds within which the first message must arrive."""

IDLE_SECONDS = 120.0
"""Seconds within which each further message must arrive."""


async def live(socket: WebSocket, workers: Mapping[str, Worker], token: str) -> None:
    """Serve a live trial until the client leaves.

    Args:
        socket: The connection, not yet accepted.
        workers: Id of a model -> the worker of its live trials.
        token: Secret that the first message must hold.
    """
    await socket.accept()
    session = secrets.token_urlsafe(9)
    worker = None
    try:
        first = await _message(socket, FIRST_SECONDS)
        if not hmac.compare_digest(str(first.pop("token", "")).encode(), token.encode()):
            raise Rejected(401, "The token is missing or wrong. Open the address that `spikeloom studio` printed.")
        model_id = str(first.pop("model", ""))
        if model_id not in workers:
            raise Rejected(404, f"The model {model_id[:80]!r} cannot be live. It must generate bin by bin.")
        worker = workers[model_id]
        await worker.ask("live begin", LiveBegin.model_validate({**first, "session": session}).model_dump())
        while True:
            await _step(socket, worker, session)
    except WebSocketDisconnect:
        pass
    except Rejected as error:
        await _refuse(socket, error.sentence)
    except SpikeloomError as error:
        await _refuse(socket, str(error))
    except ValidationError:
        await _refuse(
            socket, 'A message must hold {"condition": {name: [x, y]}} with finite numbers, and the first one a seed.'
        )
    finally:
        if worker is not None:
            with contextlib.suppress(SpikeloomError):
                await asyncio.shield(worker.ask("live end", {"session": session}))


async def _step(socket: WebSocket, worker: Worker, session: str) -> None:
    """Read one message and answer it: with the spikes of the next bins, or with the path decoded from all spikes."""
    fields = await _message(socket, IDLE_SECONDS)
    if "decode" in fields:
        request = LiveDecode.model_validate({"session": session, "start": fields["decode"]})
        await socket.send_json(json.loads(await worker.ask("live decode", request.model_dump())))
        return
    conditions = fields.pop("conditions", None)
    conditions = [fields.pop("condition", {})] if conditions is None else conditions
    body = LiveSteps.model_validate({**fields, "session": session, "conditions": conditions})
    answer = json.loads(await worker.ask("live step", body.model_dump()))
    for k, spikes in enumerate(answer["spikes"]):
        await socket.send_json({"bin": answer["bin"] + k, "spikes": spikes})


async def _message(socket: WebSocket, seconds: float) -> dict[str, object]:
    """Return the next message, a JSON object.

    Raises:
        Rejected: if no message arrives within these seconds, or it is not text with valid JSON.
    """
    try:
        async with asyncio.timeout(seconds):
            text = await socket.receive_text()
    except TimeoutError:
        raise Rejected(408, f"There was no message for {seconds:g} s, so the live trial ended.") from None
    except KeyError:
        raise Rejected(400, "A message must be text.") from None
    check_json(text.encode())
    message: dict[str, object] = json.loads(text)
    return message


async def _refuse(socket: WebSocket, sentence: str) -> None:
    """Send an error and close the connection."""
    try:
        await socket.send_json({"error": sentence})
        await socket.close(1008)  # the code for a message that breaks the rules of the server
    except (RuntimeError, WebSocketDisconnect):  # the client has left
        return
