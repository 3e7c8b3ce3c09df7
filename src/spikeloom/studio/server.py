"""The server of the studio: routes between the page and the workers.

`/` and `/static/...` return the files of the page. Requests to `/api/` need the header `Authorization: Bearer TOKEN`;
for the WebSocket, the first message holds the token instead. An error is answered with `{"error": "a sentence"}`. The
module `security` checks each request before it reaches a route, and the module `bodies` defines the fields of the
bodies.

============================================ =========================================================================
GET /api/models                              `{"models": [{"id", "name", "kind", "recipe", "abilities"}]}`
GET /api/models/{id}                         details: see `facts.LoadedModel.details`
POST /api/models/{id}/draw                   body `Draw`; spikes for a drawn hand path, decoded paths, R^2, warnings
POST /api/models/{id}/turn                   body `Turn`; trials of a condition, PSTH and Fano factors
POST /api/models/{id}/traverse               body `Traverse`; a trial of a moved code
POST /api/models/{id}/pair                   body `Pair`; a recorded trial beside generated trials of its conditions
POST /api/models/{id}/quiz                   body `Quiz`; pairs of a recorded and a generated trial
POST /api/quiz/{quiz id}/answer              body `Answer`; `{"correct", "score", "answered"}`
GET /api/models/{id}/classifier              `{"accuracy", "floor"}` of recorded against generated trials
POST /api/models/{id}/download               body `Repeated`; a file of the trials of an earlier request
POST /api/models/{id}/lines                  body `Repeated`; `{"python", "shell"}`: code that generates these trials
WebSocket /api/live                          see `live`
============================================ =========================================================================
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from spikeloom.studio.bodies import Answer, Body, Draw, Pair, Quiz, Repeated, Traverse, Turn, fault_of
from spikeloom.studio.live import live
from spikeloom.studio.quizzes import Quizzes
from spikeloom.studio.results import encoded
from spikeloom.studio.security import BODY_SECONDS, RATES, Guard, Rates
from spikeloom.studio.workers import Busy, Failed, Refused, Worker

PAGE = Path(__file__).parent / "page"
"""Folder of the page's files."""

TYPES = {"h5": "application/x-hdf5", "nwb": "application/x-hdf5", "csv": "text/csv; charset=utf-8"}
"""Maps the ending of a file to its media type."""


class Studio:
    """The models of a server.

    Args:
        workers: Id of a model -> its worker, already started.
        details: Id of a model -> its details as JSON.
    """

    def __init__(self, workers: Mapping[str, Worker], details: Mapping[str, bytes]) -> None:
        self.workers = dict(workers)
        self.details = dict(details)
        self.quizzes = Quizzes()
        details_of_models = {key: json.loads(text) for key, text in details.items()}
        fields = ("name", "kind", "recipe", "abilities")
        self.models = [
            {"id": key, **{name: values[name] for name in fields}} for key, values in details_of_models.items()
        ]
        # a second process of each model for live trials, which other requests cannot delay
        self.live_workers = {
            key: Worker(f"{key} live", worker.run, worker.files)
            for key, worker in self.workers.items()
            if details_of_models[key]["abilities"]["live"]
        }
        for worker in self.live_workers.values():
            worker.start()  # returns at once; requests wait until the model is loaded

    def worker(self, key: str) -> Worker:
        """Return the worker of a model. Raise an HTTPException if there is no such model."""
        if key not in self.workers:
            names = ", ".join(self.workers)
            raise HTTPException(404, f"There is no model {key[:80]!r}. The models are {names}.")
        return self.workers[key]

    async def run(self, request: Request, key: str, job: str, body: Body | None = None) -> bytes:
        """Run a job in the worker of a model, and cancel it when the client leaves.

        Args:
            request: The request, which shows whether its client has left.
            key: Id of the model.
            job: Name of the job.
            body: Checked body of the request, or None if the job needs none.
        """
        result = asyncio.ensure_future(self.worker(key).ask(job, body.model_dump() if body else {}))
        departure = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait({result, departure}, return_when=asyncio.FIRST_COMPLETED)
            if not result.done():
                raise HTTPException(499, "The client left.")  # nobody reads the answer
            return result.result()
        finally:
            result.cancel()
            departure.cancel()

    def close(self) -> None:
        """End all workers."""
        for worker in (*self.workers.values(), *self.live_workers.values()):
            worker.close()


