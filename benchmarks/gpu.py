"""Measure training and sampling of the papers' recipes at full size, beside the matrix products that the card can do.

    python -m benchmarks.gpu                  # on a GPU, about half an hour; writes benchmarks/results/gpu-<card>.md
    python -m benchmarks.gpu --device cpu     # tiny recipes on a CPU, a minute; checks the script

Trials are Poisson counts, because speed does not depend on the counts. The batch is doubled until the memory of the
card is full. For each batch, the first table has the trials per second of one update, in float32 and bf16, without and
with `torch.compile`. Another table has the trials per second of `Model.sample`, from noise to counts with the default
sampler of the package, also with CUDA graphs (`torch.compile(mode="reduce-overhead")`). Times are medians of updates,
or of repetitions.

The limit is the rate at which the card multiplies two large matrices in that precision, divided by the floating-point
work of the matrix products of one trial, which `torch.utils.flop_counter` counts. FFTs and element-wise operations are
not counted, so the limit cannot be reached.
"""

import argparse
import re
import statistics
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from spikeloom.diffusion.sampler import DEFAULT
from spikeloom.models.common.base import Model
from spikeloom.models.common.facts import Facts
from spikeloom.recipe import read_recipe
from spikeloom.trials import Trials

RESULTS = Path(__file__).parent / "results"

UPDATES = 8
"""Timed updates of each stage. The first two are left out, because they compile and reserve memory."""

MOST = 2**14
"""Largest batch."""

COMPILED: Mapping[str, Mapping[str, str] | None] = {
    "as written": None,
    "compiled": {},
    "CUDA graphs": {"mode": "reduce-overhead"},
}
"""Ways to run the networks, and the arguments of `torch.compile`; None does not compile."""

NETWORKS = ("Stack", "TrialEncoder", "Generator", "VectorBackbone")
"""Classes of the modules that are compiled."""


@dataclass(frozen=True)
class Case:
    """A recipe and the size of the recording of its paper.

    Args:
        recipe: Name of the recipe.
        n_neurons: Neurons.
        n_bins: Bins of a trial.
        first: Smallest batch.
    """

    recipe: str
    n_neurons: int
    n_bins: int
    first: int = 64


FULL = (
    Case("ldns-maze", 182, 140),
    Case("ldns-lorenz", 128, 256),
    Case("lfads-maze", 182, 140),
    Case("gnocchi-small", 182, 140),
)
TINY = (
    Case("ldns-tiny", 6, 20, first=4),
    Case("lfads-tiny", 6, 20, first=4),
    Case("gnocchi-tiny", 6, 20, first=4),
)


@dataclass(frozen=True)
class Row:
    """One measurement.

    Args:
        what: Recipe, and stage of the training or "sampling".
        precision: "float32" or "bf16".
        compiled: Name in `COMPILED`.
        batch: Trials at once.
        rate: Trials per second.
        limit: Trials per second of the matrix products alone.
        memory: Peak memory of the card in GB; 0 on a CPU.
    """

    what: str
    precision: str
    compiled: str
    batch: int
    rate: float
    limit: float
    memory: float


# --- models --------------------------------------------------------------------------------------------------------


def plans(recipe: str) -> list[str]:
    """Return the names of the plans of a recipe's stages."""
    settings = tomllib.loads(read_recipe(recipe).dumps())
    return [name for name, value in settings.items() if name.endswith("plan") and isinstance(value, dict)]


def poisson(case: Case, number: int) -> Trials:
    """Return trials of independent Poisson counts."""
    counts = np.random.default_rng(0).poisson(0.3, (number, case.n_bins, case.n_neurons))
    return Trials(counts.astype(np.uint8), 0.005)


