"""Measure the time of a training update and of sampling, beside the same matrix products and memory copies.

`python benchmarks/speed.py` takes some ten minutes on two idle cores and writes `speed-<hardware>.md` and `.json` into
`benchmarks/results`; `--size laptop` takes a minute. `python benchmarks/metrics.py` measures the metric panel.

An update is one update of `training.stage_run`: draws, forward, backward, clipping, AdamW, average. It has two limits:

* products: the floating-point work of its matrix products, at the rate that products of these shapes reach in the same
  process. A linear map from n to m channels costs 2 n m per bin forward and as much for each of two gradients; a
  convolution as a Toeplitz product costs 2 T per bin and channel, three times. Building kernels is not counted.
* copies: a block computes eleven tensors (channel, batch, time): normalised, convolved, after GELU, summed;
  normalised, twice two inside the small network, its output, summed. Forward, each is written and read; backward, it is
  read again and its gradient is written and read. This equals 27 copies of one such tensor per block.

Every case runs in its own process, because threads, waiting and the allocator are set once per process: one thread
waits passively, two wait actively as OpenMP does by default, which is faster on idle cores and much slower on busy
ones.
Times are medians. The ratio of wall times is to products and copies with the same threads at the same moment; CPU time
is all threads together, spinning included.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"

SIZES: dict[str, dict[str, int]] = {
    "tiny": dict(neurons=6, bins=20, batch=4, n_latents=4, width=8, denoiser=8, blocks=1, updates=4),
    "lorenz": dict(neurons=128, bins=256, batch=512, n_latents=8, width=256, denoiser=64, blocks=4, updates=4),
    "laptop": dict(neurons=97, bins=140, batch=32, n_latents=32, width=96, denoiser=128, blocks=4, updates=15),
}
"""The papers' Lorenz experiment, and the recipe `ldns-small` on a recording of 97 neurons."""

COPIES = 27
"""Copies of an activation tensor per block and update; see the module."""


def cases(size: str) -> list[dict[str, Any]]:
    """Return the timed cases, in order."""
    result = [
        dict(size=size, what=what, precision=precision, threads=threads, keep=True)
        for what in ("autoencoder", "denoiser")
        for precision in ("float32", "bf16")
        for threads in (1, 2)
    ]
    result += [
        dict(size=size, what=what, precision="float32", threads=2, keep=False) for what in ("autoencoder", "denoiser")
    ]
    drawn = [("float32", 1), ("float32", 2), ("bf16", 2)]
    return result + [dict(size=size, what="sampling", precision=kind, threads=n, keep=True) for kind, n in drawn]


# --- one case, in its own process --------------------------------------------------------------------------------


def run(case: dict[str, Any]) -> dict[str, Any]:
    """Measure one case."""
    import torch

    from spikeloom.training.memory import keep_freed_memory

    torch.set_num_threads(case["threads"])
    if case["keep"]:
        keep_freed_memory()
    size = SIZES[case["size"]]
    model = fitted(case, size)
    return sampling(model, size) if case["what"] == "sampling" else update(model, case, size)


def fitted(case: dict[str, Any], size: dict[str, int]) -> Any:
    """Return a model after a few updates on four trials, which is sufficient for timing."""
    from spikeloom.models.common.latent_settings import AutoencoderSettings, DenoiserSettings
    from spikeloom.models.ldns import LDNS
    from spikeloom.observation import ObservationModel, Poisson
    from spikeloom.training.plan import Plan

    plan: dict[str, Any] = dict(updates=size["updates"] + 2, batch=size["batch"], precision=case["precision"])
    model = LDNS(
        size["neurons"],
        n_latents=size["n_latents"],
        autoencoder_settings=AutoencoderSettings(width=size["width"], blocks=size["blocks"]),
        denoiser_settings=DenoiserSettings(width=size["denoiser"], blocks=size["blocks"]),
        observation=ObservationModel(Poisson(), None, None) if case["size"] == "lorenz" else ObservationModel(),
        autoencoder_plan=Plan(**plan),
        diffusion_plan=Plan(**plan, average=0.9999),
    )
    return model.fit(poisson(4, size), progress=False)


