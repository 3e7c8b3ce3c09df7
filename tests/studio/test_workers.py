"""A worker can be cancelled, limited in time and in queue, and starts again."""

import asyncio
import time

import pytest

from spikeloom.studio import workers
from spikeloom.studio.bodies import Draw, Turn
from spikeloom.studio.workers import Busy, Refused, Worker
from tests.studio.conftest import STROKE

DRAW = Draw(points=STROKE).model_dump()
LONG = Turn(condition={"angle_deg": 10.0}, draws=200).model_dump()


@pytest.fixture(scope="module")
def worker(runs):
    """Worker of the model that is conditioned on a direction."""
    one = Worker("turn", str(runs / "turn"), [])
    one.start().result()
    yield one
    one.close()
    assert one._process is None


async def cancelled_after(worker: Worker, seconds: float) -> None:
    """Begin a long request and cancel it."""
    work = asyncio.ensure_future(worker.ask("turn", LONG))
    await asyncio.sleep(seconds)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


def test_a_cancelled_request_ends_its_process_and_the_next_one_is_answered(worker, monkeypatch):
    monkeypatch.setattr(workers, "GRACE", 0.0)
    before = worker._process.pid

    async def both() -> bytes:
        await cancelled_after(worker, 0.1)
        return await worker.ask("turn", {**LONG, "draws": 1})

    assert b'"psth"' in asyncio.run(both())
    assert worker._process.pid != before


def test_a_request_that_finishes_within_the_grace_keeps_its_process(worker, monkeypatch):
    monkeypatch.setattr(workers, "GRACE", 30.0)
    before = worker._process.pid

    async def both() -> bytes:
        await cancelled_after(worker, 0.05)
        return await worker.ask("turn", {**LONG, "draws": 1})

    assert b'"psth"' in asyncio.run(both())
    assert worker._process.pid == before


def test_a_cancelled_request_in_the_queue_is_never_run(worker):
    async def three() -> float:
        running = asyncio.ensure_future(worker.ask("turn", {**LONG, "draws": 40}))
        await asyncio.sleep(0.05)
        waiting = [asyncio.ensure_future(worker.ask("turn", LONG)) for _ in range(5)]
        await asyncio.sleep(0.05)
        for one in waiting:
            one.cancel()
        start = time.monotonic()
        await running
        await worker.ask("turn", {**LONG, "draws": 1})
        return time.monotonic() - start

    async def alone() -> float:
        start = time.monotonic()
        await worker.ask("turn", LONG)
        return time.monotonic() - start

    assert asyncio.run(three()) < 4 * asyncio.run(alone())


def test_a_full_queue_refuses_with_a_sentence(worker):
    async def crowd() -> list[object]:
        return await asyncio.gather(
            *(worker.ask("turn", {**LONG, "draws": 1}) for _ in range(12)), return_exceptions=True
        )

    results = asyncio.run(crowd())
    assert sum(isinstance(one, bytes) for one in results) == workers.MOST_WAITING
    assert all("no further one can wait" in str(one) for one in results if isinstance(one, Busy))
    assert worker._waiting == 0


def test_a_request_that_takes_too_long_is_stopped(worker, monkeypatch):
    monkeypatch.setattr(worker, "limit", 0.05)
    with pytest.raises(Busy, match=r"did not answer within 0\.05 s"):
        asyncio.run(worker.ask("turn", LONG))
    monkeypatch.setattr(worker, "limit", 60.0)
    assert asyncio.run(worker.ask("turn", {**LONG, "draws": 1}))


def test_a_process_that_dies_is_started_again(worker):
    worker._process.kill()
    worker._process.join()
    assert asyncio.run(worker.ask("turn", {**LONG, "draws": 1}))


def test_mistakes_are_sentences(worker):
    with pytest.raises(Refused, match="nothing can be drawn"):
        asyncio.run(worker.ask("draw", DRAW))
    with pytest.raises(Refused, match="There is no such job"):
        asyncio.run(worker.ask("none", {}))


def test_a_damaged_model_is_named(runs, tmp_path):
    (tmp_path / "model").mkdir()
    for path in (runs / "draw" / "model").iterdir():
        content = path.read_bytes()
        (tmp_path / "model" / path.name).write_bytes(content[:-9] if path.suffix == ".safetensors" else content)
    one = Worker("damaged", str(tmp_path), [])
    try:
        with pytest.raises(Refused, match=r"model\.safetensors"):
            one.start().result()
    finally:
        one.close()


def test_missing_training_trials_are_named(runs, tmp_path):
    import shutil

    shutil.copytree(runs / "draw", tmp_path / "deep" / "in" / "draw")
    one = Worker("draw", str(tmp_path / "deep" / "in" / "draw"), [])
    try:
        with pytest.raises(Refused, match=r"Add --data train\.h5"):
            one.start().result()
    finally:
        one.close()
