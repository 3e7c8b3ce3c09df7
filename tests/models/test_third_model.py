"""A user's own model, a Poisson GLM of time and condition, works with all public functions and commands."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import spikeloom as sl
from spikeloom.cli.app import app
from spikeloom.errors import SettingError
from spikeloom.models.common.base import Capabilities, Model, as_tensors
from spikeloom.models.common.results import Generated, Inferred
from spikeloom.observation.model import ObservationModel
from spikeloom.observation.poisson import Poisson
from spikeloom.training.plan import Plan
from spikeloom.training.stage import LossTerms, Stage
from tests.helpers.small_ldns import toy_trials

# --- the file of the model: begin ------------------------------------------------------------------------------------


PLAN = Plan(updates=200, batch=32)


class GLM(Model):
    """Poisson GLM: the drive of a neuron is linear in bumps over the trial and in the encoded condition.

    Args:
        n_neurons: Neurons of the recording.
        bumps: Gaussian bumps over the longest trial.
        condition: Names of conditions with one value per trial.
        plan: Optimisation.
    """

    def __init__(self, n_neurons: int, *, bumps: int = 6, condition: tuple[str, ...] = (), plan: Plan = PLAN):
        super().__init__()
        self.n_neurons, self.bumps, self.condition, self.plan = n_neurons, bumps, tuple(condition), plan
        self.observation = ObservationModel(Poisson("exp"), history=None, noise=None)

    @property
    def capabilities(self):
        return Capabilities(options=("condition",))

    def build(self, facts):
        self.longest = facts.longest
        self.time_weights = nn.Linear(self.bumps, facts.n_neurons)
        self.condition_weights = nn.Linear(facts.conditions.vector_size, facts.n_neurons, bias=False)

    def stages(self, trials, validation):
        yield Stage("glm", self, self.loss, self.data(trials), self.plan, validation and self.data(validation))

    def data(self, trials):
        vector = (
            self.facts.conditions.encode(trials.conditions).vector if self.condition else torch.zeros(len(trials), 0)
        )
        return as_tensors(trials) | {"vector": vector}

    def drive(self, n_bins, vector):
        position = torch.linspace(0, 1, self.bumps) - torch.arange(n_bins)[:, None] / self.longest
        bumps = torch.exp(-0.5 * (position * self.bumps).square())
        return self.time_weights(bumps) + self.condition_weights(vector)[:, None]

    def loss(self, batch, streams):
        drive = self.drive(batch["counts"].shape[1], batch["vector"])
        nll = -self.observation.log_prob(batch["counts"].float(), drive) * batch["mask"][..., None]
        return LossTerms(nll.sum(), batch["mask"].sum() * self.n_neurons)

    def draw(self, request):
        absent = torch.zeros(len(request.lengths), self.condition_weights.in_features)
        vector = absent if request.condition is None else request.condition.vector
        drive = self.drive(int(request.lengths.max()), vector)
        counts = self.observation.sample(drive, request.spikes)
        return Generated(counts, self.observation.rates(drive).numpy())

    def infer(self, signal, mask):
        absent = torch.zeros(len(signal), self.condition_weights.in_features)
        return Inferred(rates=self.observation.rates(self.drive(signal.shape[1], absent)).numpy())


# --- the file of the model: end --------------------------------------------------------------------------------------

RECIPE = """model = "glm"
about = "A GLM."
note = ""
condition = ["side"]
[plan]
updates = 150
batch = 16
learning_rate = 3e-2
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    folder = tmp_path_factory.mktemp("glm")
    (folder / "glm.toml").write_text(RECIPE)
    toy_trials(80, seed=1).save(folder / "train.h5")
    toy_trials(40, seed=2).save(folder / "test.h5")
    done = command("fit", folder / "glm.toml", "--data", folder / "train.h5", "--out", folder / "run")
    assert done.exit_code == 0, done.output
    return folder


def command(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_it_is_short():
    source = Path(__file__).read_text().split("# --- the file of the model: ")
    code = [line for line in source[1].splitlines()[1:] if line.strip()]
    assert len(code) <= 60


def test_it_learns_the_mean_rates_of_each_side(house):
    model = sl.load_model(house / "run")
    train = sl.Trials.load(house / "train.h5")
    fake = model.sample(like=train, condition="side", seed=0, progress=False)
    for side in ("left", "right"):
        rows = train.conditions["side"] == side
        real, model_mean = train.counts[rows].mean((0, 1)), fake.rates[rows].mean((0, 1))
        # six standard errors of the mean of some 40 trials of 24 Poisson bins
        np.testing.assert_allclose(model_mean, real, atol=6 * np.sqrt(real.max() / (24 * rows.sum())))


def test_commands_sample_encode_inspect_and_judge_it(house):
    fake, run, test = house / "fake.h5", house / "run", house / "test.h5"
    assert command("sample", run, "--like", test, "--condition", "side", "--out", fake).exit_code == 0
    assert sl.Trials.load(fake).source == "GLM"
    assert command("encode", run, "--data", test, "--out", house / "encoded.h5").exit_code == 0
    assert sl.Trials.load(house / "encoded.h5").rates.shape == (40, 24, 6)
    assert "GLM" in command("inspect", run).output
    words = ["--reference", house / "train.h5", "--model", run, "--out", house / "report"]
    done = command("evaluate", "--real", test, "--fake", fake, *words)
    assert done.exit_code == 0, done.output
    assert json.loads((house / "report" / "metrics.json").read_text())["panel"]


def test_what_it_cannot_do_is_refused_in_one_place(house):
    model = sl.load_model(house / "run")
    for request in (
        lambda: model.sample(2, codes=np.zeros((2, 3))),
        lambda: model.sample(2, condition={"side": "left"}, guidance=2.0),
        lambda: model.stream(),
        lambda: model.unseen_rates(toy_trials(2)),
        lambda: model.latent_baselines(toy_trials(2), like=toy_trials(2)),
    ):
        with pytest.raises(SettingError, match=r"^GLM "):
            request()


def test_it_is_printed_in_one_line_before_and_after_fitting(house):
    assert str(GLM(6, condition=("side",))) == "GLM(6 neurons, conditions side; not trained)"
    assert str(sl.load_model(house / "run")) == (
        "GLM(6 neurons, conditions side; trained on 80 trials of 24 bins of 10 ms)"
    )