def poisson(trials: int, size: dict[str, int]) -> Any:
    """Return trials of independent Poisson counts; speed does not depend on the counts."""
    import numpy as np

    from spikeloom.trials import Trials

    counts = np.random.default_rng(0).poisson(0.3, (trials, size["bins"], size["neurons"]))
    return Trials(counts, 0.005)


def update(model: Any, case: dict[str, Any], size: dict[str, int]) -> dict[str, Any]:
    """Measure the median time of an update, from one call of the loss to the next, and its limits."""
    import torch

    from spikeloom.training.stage import Stage
    from spikeloom.training.train import train

    clock: list[tuple[float, float, int]] = []

    def measured(batch: Any, streams: Any) -> Any:
        clock.append((time.perf_counter(), time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt))
        return loss(batch, streams)

    if case["what"] == "autoencoder":
        stage = next(model.stages(poisson(size["batch"], size), None))
        loss = stage.loss
        data = stage.data
        modules = [model.encoder, model.readout.decoder]
    else:
        shape = (size["batch"], size["bins"])
        data = {"latents": torch.randn(*shape, size["n_latents"]), "mask": torch.ones(shape, dtype=torch.bool)}
        loss = model.denoising
        modules = [model.diffusion]
    plan = model.autoencoder_plan if case["what"] == "autoencoder" else model.diffusion_plan
    train([Stage("timed", torch.nn.ModuleList(modules), measured, data, plan)], seed=0, progress=False)
    steps = [[b - a for a, b in zip(*pair, strict=True)] for pair in pairwise(clock)][1:]
    wall, cpu, faults = (statistics.median(column) for column in zip(*steps, strict=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return dict(wall=wall, cpu=cpu, faults=faults, peak_gb=peak) | limits(modules, case, size)


def limits(modules: list[Any], case: dict[str, Any], size: dict[str, int]) -> dict[str, float]:
    """Return the floating-point work of an update in GFLOP, and the seconds of its products and copies alone."""
    import torch

    from spikeloom.nn.ssm import S4D
    from spikeloom.nn.stack import GroupedLinear

    parts = [part for module in modules for part in module.modules()]
    columns = size["batch"] * size["bins"]
    bins = size["bins"]
    mixing = sum(6 * part.weight.numel() * columns for part in parts if isinstance(part, GroupedLinear))
    layers = [part for part in parts if isinstance(part, S4D)]
    along = sum(6 * len(part.skip) * columns * bins for part in layers)
    width = len(layers[0].skip)
    dtype = torch.bfloat16 if case["precision"] == "bf16" else torch.float32
    weight = torch.randn(2 * width, width).to(dtype)
    x = torch.randn(width, size["batch"], bins).to(dtype)
    matrices = torch.randn(width, bins, bins).to(dtype)
    y = torch.empty_like(x)
    mix = 4 * width * width * columns / seconds(lambda: weight @ x.view(width, -1))
    toeplitz = 2 * width * columns * bins / seconds(lambda: torch.bmm(x, matrices, out=y))
    copies = COPIES * len(layers) * seconds(lambda: y.copy_(x))
    result = dict(
        mixing_gflop=mixing / 1e9, toeplitz_gflop=along / 1e9, mixing_rate=mix / 1e9, toeplitz_rate=toeplitz / 1e9
    )
    return result | dict(products=mixing / mix + along / toeplitz, copies=copies)


def sampling(model: Any, size: dict[str, int]) -> dict[str, Any]:
    """Measure trials per second with the default sampler, and with 1000 ancestral steps, extrapolated from 20."""
    from spikeloom.diffusion.sampler import DDPM

    def draw(**chosen: Any) -> float:
        return seconds(lambda: model.sample(64, n_bins=size["bins"], progress=False, **chosen), times=3)

    default = draw()
    twenty = draw(sampler=DDPM(20))
    ten = draw(sampler=DDPM(10))
    thousand = twenty + 98 * (twenty - ten)
    return dict(evaluations=model.sampler.evaluations, wall=default, per_second=64 / default, ancestral=64 / thousand)


def seconds(call: Callable[[], object], *, times: int = 7) -> float:
    """Return the median wall time of a call."""
    call()
    result = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        result.append(time.perf_counter() - began)
    return statistics.median(result)


# --- all cases, and the page ---------------------------------------------------------------------------------------


def hardware() -> str:
    """Return the name and number of the processors."""
    name = platform.processor() or platform.machine()
    flags = ""
    if Path("/proc/cpuinfo").exists():
        text = Path("/proc/cpuinfo").read_text()
        name = next((row.split(":")[1].strip() for row in text.splitlines() if row.startswith("model name")), name)
        flags = " with AMX" if "amx_bf16" in text else " with AVX-512" if "avx512f" in text else ""
    return f"{os.cpu_count()} x {name}{flags}"


def child(case: dict[str, Any]) -> dict[str, Any]:
    """Measure one case in a new process."""
    threads = {"OMP_NUM_THREADS": str(case["threads"])}
    threads |= {} if case["threads"] > 1 else {"OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, __file__, "--case", json.dumps(case)]
    inherited = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run(command, env=inherited | threads, check=True, capture_output=True, text=True)
    return case | json.loads(done.stdout.splitlines()[-1])


def line(row: dict[str, Any]) -> str:
    """Return a row of the table of updates."""
    cells = [
        f"{row['size']} {row['what']}",
        row["precision"],
        str(row["threads"]),
        "yes" if row["keep"] else "no",
        f"{row['wall']:.3f}",
        f"{row['cpu']:.3f}",
        f"{row['mixing_gflop']:.1f} + {row['toeplitz_gflop']:.1f}",
        f"{row['products']:.3f}",
        f"{row['copies']:.3f}",
        f"{row['wall'] / row['products']:.1f}",
        f"{row['wall'] / (row['products'] + row['copies']):.1f}",
        f"{row['faults']:,.0f}",
        f"{row['peak_gb']:.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


HEAD = """\
| update | precision | threads | memory kept | wall s | CPU s | GFLOP, channels + time | products, s \
| copies, s | wall / products | wall / both | page faults | peak GB |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"""

SAMPLING = """
| sampling, 64 trials at once | precision | threads | trials/s | s per 1,000 trials | trials/s, 1000 ancestral |
| --- | --- | --- | --- | --- | --- |"""


def page(rows: list[dict[str, Any]], about: dict[str, str]) -> str:
    """Return the tables as Markdown."""
    text = [f"{name}: {value}  " for name, value in about.items()] + ["", HEAD]
    text += [line(row) for row in rows if row["what"] != "sampling"] + [SAMPLING]
    for row in rows:
        if row["what"] == "sampling":
            text.append(
                f"| {row['size']}, {row['evaluations']} evaluations | {row['precision']} | {row['threads']} "
                f"| {row['per_second']:.1f} | {1000 / row['per_second']:.1f} | {row['ancestral']:.2f} |"
            )
    return "\n".join(text) + "\n"


def main() -> None:
    """Run the cases, print and keep the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=[*SIZES, "all"], default="all")
    parser.add_argument("--quick", action="store_true", help="only two threads and kept memory")
    parser.add_argument("--only", choices=["autoencoder", "denoiser", "sampling"], help="one kind of case")
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(run(options.case)))
        return
    import torch

    began = os.getloadavg()[0]
    rows = []
    chosen = [
        case
        for size in SIZES
        if size == options.size or (options.size == "all" and size != "tiny")
        for case in cases(size)
    ]
    chosen = [case for case in chosen if options.only in (None, case["what"])]
    for case in [case for case in chosen if not options.quick or (case["threads"] == 2 and case["keep"])]:
        rows.append(child(case))
        print(
            json.dumps({key: round(value, 4) if isinstance(value, float) else value for key, value in rows[-1].items()})
        )
    load = f"{began:.1f} at the start, {os.getloadavg()[0]:.1f} at the end; on {os.cpu_count()} cores"
    about = {"hardware": hardware(), "torch": torch.__version__, "load": load}
    slug = "".join(letter if letter.isalnum() else "-" for letter in about["hardware"].lower()).strip("-")
    name = f"speed-{slug}" + ("" if options.size == "all" else f"-{options.size}") + ("-quick" if options.quick else "")
    name += f"-{options.only}" if options.only else ""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    (RESULTS / f"{name}.md").write_text(page(rows, about))
    print(page(rows, about))


if __name__ == "__main__":
    main()
