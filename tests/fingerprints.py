"""Fingerprints of small trained models: weights, generated and inferred trials, and metrics, as hashes.

A change of structure must leave every number as it is. This program trains four small recipes for a few updates on
simulated trials, and prints the SHA-256 of everything that came out. `tests/test_fingerprints.py` compares them with
those stored in `fingerprints.json`.

    python -m tests.fingerprints            # print the fingerprints of this source tree
    python -m tests.fingerprints --write    # store them, for this machine and these versions of torch and numpy

Store new ones only in a commit that means to change numbers, and say there which and by how much.

Floating-point results depend on the processor and on the libraries, so fingerprints are stored for each such machine
(`machine`). Names may change while numbers do not: the tensors of a model are hashed by their values alone.
"""

import hashlib
import json
import os
import platform
import sys
from pathlib import Path

STORED = Path(__file__).with_name("fingerprints.json")
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
"""Sums over several threads round differently, so the program runs with these variables."""

RECIPES = {
    "ldns-tiny": ["autoencoder_plan.updates=6", "diffusion_plan.updates=6"],
    "ldns-tiny-direction": ["autoencoder_plan.updates=6", "diffusion_plan.updates=6"],
    "gnocchi-tiny": ["plan.updates=8", "observation.noise=none"],
    "lfads-tiny": ["plan.updates=6"],
}
"""Recipe -> changes that make it quick."""

ARRAYS = ("counts", "rates", "latents", "codes")
ENTRIES = ("value", "floor", "floor_sd")
"""Numbers of each metric of the panel that are compared."""


def machine() -> str:
    """What floating-point results depend on: processor, its vector instructions, torch, numpy and scipy."""
    import numpy as np
    import scipy
    import torch

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    identity = ("vendor_id", "cpu family", "model", "model name", "stepping")
    fields = dict(line.split("\t", 1) for line in lines if "\t" in line)
    processor = " ".join(fields[name].strip(": \t") for name in identity if name in fields) or platform.processor()
    versions = f"torch {torch.__version__}, numpy {np.__version__}, scipy {scipy.__version__}"
    return f"{processor}, {torch.backends.cpu.get_cpu_capability()}, {versions}"


def simulated(n_trials: int, seed: int, time: int = 32, neurons: int = 6):
    """Poisson counts tuned to a direction that turns within the trial; condition `angle_deg`."""
    import numpy as np

    from spikeloom.trials import Trials

    draws = np.random.Generator(np.random.PCG64(seed))
    angle = draws.integers(0, 8, n_trials) * 45.0
    phase = np.deg2rad(angle)[:, None] + 2 * np.pi * np.arange(time)[None] / time
    preferred = 2 * np.pi * np.arange(neurons) / neurons
    rates = 0.3 * np.exp(np.cos(phase[..., None] - preferred))
    return Trials(draws.poisson(rates), 0.01, conditions={"angle_deg": angle})


def digest(array) -> str:
    """SHA-256 of the values of an array, in float64 or as integers, so that shape and storage do not count."""
    import numpy as np

    values = np.ascontiguousarray(array)
    values = values.astype("<f8") if values.dtype.kind == "f" else values.astype("<i8")
    return hashlib.sha256(values.tobytes()).hexdigest()[:24]


def fingerprint(recipe: str, changes: list[str]) -> dict[str, list[str] | dict[str, str | None]]:
    """Train, generate, infer and evaluate; the hash of everything that came out."""
    import spikeloom as sl

    train, test = simulated(32, seed=1), simulated(24, seed=2)
    model = sl.read_recipe(recipe, changes).build(train.counts.shape[2])
    model.fit(train, seed=3, progress=False)
    parameters = sorted(digest(value.detach().numpy()) for value in model.parameters())
    tensors = sorted(digest(value.detach().numpy()) for value in model.state_dict().values())
    condition = "angle_deg" if recipe.endswith("direction") else None
    fake = model.sample(like=test, condition=condition, seed=4, progress=False)
    free = model.sample(10, condition=(), seed=5, progress=False)
    made = {"generated": fake, "unconditional": free, "inferred": model.encode(test, progress=False)}
    if recipe == "ldns-tiny":  # trials longer than those of training come in windows
        made["long"] = model.sample(2, n_bins=80, seed=7, progress=False)
        made["stream"] = next(model.stream(n_bins=80, chunk=80, seed=7))
    arrays = {
        f"{name} {field}": digest(getattr(trials, field))
        for name, trials in made.items()
        for field in ARRAYS
        if getattr(trials, field) is not None
    }
    report = sl.evaluate(real=test, fake=fake, reference=train, splits=2, seed=6, progress=False).to_dict()
    numbers = {f"{metric} {entry}": row[entry] for metric, row in report["panel"].items() for entry in ENTRIES}
    metrics = {name: value if value is None else float(value).hex() for name, value in numbers.items()}
    metrics |= {f"protocol {name}": float(value).hex() for name, value in report["ldns_protocol"].items()}
    return {"parameters": parameters, "tensors": tensors, "arrays": arrays, "metrics": metrics}


def main() -> None:
    """Print the fingerprints of this source tree, or store them."""
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **ONE_THREAD})
    import torch

    torch.set_num_threads(1)
    made = {name: fingerprint(name, changes) for name, changes in RECIPES.items()}
    if "--write" in sys.argv[1:]:
        stored = json.loads(STORED.read_text()) if STORED.exists() else {}
        STORED.write_text(json.dumps({**stored, machine(): made}, indent=1, sort_keys=True) + "\n")
    else:
        sys.stdout.write(json.dumps({"machine": machine(), "made": made}) + "\n")


if __name__ == "__main__":
    main()
