r"""Compare optimisers of the autoencoder of an LDNS: validation bits per spike against core-seconds.

    python benchmarks/optimizers.py --data train.h5 --cases adamw:2e-3 muon:4e-3 --seeds 0 1 2 --out o.csv

A fifth of the trials are validation trials. Quality is their bits per spike (Poisson, without calibration), for rates
that are inferred while the count of their entry is hidden.

A case is OPTIMISER:LEARNING_RATE, optionally followed by the schedule of the learning rate and by the number of trials
per update, as in adamw:2e-3:linear:16. The other settings are those of the recipe. `--updates` are those of batches of
the recipe; smaller batches get more updates.

Each row of the CSV file is a checkpoint. Its core-seconds are the number of updates times the median core time of one
update. For these medians, updates of all cases alternate in one process, so other programs affect all cases equally.
The column "average" is for the exponential average of the weights (`spikeloom.training.ema`).

Muon and SOAP train the matrices inside the residual blocks, and AdamW the other parameters: vectors, first and last
layers, and state spaces. A parameter holds one or several matrices (matrix, out, in), each of which is updated by
itself. For the gradient G of a matrix, learning rate :math:`\rho` and weight decay :math:`\lambda`, every optimiser
computes a direction D and sets :math:`W \leftarrow (1 - \rho\lambda) W - \rho D`.
"""

import argparse
import contextlib
import csv
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from spikeloom.models.common.facts import Facts
from spikeloom.models.common.likelihood import bits_per_hidden_spike
from spikeloom.models.ldns import LDNS
from spikeloom.nn.stack import Block
from spikeloom.recipe import read_recipe
from spikeloom.seeds import Purpose, Streams, generator
from spikeloom.training.ema import Average
from spikeloom.training.memory import keep_freed_memory
from spikeloom.training.optimizer import adamw
from spikeloom.training.plan import Plan
from spikeloom.training.stage import Stage, trials_of
from spikeloom.trials import Trials

VALIDATION = 0.2
"""Fraction of the trials that are validation trials."""

CHECKPOINTS = 5
"""Number of checkpoints of a run."""

TIMED = 15
"""Number of updates of each case whose core time is measured."""

AVERAGE = 0.999
"""Largest decay of the exponential average of the weights."""

EPS = 1e-8
"""Added to the root of the mean square of a gradient."""