def fitted(
    case: Case,
    *,
    updates: Mapping[str, int],
    batch: int,
    precision: str = "float32",
    compiled: str = "as written",
    observed: bool = False,
) -> Model:
    """Return a model after a few updates of each stage on one batch, without a calibration of its rates.

    Args:
        case: Recipe and size.
        updates: Number of updates of each plan.
        batch: Number of trials.
        precision: Precision of all plans.
        compiled: Name in `COMPILED`.
        observed: Fit the observation model of the recipe. Otherwise it is without history and noise, which need a fit.
    """
    settings = tomllib.loads(read_recipe(case.recipe).dumps())
    changes = ["autoencoder_settings.calibrate=false"] if "autoencoder_settings" in settings else []
    changes += [] if observed else ["observation.history=none", "observation.noise=none"]
    changes += [f"{name}.updates={number}" for name, number in updates.items()]
    changes += [f"{name}.{key}" for name in updates for key in (f"batch={batch}", f"precision={precision}")]
    model = read_recipe(case.recipe, changes).build(case.n_neurons)
    if COMPILED[compiled] is not None:
        build = model.build

        def build_compiled(facts: Facts) -> None:
            build(facts)
            compile_networks(model, compiled)

        object.__setattr__(model, "build", build_compiled)
    return model.fit(poisson(case, batch), progress=False)


def compile_networks(model: nn.Module, compiled: str) -> None:
    """Compile the networks of a model in place."""
    options = COMPILED[compiled]
    if options is not None:
        for module in model.modules():
            if type(module).__name__ in NETWORKS:
                module.compile(**options)


# --- time, memory and floating-point work --------------------------------------------------------------------------


def wait(device: str) -> None:
    """Wait until the card has finished."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(call: Callable[[], object], device: str, *, times: int = 5) -> float:
    """Return the median time of a call, after one that is not counted."""
    result = []
    for _ in range(times + 1):
        wait(device)
        began = time.perf_counter()
        call()
        wait(device)
        result.append(time.perf_counter() - began)
    return statistics.median(result[1:])


def memory(device: str) -> float:
    """Return the peak memory of the card in GB since the last call, and start anew."""
    if device != "cuda":
        return 0.0
    peak = torch.cuda.max_memory_allocated() / 1e9
    torch.cuda.reset_peak_memory_stats()
    return peak


def matrix_rate(device: str, precision: str, *, size: int) -> float:
    """Return the rate of the product of two large matrices, in floating-point operations per second."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    return 2 * size**3 / seconds(lambda: left @ right, device)


def work(call: Callable[[], object]) -> float:
    """Return the floating-point operations of the matrix products of a call."""
    with FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops())


def update_work(case: Case) -> dict[str, float]:
    """Return the floating-point operations per trial of one update of each plan.

    They are the difference between a fit with one more update of this plan and a fit without it.
    """
    names = plans(case.recipe)
    few = dict.fromkeys(names, 2)
    base = work(lambda: fitted(case, updates=few, batch=case.first))
    totals = {name: work(lambda name=name: fitted(case, updates={**few, name: 3}, batch=case.first)) for name in names}
    return {name: max(total - base, 1.0) / case.first for name, total in totals.items()}


# --- the two measurements ------------------------------------------------------------------------------------------


def doubled(case: Case, most: int) -> Iterator[int]:
    """Yield batches from the smallest one to the largest, each twice the one before."""
    batch = case.first
    while batch <= most:
        yield batch
        batch *= 2


def training(case: Case, device: str, *, ways: Sequence[str], rates: Mapping[str, float], most: int) -> list[Row]:
    """Measure an update of every stage for growing batches, until the memory of the card is full."""
    operations = update_work(case)
    names = plans(case.recipe)
    rows = []
    for precision, rate in rates.items():
        for compiled in ways:
            for batch in doubled(case, most):
                memory(device)
                try:
                    updates = dict.fromkeys(names, UPDATES)
                    model = fitted(case, updates=updates, batch=batch, precision=precision, compiled=compiled)
                except torch.OutOfMemoryError:
                    torch.cuda.empty_cache()
                    break
                peak = memory(device)
                for stage, duration in updates_of(model).items():
                    plan = f"{stage}_plan" if f"{stage}_plan" in names else "plan"
                    speed = batch / duration
                    limit = rate / operations[plan]
                    rows.append(Row(f"{case.recipe}, {stage}", precision, compiled, batch, speed, limit, peak))
    return rows


def updates_of(model: Model) -> dict[str, float]:
    """Return the median seconds of an update of each stage, from the history of the training."""
    times: dict[str, list[float]] = {}
    for line in model.history:
        if line["update"]:
            times.setdefault(line["stage"], []).append(line["seconds"])
    steps = {stage: [b - a for a, b in pairwise(clock)] for stage, clock in times.items()}
    return {stage: max(statistics.median(step[1:]), 1e-3) for stage, step in steps.items() if len(step) > 1}