def application(
    studio: Studio, *, token: str, hosts: frozenset[str], rates: Rates = RATES, body_seconds: float = BODY_SECONDS
) -> Guard:
    """Return the application with all routes, behind the `Guard` that checks each request.

    Args:
        studio: The models.
        token: Secret that requests must hold.
        hosts: Values of the `Host` header under which the server is reached.
        rates: Numbers of requests that a client may send, as in `security.RATES`.
        body_seconds: Seconds within which a body must arrive.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        """End all workers when the server stops."""
        yield
        await asyncio.to_thread(studio.close)

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    _add_errors(app)
    _add_models(app, studio)
    _add_comparison(app, studio)
    _add_files(app, studio)
    app.mount("/static", StaticFiles(directory=PAGE, check_dir=False))

    @app.websocket("/api/live")
    async def live_trial(socket: WebSocket) -> None:
        """Serve a live trial."""
        await live(socket, studio.live_workers, token)

    @app.get("/")
    async def page() -> Response:
        """Return the page."""
        if not (PAGE / "index.html").is_file():
            raise HTTPException(404, "The files of the page are missing. Install spikeloom again.")
        return Response((PAGE / "index.html").read_bytes(), media_type="text/html; charset=utf-8")

    return Guard(app, token=token, hosts=hosts, rates=rates, body_seconds=body_seconds)


def _add_models(app: FastAPI, studio: Studio) -> None:
    """Add the routes that list the models and that generate trials. `key` is the id of a model."""

    @app.get("/api/models")
    async def models() -> Response:
        """Return the list of models."""
        return JSONResponse({"models": studio.models})

    @app.get("/api/models/{key}")
    async def details(key: str) -> Response:
        """Return the details of a model."""
        studio.worker(key)  # raises an error if there is no such model
        return _json(encoded({"id": key})[:-1] + b"," + studio.details[key][1:])  # joins two JSON objects

    @app.post("/api/models/{key}/draw")
    async def draw(key: str, body: Draw, request: Request) -> Response:
        """Generate trials for a drawn stroke."""
        return _json(await studio.run(request, key, "draw", body))

    @app.post("/api/models/{key}/turn")
    async def turn(key: str, body: Turn, request: Request) -> Response:
        """Generate trials of one condition."""
        return _json(await studio.run(request, key, "turn", body))

    @app.post("/api/models/{key}/traverse")
    async def traverse(key: str, body: Traverse, request: Request) -> Response:
        """Generate a trial from a moved code."""
        return _json(await studio.run(request, key, "traverse", body))


def _add_comparison(app: FastAPI, studio: Studio) -> None:
    """Add the routes that compare recorded and generated trials."""

    @app.post("/api/models/{key}/pair")
    async def pair(key: str, body: Pair, request: Request) -> Response:
        """Return a recorded trial and generated trials of its condition."""
        return _json(await studio.run(request, key, "pair", body))

    @app.post("/api/models/{key}/quiz")
    async def quiz(key: str, body: Quiz, request: Request) -> Response:
        """Begin a quiz."""
        return JSONResponse(studio.quizzes.begin(await studio.run(request, key, "quiz", body)))

    @app.post("/api/quiz/{key}/answer")
    async def answer(key: str, body: Answer) -> Response:
        """Take the answer to one pair of a quiz. Here `key` is the id of the quiz."""
        return JSONResponse(studio.quizzes.answer(key, body))

    @app.get("/api/models/{key}/classifier")
    async def classifier(key: str, request: Request) -> Response:
        """Return the accuracy of a classifier of recorded against generated trials."""
        return _json(await studio.run(request, key, "classifier"))


def _add_files(app: FastAPI, studio: Studio) -> None:
    """Add the routes that return the trials of an earlier request as a file or as lines of code."""

    @app.post("/api/models/{key}/download")
    async def download(key: str, body: Repeated, request: Request) -> Response:
        """Return a file with the trials of an earlier request."""
        content = await studio.run(request, key, "download", body)
        headers = {"Content-Disposition": f'attachment; filename="{key}-{body.request["kind"]}.{body.format}"'}
        return Response(content, media_type=TYPES[body.format], headers=headers)

    @app.post("/api/models/{key}/lines")
    async def lines(key: str, body: Repeated, request: Request) -> Response:
        """Return lines of Python and of the shell that generate the trials of an earlier request."""
        return _json(await studio.run(request, key, "lines", body))


def _add_errors(app: FastAPI) -> None:
    """Answer each kind of error with a status code and a sentence."""

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        """Answer a request whose body has wrong fields."""
        return _error(422, fault_of(error.errors()[0]))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        """Answer a request with a wrong path or method, or one that a route refused."""
        if error.status_code == 404 and error.detail == "Not Found":
            return _error(404, f"There is nothing at {request.url.path[:80]!r}.")
        if error.status_code == 405:
            return _error(405, f"The method {request.method} is not supported at {request.url.path[:80]!r}.")
        return _error(error.status_code, str(error.detail))

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Response:
        """Answer a request that is invalid for its model."""
        return _error(422, str(error))

    @app.exception_handler(Busy)
    async def busy(_: Request, error: Busy) -> Response:
        """Answer a request for which the worker has no time."""
        return _error(503, str(error))

    @app.exception_handler(Failed)
    async def failed(_: Request, error: Failed) -> Response:
        """Answer a request on which the worker failed."""
        return _error(500, str(error))

    @app.exception_handler(Exception)
    async def unexpected(_: Request, _exception: Exception) -> Response:
        """Answer a request on which the server itself failed."""
        return _error(500, "The server failed on this request. Its terminal shows the error.")


def _error(code: int, sentence: str) -> Response:
    """Return an answer with an error."""
    return JSONResponse({"error": sentence}, code)


def _json(body: bytes) -> Response:
    """Return an answer whose body is JSON text."""
    return Response(body, media_type="application/json")


async def _disconnected(request: Request) -> None:
    """Wait until the client of a request leaves."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