class AdamW:
    """The optimiser of `fit`; subclasses take some parameters from it.

    Args:
        module: Module to train.
        plan: Plan of the stage.
    """

    def __init__(self, module: nn.Module, plan: Plan) -> None:
        self.weight_decay = plan.weight_decay
        self.adamw = adamw(module, plan)

    def step(self, learning_rate: float) -> None:
        """Change the weights by their gradients."""
        for group in self.adamw.param_groups:
            group["lr"] = learning_rate * group["share"]
        self.adamw.step()

    def evaluated(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which the module holds the weights that would be kept."""
        return contextlib.nullcontext()


class OfMatrices(AdamW):
    """An optimiser of the matrices inside residual blocks; AdamW trains the other parameters.

    Matrices of one shape are stacked, so that a few batched products serve all of them.
    """

    def __init__(self, module: nn.Module, plan: Plan) -> None:
        super().__init__(module, plan)
        blocks = [part for part in module.modules() if isinstance(part, Block)]
        layers = [layer for block in blocks for layer in (block.up, block.down)]
        self.stacks: dict[torch.Size, list[nn.Parameter]] = {}
        for layer in layers:
            self.stacks.setdefault(layer.weight.shape, []).append(layer.weight)
        taken = {id(layer.weight) for layer in layers}
        for group in self.adamw.param_groups:
            group["params"] = [value for value in group["params"] if id(value) not in taken]
        self.states: dict[torch.Size, dict[str, Tensor]] = {shape: {} for shape in self.stacks}
        self.updates = 0

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Change the weights by their gradients."""
        super().step(learning_rate)
        self.updates += 1
        for shape, values in self.stacks.items():
            gradient = torch.stack([value.grad for value in values if value.grad is not None]).view(-1, *shape[-2:])
            direction = self.direction(gradient, self.states[shape])
            for value, part in zip(values, direction.view(-1, *shape), strict=True):
                value.mul_(1 - learning_rate * self.weight_decay).sub_(part, alpha=learning_rate)

    def direction(self, gradient: Tensor, state: dict[str, Tensor]) -> Tensor:
        """Return the directions D of matrices with these gradients (matrix, out, in); `state` is changed."""
        raise NotImplementedError


class Muon(OfMatrices):
    r"""Muon (Jordan et al. 2024), scaled as by Liu et al. 2025 so that learning rates of AdamW fit.

    With the momentum :math:`M \leftarrow \mu M + G`, the direction is :math:`0.2 \sqrt{\max(out, in)}\, U V^T`, where
    :math:`U S V^T` is the singular value decomposition of :math:`G + \mu M`. Five iterations
    :math:`X \leftarrow a X + (b X X^T + c (X X^T)^2) X` approximate :math:`U V^T`.
    """

    momentum = 0.95
    coefficients = (3.4445, -4.7750, 2.0315)

    def direction(self, gradient: Tensor, state: dict[str, Tensor]) -> Tensor:
        """See `OfMatrices.direction`."""
        mean = state.setdefault("momentum", torch.zeros_like(gradient))
        mean.mul_(self.momentum).add_(gradient)
        x = gradient + self.momentum * mean
        tall = x.shape[-2] > x.shape[-1]
        x = x.mT if tall else x
        x = x / (x.norm(dim=(-2, -1), keepdim=True) + EPS)
        a, b, c = self.coefficients
        for _ in range(5):
            square = x @ x.mT
            x = a * x + (b * square + c * square @ square) @ x
        return 0.2 * math.sqrt(max(gradient.shape[-2:])) * (x.mT if tall else x)


class SOAP(OfMatrices):
    r"""SOAP (Vyas et al. 2024): Adam in the eigenbasis of Shampoo's preconditioner.

    The means of :math:`G G^T` and :math:`G^T G` have the eigenvectors P and Q. With the mean M of the gradients and the
    mean square V of :math:`P^T G Q`, the direction is :math:`P\,[P^T M Q / \sqrt{V}]\,Q^T`. Every ten updates, P and Q
    are changed by one power iteration and a QR decomposition.
    """

    beta = 0.95
    every = 10

    def direction(self, gradient: Tensor, state: dict[str, Tensor]) -> Tensor:
        """See `OfMatrices.direction`."""
        rest = 1 - self.beta
        if not state:
            left, right = gradient @ gradient.mT, gradient.mT @ gradient
            state |= {"left": left * 0, "right": right * 0, "mean": gradient * 0, "square": gradient * 0}
            state |= {"p": torch.linalg.eigh(left)[1], "q": torch.linalg.eigh(right)[1]}
        p, q = state["p"], state["q"]
        mean = state["mean"].lerp_(gradient, rest)
        square = state["square"].lerp_((p.mT @ gradient @ q).square(), rest)
        share = 1 - self.beta**self.updates  # of the gradients in both means; the rest is their initial 0
        direction = p @ ((p.mT @ mean @ q) / share / ((square / share).sqrt() + EPS)) @ q.mT
        state["left"].lerp_(gradient @ gradient.mT, rest)
        state["right"].lerp_(gradient.mT @ gradient, rest)
        if self.updates % self.every == 0:
            state["p"] = torch.linalg.qr(state["left"] @ p)[0]
            state["q"] = torch.linalg.qr(state["right"] @ q)[0]
        return direction


class ScheduleFree(AdamW):
    r"""Schedule-Free AdamW (Defazio et al. 2024), with a learning rate that is constant after the warm-up.

    The gradients are those at :math:`y = (1 - \beta) z + \beta x`, which the module holds during training. AdamW with
    these gradients, without momentum, moves z. The kept weights x are the mean of all z so far, with weights
    :math:`\rho^2`.
    """

    beta = 0.9
    beta_square = 0.99

    def __init__(self, module: nn.Module, plan: Plan) -> None:
        super().__init__(module, plan)
        groups = self.adamw.param_groups
        self.values = [value for group in groups for value in group["params"]]
        self.shares = [group["share"] for group in groups for _ in group["params"]]
        self.decays = [group["weight_decay"] for group in groups for _ in group["params"]]
        self.z = [value.detach().clone() for value in self.values]
        self.x = [value.detach().clone() for value in self.values]
        self.squares = [torch.zeros_like(value) for value in self.values]
        self.updates = 0
        self.total = 0.0

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Change the weights by their gradients."""
        self.updates += 1
        self.total += learning_rate**2
        part = learning_rate**2 / self.total
        share = 1 - self.beta_square**self.updates
        for k, value in enumerate(self.values):
            if value.grad is None:
                continue
            square = self.squares[k].lerp_(value.grad.square(), 1 - self.beta_square)
            direction = value.grad / ((square / share).sqrt() + EPS) + self.decays[k] * value
            self.z[k].sub_(direction, alpha=learning_rate * self.shares[k])
            self.x[k].lerp_(self.z[k], part)
            value.copy_(torch.lerp(self.z[k], self.x[k], self.beta))

    @contextlib.contextmanager
    def evaluated(self) -> Iterator[None]:
        """See `AdamW.evaluated`."""
        trained = [value.detach().clone() for value in self.values]
        with torch.no_grad():
            for value, kept in zip(self.values, self.x, strict=True):
                value.copy_(kept)
        yield
        with torch.no_grad():
            for value, before in zip(self.values, trained, strict=True):
                value.copy_(before)


OPTIMIZERS: Mapping[str, type[AdamW]] = {"adamw": AdamW, "muon": Muon, "soap": SOAP, "schedulefree": ScheduleFree}


@dataclass(frozen=True)
class Case:
    """One way to train.

    Args:
        optimizer: Key of `OPTIMIZERS`.
        learning_rate: Peak learning rate.
        schedule: "cosine" as in `Plan`, "linear" to 0 at the end, or "constant", each after the warm-up of the plan.
        batch: Number of trials per update; 0 for that of the recipe.
    """

    optimizer: str
    learning_rate: float
    schedule: str = "cosine"
    batch: int = 0

    @classmethod
    def read(cls, words: str) -> "Case":
        """Read a case as `main` describes it."""
        optimizer, learning_rate, *others = words.split(":")
        schedule = others[0] if others else "constant" if optimizer == "schedulefree" else "cosine"
        return cls(optimizer, float(learning_rate), schedule, int(others[1]) if others[1:] else 0)

    def plan(self, plan: Plan, updates: int) -> Plan:
        """Return the plan of this case."""
        batch = self.batch or plan.batch
        return replace(plan, learning_rate=self.learning_rate, batch=batch, updates=updates * plan.batch // batch)

    def learning_rate_at(self, plan: Plan, update: int) -> float:
        """Return the learning rate of an update, counted from 0."""
        warm = plan.warmup * plan.updates
        if self.schedule == "cosine":
            return plan.learning_rate_at(update)
        left = 1.0 if self.schedule == "constant" else (plan.updates - update) / (plan.updates - warm)
        return plan.learning_rate * min(1.0, (update + 1) / warm, left)


class Run:
    """Training of the autoencoder by one case.

    Args:
        case: The case.
        recipe: Recipe of an LDNS.
        updates: Number of updates with batches of the recipe.
        trials: Training trials.
        seed: Random seed of weights, order and losses, with the same meaning as in `fit`.
    """

    def __init__(self, case: Case, recipe: str, updates: int, trials: Trials, seed: int) -> None:
        model = read_recipe(recipe).build(trials.n_neurons)
        assert isinstance(model, LDNS)
        self.case = case
        self.model = model
        with torch.random.fork_rng():
            torch.manual_seed(int(generator(seed, Purpose.INIT).integers(2**62)))
            model.build(Facts.of(trials, model.condition))
        self.stage: Stage = model.autoencoder_stage(trials, None)
        self.plan = case.plan(model.autoencoder_plan, updates)
        self.seed = int(generator(seed, Purpose.STAGE, 0).integers(2**63))
        self.optimizer = OPTIMIZERS[case.optimizer](self.stage.module, self.plan)
        self.average = Average(self.stage.module, limit=AVERAGE)
        self.done = 0

    def update(self) -> float:
        """Do one update as `fit` does, and return its core-seconds."""
        start = time.process_time()
        module = self.stage.module.train()
        n_trials = len(self.stage.data["counts"])
        rows = trials_of(self.done, n_trials=n_trials, batch=self.plan.batch, seed=self.seed)
        index = torch.tensor(rows)
        batch = {name: value[index] for name, value in self.stage.data.items()}
        module.zero_grad()
        terms = self.stage.loss(batch, Streams(self.seed, Purpose.TRAIN, self.done, rows))
        (terms.total / terms.weight).backward()
        nn.utils.clip_grad_norm_(module.parameters(), self.plan.clip)
        self.optimizer.step(self.case.learning_rate_at(self.plan, self.done))
        seconds = time.process_time() - start
        self.average.add(self.done)
        self.done += 1
        return seconds

    @torch.no_grad()
    def bits(self, validation: Trials) -> tuple[float, float]:
        """Return the bits per spike of validation trials, with the kept and with the averaged weights."""
        self.model.eval()
        mask = np.broadcast_to(validation.mask[..., None], validation.counts.shape)

        def compute() -> float:
            return bits_per_hidden_spike(validation.counts, self.model.unseen_rates(validation), mask)

        with self.optimizer.evaluated():
            kept = compute()
        with self.average.applied():
            return kept, compute()


def core_times(make: Sequence[Callable[[], Run]]) -> list[float]:
    """Return the median core-seconds of an update of each case. Updates of all cases alternate."""
    runs = [begin() for begin in make]
    seconds = [[run.update() for run in runs] for _ in range(TIMED + 1)][1:]  # the first one prepares the networks
    return [statistics.median(column) for column in zip(*seconds, strict=True)]


def main() -> None:
    """Train every case with every seed, and write the checkpoints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="training trials")
    parser.add_argument("--recipe", default="ldns-small", help="recipe of an LDNS")
    parser.add_argument("--cases", nargs="+", required=True, help="OPTIMISER:LEARNING_RATE[:SCHEDULE[:BATCH]]")
    parser.add_argument("--updates", type=int, nargs="+", default=[1500], help="lengths of the training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="random seeds")
    parser.add_argument("--out", type=Path, required=True, help="CSV file to which rows are added")
    options = parser.parse_args()
    keep_freed_memory()  # as `fit` does
    train, validation = Trials.load(options.data).split(1 - VALIDATION, seed=0)
    cases = [Case.read(words) for words in options.cases]

    def begin(case: Case, updates: int, seed: int) -> Callable[[], Run]:
        return lambda: Run(case, options.recipe, updates, train, seed)

    core = core_times([begin(case, options.updates[0], 0) for case in cases])
    for words, seconds in zip(options.cases, core, strict=True):
        print(f"{words}: {seconds:.4f} core-seconds per update", flush=True)
    for seed in options.seeds:
        for words, case, seconds in zip(options.cases, cases, core, strict=True):
            for updates in options.updates:
                run = begin(case, updates, seed)()
                while run.done < run.plan.updates:
                    run.update()
                    if run.done * CHECKPOINTS % run.plan.updates < CHECKPOINTS:
                        bits, averaged = run.bits(validation)
                        row = [words, updates, seed, run.done, f"{run.done * seconds:.1f}"]
                        add_row(options.out, [*row, f"{bits:.4f}", f"{averaged:.4f}"])
                        print(*row, f"{bits:.4f} {averaged:.4f}", flush=True)


def add_row(path: Path, row: Sequence[object]) -> None:
    """Add a row to the CSV file, with the names of the columns if the file is new."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(["case", "updates", "seed", "update", "core-seconds", "bits per spike", "average"])
        writer.writerow(row)


if __name__ == "__main__":
    main()
