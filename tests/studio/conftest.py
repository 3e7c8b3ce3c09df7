"""Tiny models, fitted once per session, and a real server of them in a thread."""

import dataclasses
import math
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest

import spikeloom as sl
from spikeloom.studio.security import RATES
from spikeloom.trials import Trials
from tests.studio.opened import CHROMIUM, TOKEN, Opened

STROKE = [[0.05 * math.cos(7 * t) - 0.05, 0.05 * math.sin(7 * t), t] for t in np.linspace(0, 0.8, 60).tolist()]
"""A circle of 5 cm in 0.8 s, with 60 points."""

POISSON = ['observation.counts="Poisson"', 'observation.history="none"', 'observation.noise="none"']
"""Changes that leave out the calibration of the observation model, which takes longer than a tiny training."""

RECIPES = {
    "draw": (
        "ldns-tiny",
        ['condition=["hand_velocity"]', "autoencoder_plan.updates=20", "diffusion_plan.updates=20", *POISSON],
    ),
    "turn": ("ldns-tiny-direction", ["autoencoder_plan.updates=20", "diffusion_plan.updates=20"]),
    "codes": ("gnocchi-tiny", ["plan.updates=40"]),
    "live": (
        "autoregressive-ldns-tiny",
        ['condition=["hand_velocity"]', "autoencoder_plan.updates=20", "code_plan.updates=20", *POISSON],
    ),
}
"""Maps the name of each run to its recipe and the changes of it."""


@pytest.fixture(scope="session")
def recorded() -> Trials:
    """Simulated reaches with the direction of each reach, in steps of 45 degrees."""
    trials = sl.simulate.reaching(120, n_neurons=12, seed=0)
    table = trials.conditions
    direction = np.degrees(np.arctan2(table["target_y"] - table["start_y"], table["target_x"] - table["start_x"]))
    angles = {"angle_deg": np.round(direction / 45) % 8 * 45.0}
    return dataclasses.replace(trials, conditions={**table, **angles})


@pytest.fixture(scope="session")
def runs(recorded: Trials, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the runs of all models and their training trials."""
    folder = tmp_path_factory.mktemp("studio")
    recorded.save(folder / "train.h5")
    for name, (recipe, changes) in RECIPES.items():
        sl.fit(recipe, recorded, changes=changes, seed=0, out=folder / name, progress=False)
    return folder


class Served(NamedTuple):
    """A running server and a client that knows its token."""

    port: int
    client: httpx.Client
    folder: Path

    @property
    def base(self) -> str:
        """Address of the server."""
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="session")
def serve(runs: Path) -> Callable[..., Iterator[Served]]:
    """Function that serves some of the runs in a thread until its iterator ends."""

    def serving(*names: str, **options: object) -> Iterator[Served]:
        import uvicorn

        from spikeloom.studio.launch import config_of, hosts_of, open_port, start_studio
        from spikeloom.studio.server import application

        listening = open_port("127.0.0.1", 0)
        port = listening.getsockname()[1]
        studio = start_studio([runs / name for name in names], [], lambda _line: None)
        app = application(studio, token=TOKEN, hosts=hosts_of("127.0.0.1", port), **options)
        server = uvicorn.Server(config_of(app))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            headers = {"Authorization": f"Bearer {TOKEN}"}
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
                yield Served(port, client, runs)
        finally:
            server.should_exit = True
            thread.join()
            listening.close()

    return serving


@pytest.fixture(scope="session")
def served(serve: Callable[..., Iterator[Served]]) -> Iterator[Served]:
    """A server of all models."""
    yield from serve(*RECIPES, body_seconds=2.0, rates=dict.fromkeys(RATES, (1e6, 1e6)))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's chromium, driven by Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser: Any, served: Served) -> Iterator[Opened]:
    """The page in a tab of its own."""
    tab = Opened(browser, served.base)
    yield tab
    tab.close()