def sampling(case: Case, device: str, *, ways: Sequence[str], rates: Mapping[str, float], most: int) -> list[Row]:
    """Measure `Model.sample` for growing batches, until the memory of the card is full."""
    rows = []
    for precision, rate in rates.items():
        for compiled in ways:
            updates = dict.fromkeys(plans(case.recipe), 2)
            model = fitted(case, updates=updates, batch=case.first, precision=precision, observed=True).to(device)
            operations = work(lambda model=model: draw(model, case, case.first)) / case.first
            compile_networks(model, compiled)
            for batch in doubled(case, most):
                memory(device)
                try:
                    duration = seconds(lambda model=model, batch=batch: draw(model, case, batch), device, times=3)
                except torch.OutOfMemoryError:
                    torch.cuda.empty_cache()
                    break
                limit = rate / operations
                row = Row(
                    f"{case.recipe}, sampling", precision, compiled, batch, batch / duration, limit, memory(device)
                )
                rows.append(row)
    return rows


def draw(model: Model, case: Case, batch: int) -> Trials:
    """Generate one batch of trials, with the default sampler of the package if the model has one."""
    sampler = DEFAULT if "sampler" in model.capabilities.options else None
    return model.sample(batch, n_bins=case.n_bins, sampler=sampler, max_batch=batch, progress=False)


# --- the page ------------------------------------------------------------------------------------------------------


def page(rows: Sequence[Row], rates: Mapping[str, float], card: str) -> str:
    """Return the tables as Markdown."""
    lines = [f"# {card}", "", "Product of two large matrices, TFLOP/s: "]
    lines[-1] += ", ".join(f"{name} {rate / 1e12:.2f}" for name, rate in rates.items()) + "."
    lines += ["", "| what | precision | networks | batch | trials/s | limit, trials/s | ratio | peak GB |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for row in rows:
        numbers = f"{row.rate:.1f}", f"{row.limit:.0f}", f"{row.limit / row.rate:.1f}", f"{row.memory:.2f}"
        cells = [row.what, row.precision, row.compiled, str(row.batch), *numbers]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", f"torch {torch.__version__}; `python -m benchmarks.gpu`"]
    return "\n".join(lines) + "\n"


def measure(
    cases: Sequence[Case], device: str, *, most: int, size: int, train_ways: Sequence[str], sample_ways: Sequence[str]
) -> str:
    """Measure training and sampling of all cases, and return the page.

    Args:
        cases: Recipes and sizes.
        device: "cuda" or "cpu".
        most: Largest batch.
        size: Rows of the matrices whose product is the limit.
        train_ways: Names in `COMPILED` for training.
        sample_ways: Names in `COMPILED` for sampling.
    """
    rates = {precision: matrix_rate(device, precision, size=size) for precision in ("float32", "bf16")}
    rows = []
    for case in cases:
        rows += training(case, device, ways=train_ways, rates=rates, most=most)
        rows += sampling(case, device, ways=sample_ways, rates=rates, most=most)
    card = torch.cuda.get_device_name() if device == "cuda" else "CPU, tiny recipes"
    return page(rows, rates, card)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the page, and on a GPU write it to benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--recipe", action="append", help="recipe to measure; by default all. Repeatable")
    options = parser.parse_args(arguments)
    gpu = options.device == "cuda"
    if gpu and not torch.cuda.is_available():
        parser.error("there is no GPU; write --device cpu for the tiny recipes")
    cases_by_name = {case.recipe: case for case in (FULL if gpu else TINY)}
    unknown = set(options.recipe or ()) - set(cases_by_name)
    if unknown:
        parser.error(f"--recipe must be one of {', '.join(cases_by_name)}")
    cases = [cases_by_name[name] for name in options.recipe or cases_by_name]
    names = list(COMPILED)
    text = measure(
        cases,
        options.device,
        most=MOST if gpu else 8,
        size=8192 if gpu else 256,
        train_ways=names[:2] if gpu else names[:1],
        sample_ways=names if gpu else names[:1],
    )
    print(text)
    if gpu:
        name = re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name().lower()).strip("-")
        (RESULTS / f"gpu-{name}.md").write_text(text)


if __name__ == "__main__":
    main()
