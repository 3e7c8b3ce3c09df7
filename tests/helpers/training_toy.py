"""A tiny model of two stages, the second built on the first, for tests of the training loop.

As a program it serves kill tests: for each line on standard input, `[folder, [[what, count], ...]]`, it trains in
`folder` once per kill, each time in a forked process that SIGKILLs itself at the count-th `loss` call or `fsync`, then
once to the end, and answers with the signals seen, the final weights and the history. Forks share the import of torch.
As `training_toy.py once FOLDER` it trains once and leaves the weights in FOLDER, for runs under torchrun.
"""

import gc
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from spikeloom import files
from spikeloom.nn.ssm import StateSpace
from spikeloom.seeds import Streams
from spikeloom.training import stage_run
from spikeloom.training import train as engine
from spikeloom.training.plan import Plan
from spikeloom.training.stage import LossTerms, Stage

MEASURED = ("seconds", "memory_gb")
"""Of a line of history: never twice the same."""

PLAN = Plan(updates=23, batch=8, learning_rate=0.05, average=0.95, validate_every=4)


class SlowLinear(nn.Linear, StateSpace):
    """A linear layer whose weights count as time constants."""

    def time_constants(self):
        return [self.weight]


def network(inputs, outputs, seed=0):
    """Two layers with weights that depend on the seed; the first is called a state space."""
    made = nn.Sequential(SlowLinear(inputs, 5), nn.Tanh(), nn.Linear(5, outputs))
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in made.parameters():
            value.copy_(torch.randn(value.shape, generator=source) / 2)
    return made


def regression(module, *, noise=0.1, before=None):
    """Squared error on noisy inputs, weighted by how many entries of a trial are valid; `before` is called first."""

    def loss(batch, streams: Streams):
        if before is not None:
            before()
        x = batch["x"] + noise * torch.from_numpy(streams.normal(batch["x"].shape[1]))
        error = (module(x) - batch["y"]).square() * batch["valid"][:, None]
        return LossTerms(error.sum(), batch["valid"].sum() * error.shape[1], {"first": error[:, 0].sum()})

    return loss


def data(trials=37, seed=3):
    """Inputs (trial, 3), targets (trial, 2), weight 0 or 1 per trial."""
    source = torch.Generator().manual_seed(seed)
    x = torch.randn(trials, 3, generator=source)
    y = torch.stack([x.sum(1), x[:, 0] * x[:, 1]], 1)
    return {"x": x, "y": y, "valid": (torch.rand(trials, generator=source) > 0.2).float()}


def stages(modules, *, plan=PLAN, validation=True, before=None):
    """Two stages; the second learns what the first one gets wrong."""
    options, held = data(), data(trials=9, seed=4)
    yield Stage("first", modules[0], regression(modules[0], before=before), options, plan, held if validation else None)
    with torch.no_grad():
        left = options | {"y": options["y"] - modules[0](options["x"])}
    yield Stage("second", modules[1], regression(modules[1], before=before), left, plan)


def run(folder, *, plan=PLAN, before=None, validation=True, seed=7):
    """Train both stages, and return the final weights by name and the history without times."""
    modules = nn.ModuleList([network(3, 2, seed=0), network(3, 2, seed=1)])
    history = engine.train(
        stages(modules, plan=plan, before=before, validation=validation), seed=seed, out=folder, progress=False
    )
    lines = [{name: value for name, value in line.items() if name not in MEASURED} for line in history]
    return {name: value.detach().clone() for name, value in modules.state_dict().items()}, lines


def count_down(count):
    """Return a function that kills its process at its count-th call."""
    left = [count]

    def call(*_):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return call


def forked(work):
    """Do the work in a forked process, and return its exit status."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1]


def answer(folder, kills):
    """Train with kills and then to the end."""
    seen = []
    for what, count in kills:

        def work(what=what, count=count):
            die = count_down(count)
            if what == "fsync":
                files.os.fsync = die
            run(folder, before=die if what == "loss" else None)

        status = forked(work)
        seen.append(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)

    def last():
        weights, lines = run(folder)
        written = {name: value.numpy().tobytes().hex() for name, value in weights.items()}
        (folder / "answer.json").write_text(json.dumps([written, lines]))

    forked(last)
    weights, lines = json.loads((folder / "answer.json").read_text())
    on_disk = [json.loads(text) for text in (folder / "history.jsonl").read_text().splitlines()]
    same = [{name: value for name, value in line.items() if name not in MEASURED} for line in on_disk] == lines
    return {"signals": seen, "weights": weights, "history": lines, "history_on_disk": same}


if __name__ == "__main__":
    torch.set_num_threads(1)
    stage_run.SAVE_PAUSE = 0.0  # save at each look
    if sys.argv[1:2] == ["once"]:
        result, _ = run(Path(sys.argv[2]), plan=replace(PLAN, micro=3))  # 4 trials for each of two: 3 and 1
        if int(os.environ.get("RANK", "0")) == 0:
            files.write_tensors(Path(sys.argv[2]) / "weights.safetensors", result)
            files.write_json(Path(sys.argv[2]) / "world.json", int(os.environ.get("WORLD_SIZE", "1")))
    else:
        run(None)  # what is slow the first time is done before the forks
        gc.freeze()
        for text in sys.stdin:
            where, deaths = json.loads(text)
            sys.stdout.write(json.dumps(answer(Path(where), deaths)) + "\n")
            sys.stdout.flush()
