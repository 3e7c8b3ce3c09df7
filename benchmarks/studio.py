"""Measure the latency of the studio in the browser: from the end of a stroke to its first spikes on the screen.

    python -m benchmarks.studio demo/ldns --data demo/train.h5             # a run and its training trials
    python -m benchmarks.studio demo/ldns --data demo/train.h5 --strokes 100

The page is opened in chromium. Each stroke is a circle of 8 timed mouse moves in 0.8 s. The page marks the end of the
stroke, and the frame after the one in which the replay of its spikes begins. So the latency includes the request, the
server, the worker, the decoder and the drawing. Two times are printed for comparison, both on one thread of this
process: the time of `model.sample` for one trial of this length, and the time of the network's evaluations in it.
"""

import argparse
import math
import re
import shutil
import subprocess
import sys
import time
from typing import Any

import numpy as np
import torch

import spikeloom as sl
from spikeloom.models.common.base import Model
from spikeloom.models.ldns import LDNS

MOVES = 8
"""Number of mouse moves of a stroke."""

SECONDS = 0.8
"""Duration of a stroke, s."""

START_SECONDS = 300
"""Longest time until the server listens, s."""


def serve(run: str, data: str) -> tuple[subprocess.Popen[str], str]:
    """Start the studio of a run. Return its process and the address that it prints."""
    command = [sys.executable, "-m", "spikeloom", "studio", run, "--data", data, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    began = time.monotonic()
    while time.monotonic() - began < START_SECONDS:
        line = process.stdout.readline() if process.stdout else ""
        if match := re.search(r"http\S+token=\S+", line):
            return process, match.group()
        if process.poll() is not None:
            break
    process.terminate()
    raise SystemExit("the studio did not start")


def draw_circle(page: Any, radius: float) -> None:
    """Draw a circle with the mouse."""
    box = page.locator("#field").bounding_box()
    x = box["x"] + box["width"] / 2
    y = box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    began = time.perf_counter()
    for move in range(1, MOVES + 1):
        fraction = move / MOVES
        angle = 2 * math.pi * fraction**3 * (10 - 15 * fraction + 6 * fraction**2)  # minimum-jerk profile
        page.mouse.move(x + radius * (1 - math.cos(angle)), y - radius * math.sin(angle))
        time.sleep(max(0.0, began + SECONDS * fraction - time.perf_counter()))
    page.mouse.up()


def latencies(address: str, strokes: int) -> tuple[np.ndarray, int]:
    """Return the latency of each stroke, s, and the median number of bins."""
    from playwright.sync_api import sync_playwright

    bins: list[int] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(120_000)
        page.goto(address)
        page.wait_for_selector("#main[data-model]")
        page.select_option("#draws", "1")
        for stroke in range(strokes + 2):
            with page.expect_response(lambda response: response.url.endswith("/draw")) as caught:
                draw_circle(page, 40 + stroke % 7)
            bins.append(int(caught.value.json()["bins"]))
            while page.evaluate("performance.getEntriesByName('stroke-to-spikes').length") <= stroke:
                page.wait_for_timeout(20)
        entries = page.evaluate("performance.getEntriesByName('stroke-to-spikes').map((entry) => entry.duration)")
        browser.close()
    return np.array(entries[2:]) / 1000, int(np.median(bins))  # the first two warm up


def times_of_samples(model: Model, bins: int, repeats: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the time of each sample of one trial, and the time of the network's evaluations in it, s."""
    total = 0.0
    began = 0.0

    def start_clock(*_: object) -> None:
        nonlocal began
        began = time.perf_counter()

    def stop_clock(*_: object) -> None:
        nonlocal total
        total += time.perf_counter() - began

    if isinstance(model, LDNS):
        model.diffusion.backbone.register_forward_pre_hook(start_clock)
        model.diffusion.backbone.register_forward_hook(stop_clock)
    series = {name: np.zeros((bins, 2), np.float32) for name in model.facts.conditions.names}
    samples = np.zeros(repeats)
    network = np.zeros(repeats)
    for k in range(repeats):
        total = 0.0
        start = time.perf_counter()
        model.sample(1, n_bins=bins, condition=series, seed=k, progress=False)
        samples[k] = time.perf_counter() - start
        network[k] = total
    return samples, network


def main() -> None:
    """Print the latency of strokes, and the time of samples and of the network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="run folder or model folder of a model that is conditioned on a movement")
    parser.add_argument("--data", required=True, help="trials file of the training trials")
    parser.add_argument("--strokes", type=int, default=50)
    arguments = parser.parse_args()
    process, address = serve(arguments.run, arguments.data)
    try:
        seconds, bins = latencies(address, arguments.strokes)
    finally:
        process.terminate()
        process.wait()
    torch.set_num_threads(1)
    model = sl.load_model(arguments.run)
    samples, network = times_of_samples(model, bins, 22)
    p50, p99 = (1000 * np.quantile(seconds, (0.5, 0.99))).round()
    print(f"{model!r}, strokes of {bins} bins")
    print(f"end of the stroke to the first spikes, {len(seconds)} strokes: p50 {p50:.0f} ms, p99 {p99:.0f} ms")
    print(f"model.sample of one such trial: median {1000 * np.median(samples[2:]):.0f} ms")
    if network.any():
        print(f"evaluations of the network in it: median {1000 * np.median(network[2:]):.0f} ms")


if __name__ == "__main__":
    main()
