"""LFADS on the command line, and settings that are changed after training: sample --set, compare --set."""

import json
import re

import numpy as np
import pytest

from spikeloom.trials import Trials
from tests.helpers.command import run

QUICK = ["--set", "plan.updates=4"]


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """Trials and a trained LFADS."""
    folder = tmp_path_factory.mktemp("lfads")
    rng = np.random.default_rng(0)
    rates = np.exp(rng.normal(size=(60, 1, 6))) * 0.3 * np.ones((1, 20, 1))
    Trials(rng.poisson(rates), 0.01).save(folder / "all.h5")
    words = ["--fraction", 0.5, "--out", folder / "train.h5", folder / "test.h5"]
    assert run("split", folder / "all.h5", *words) == 0
    assert run("fit", "lfads-tiny", "--data", folder / "train.h5", *QUICK, "--out", folder / "run") == 0
    return folder


def test_inspect_tells_the_scale_of_the_divergence(house, capsys):
    assert run("inspect", house / "run") == 0
    assert re.search(r"KL scale +beta 1 nats per trial, kappa 0\.00833", capsys.readouterr().out)  # 1 / (20 x 6)


def test_samples_of_prior_and_aggregate_posterior_differ(house, tmp_path):
    words = ["--trials", 10, "--seed", 1]
    assert run("sample", house / "run", *words, "--out", tmp_path / "prior.h5") == 0
    assert run("sample", house / "run", *words, "--set", "start=posterior", "--out", tmp_path / "posterior.h5") == 0
    prior, posterior = (Trials.load(tmp_path / f"{name}.h5") for name in ("prior", "posterior"))
    assert not np.allclose(prior.codes, posterior.codes)


def test_compare_changes_settings_by_name(house, tmp_path):
    models = [f"prior={house / 'run'}", f"posterior={house / 'run'}"]
    words = ["--data", house / "test.h5", "--samples", 1, "--set", "posterior:start=posterior", "--out", tmp_path / "c"]
    assert run("compare", *models, *words) == 0
    comparison = json.loads((tmp_path / "c" / "compare.json").read_text())
    values = {
        name: comparison["panel"]["population_count_w1"]["models"][name]["value"] for name in ("prior", "posterior")
    }
    assert values["prior"] != values["posterior"]
    assert "held-out bits/spike" in comparison["cost"]["prior"]


def test_traversals_of_lfads(house, tmp_path, capsys):
    trials = Trials.load(house / "train.h5")
    labelled = Trials(trials.counts, 0.01, conditions={"size": trials.counts.mean((1, 2))})
    labelled.save(tmp_path / "t.h5")
    words = ["--data", tmp_path / "t.h5", "--along", "size", "--span", -0.01, 0.01, "--points", 3]
    assert run("traverse", house / "run", *words, "--out", tmp_path / "traversal.h5") == 0
    assert len(Trials.load(tmp_path / "traversal.h5")) == 90


def test_evaluate_takes_the_cost_of_any_model(house, tmp_path):
    assert run("sample", house / "run", "--like", house / "test.h5", "--out", tmp_path / "fake.h5") == 0
    words = ["--reference", house / "train.h5", "--model", house / "run", "--out", tmp_path / "report"]
    assert run("evaluate", "--real", house / "test.h5", "--fake", tmp_path / "fake.h5", *words) == 0
    assert "one pass of the generator" in (tmp_path / "report" / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sample", "RUN", "--trials", "2", "--set", "n_codes=3", "--out", "OUT/x.h5"], "do not affect the weights"),
        (["sample", "RUN", "--trials", "2", "--set", "start=middle", "--out", "OUT/x.h5"], "'prior' or 'posterior'"),
        (["sample", "RUN", "--trials", "2", "--set", "strat=prior", "--out", "OUT/x.h5"], "Did you mean start"),
        (["sample", "RUN", "--trials", "2", "--guidance", "2", "--out", "OUT/x.h5"], "LFADS does not use guidance"),
        (["compare", "a=RUN", "--data", "TEST", "--set", "b:start=prior", "--out", "OUT/c"], "NAME:key=value"),
        (["compare", "a=TEST", "--data", "TEST", "--set", "a:start=prior", "--out", "OUT/c"], "settings of runs"),
    ],
)
def test_mistakes(house, tmp_path, capsys, words, said):
    places = {"RUN": house / "run", "TEST": house / "test.h5", "OUT": tmp_path}
    filled = [re.sub("RUN|TEST|OUT", lambda match: str(places[match.group()]), word) for word in words]
    assert run(*filled) == 2
    assert said in " ".join(capsys.readouterr().err.split())
