"""Measure the latency of live spikes over TCP: server and client in two processes of this machine.

    python -m benchmarks.live_loop --neurons 190 --bin-width 0.02 --minutes 10

First, bins are generated in real time, and the client sends 100 samples of a velocity per second. The delay is the time
from the end of a bin until its spikes are sent. A bin counts as missed if the delay is longer than a bin. Then the
client requests bins one after another: the round trip is the time from its message until it has read the bin. The model
is trained for two updates only; the time of a step does not depend on the values of the weights.
"""

import argparse
import gc
import json
import os
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import torch

import spikeloom as sl
from spikeloom.live import Background, Session, Tcp
from spikeloom.live.statistics import Durations
from spikeloom.models.common.base import Model

SAMPLES_PER_SECOND = 100


def untrained(neurons: int, bin_width: float, n_latents: int) -> Model:
    """Return an AutoregressiveLDNS that follows a velocity, after two updates on simulated trials."""
    trials = sl.simulate.lorenz(60, n_neurons=neurons, n_bins=round(0.7 / bin_width), seed=0)
    velocity = np.random.default_rng(0).normal(size=(*trials.counts.shape[:2], 2))
    counts = np.minimum(trials.counts, 255)
    moving = sl.Trials(counts, bin_width, behavior={"hand_vel": velocity}, units={"hand_vel": "m/s"})
    changes = [f"n_latents={n_latents}", "autoencoder_plan.updates=2", "code_plan.updates=2"]
    changes += ["autoencoder_plan.batch=16", "autoencoder_settings.blocks=1", 'condition=["hand_vel"]']
    return sl.fit("autoregressive-ldns-small", moving, changes=changes, progress=False)


def client_on_the_clock(port: int, seconds: float) -> dict[str, float]:
    """Send samples and read bins for some time. Return the number of bins, of lost ones, and of late samples."""
    with socket.create_connection(("127.0.0.1", port)) as server, server.makefile("rb") as lines:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # otherwise TCP holds small messages back
        lines.readline()
        stop = threading.Event()

        def send() -> None:
            began = time.monotonic()
            number = 0
            while not stop.is_set():
                message = {"time": time.monotonic(), "condition": {"hand_vel": [np.sin(number / 50), 0.1]}}
                server.sendall(json.dumps(message).encode() + b"\n")
                number += 1
                time.sleep(max(0.0, began + number / SAMPLES_PER_SECOND - time.monotonic()))

        sender = threading.Thread(target=send)
        sender.start()
        ends = time.monotonic() + seconds
        last = -1
        bins = 0
        lost = 0
        late = 0
        while time.monotonic() < ends:
            answer = json.loads(lines.readline())
            lost += answer["bin"] - last - 1
            last = answer["bin"]
            bins = bins + 1
            late = late + answer["late"]
        stop.set()
        sender.join()
    return {"bins": bins, "lost": lost, "late": late}


def client_of_requests(port: int, requests: int) -> dict[str, float]:
    """Request bins one after another. Return quantiles of the round trip, s."""
    trips = Durations()
    with socket.create_connection(("127.0.0.1", port)) as server, server.makefile("rb") as lines:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines.readline()
        for number in range(requests + 200):
            message = json.dumps({"condition": {"hand_vel": [np.sin(number / 50), 0.1]}}).encode() + b"\n"
            began = time.perf_counter()
            server.sendall(message)
            lines.readline()
            if number >= 200:  # after the warm-up
                trips.add(time.perf_counter() - began)
    return {str(part): trips.quantile(part) for part in (0.5, 0.99, 0.999)} | {"largest": trips.largest}


def run_client(kind: str, server: Background, amount: float) -> dict[str, float]:
    """Run a client in a process of its own, and return its result."""
    port = server.address.rsplit(":", 1)[1]
    line = [sys.executable, "-m", "benchmarks.live_loop", "--client", kind, "--port", port, "--amount", str(amount)]
    return json.loads(subprocess.run(line, capture_output=True, text=True, check=True).stdout)


def microseconds(durations: Durations) -> str:
    """Return quantiles as text, µs."""
    return "p50 {:.0f}, p99 {:.0f}, p99.9 {:.0f}".format(
        *(1e6 * durations.quantile(part) for part in (0.5, 0.99, 0.999))
    )


def main() -> None:
    """Print the latencies. With `--client`, run as the client of another process instead."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neurons", type=int, default=190)
    parser.add_argument("--bin-width", type=float, default=0.02)
    parser.add_argument("--latents", type=int, default=96)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--client", choices=("clock", "request"), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--amount", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client == "clock":
        print(json.dumps(client_on_the_clock(options.port, options.amount)))
        return
    if options.client == "request":
        print(json.dumps(client_of_requests(options.port, int(options.amount))))
        return
    torch.set_num_threads(1)
    model = untrained(options.neurons, options.bin_width, options.latents)
    gc.freeze()
    session = Session(model, seed=0)
    with Background(session, Tcp(port=0)) as server:
        clock = run_client("clock", server, 60 * options.minutes)
    statistics = session.statistics
    with Background(Session(model, seed=0), Tcp(port=0), pace="request") as server:
        trips = run_client("request", server, options.requests)
    load = os.getloadavg()[1]
    print(
        f"{options.neurons} channels, {1000 * options.bin_width:g} ms, {options.minutes:g} minutes, "
        f"{clock['bins']} bins"
    )
    print(f"  load of the machine {load:.1f} on {os.cpu_count()} cores")
    print(f"  step (us): {microseconds(statistics.steps)}, largest {1e6 * statistics.steps.largest:.0f}")
    print(f"  delay (us): {microseconds(statistics.delays)}, largest {1e6 * statistics.delays.largest:.0f}")
    print(f"  missed {statistics.missed}, lost {clock['lost']}, late {clock['late']}, dropped {statistics.dropped}")
    names = {"0.5": "p50", "0.99": "p99", "0.999": "p99.9", "largest": "largest"}
    print("  round trip (us):", ", ".join(f"{names[key]} {1e6 * value:.0f}" for key, value in trips.items()))


if __name__ == "__main__":
    main()
