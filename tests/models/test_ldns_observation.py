"""The observation model of LDNS: chosen by name, fitted between the stages, saved in files."""

import json

import numpy as np
import pytest
import torch

from spikeloom.errors import CorruptFileError, SettingError
from spikeloom.files import write_manifest
from spikeloom.observation.history import SpikeHistory
from spikeloom.observation.model import ObservationModel
from spikeloom.observation.noise import SharedNoise
from spikeloom.observation.poisson import Poisson
from spikeloom.observation.refractory import Refractory
from spikeloom.observation.regular import Regular
from spikeloom.recipe import load_model, read_recipe
from spikeloom.settings import describe
from spikeloom.trials import Trials
from tests.helpers.small_ldns import NEURONS, toy_model, toy_trials

PUBLISHED = """
model = "ldns"
[observation]
counts = "Poisson"
noise = "none"
[observation.history]
basis = "bins"
logarithmic = true
ceiling = 5
"""


@pytest.fixture(scope="module")
def fitted():
    return toy_model().fit(toy_trials(40, variable=True), progress=False)


def kinds(model) -> tuple[type | None, ...]:
    """Classes in the slots counts, history and noise."""
    slots = (model.observation.counts, model.observation.history, model.observation.noise)
    return tuple(None if slot is None else type(slot) for slot in slots)


def test_by_default_every_slot_is_filled():
    assert kinds(toy_model()) == (Refractory, SpikeHistory, SharedNoise)


def test_a_recipe_fills_the_slots(tmp_path):
    (tmp_path / "published.toml").write_text(PUBLISHED)
    recipe = read_recipe(tmp_path / "published.toml")
    model = recipe.build(5)
    assert kinds(model) == (Poisson, SpikeHistory, None)
    assert (model.observation.history.basis, model.observation.history.ceiling) == ("bins", 5)
    (tmp_path / "again.toml").write_text(recipe.dumps())  # every setting written out gives the same model
    assert describe(read_recipe(tmp_path / "again.toml").build(5)) == describe(model)
    for change, expected in (
        ("observation.history=none", (Poisson, None, None)),
        ("observation.counts=refractory", (Refractory, SpikeHistory, None)),
        ("observation.noise=SharedNoise", (Poisson, SpikeHistory, SharedNoise)),
        ('observation={counts="Regular", history="none"}', (Regular, None, SharedNoise)),
    ):
        assert kinds(read_recipe(tmp_path / "published.toml", [change]).build(5)) == expected
    noisy = read_recipe("ldns-tiny", ["observation.noise.rank=3"]).build(5)
    assert noisy.observation.noise.rank == 3
    assert kinds(noisy) == kinds(toy_model())


def test_a_change_of_one_slot_keeps_the_others_of_the_model():
    """The default of LFADS is Poisson with an exponential link, without history and noise."""
    model = read_recipe("lfads-tiny", ["observation.history=SpikeHistory"]).build(5)
    assert kinds(model) == (Poisson, SpikeHistory, None)
    assert model.observation.counts.link == "exp"
    model = read_recipe("lfads-tiny", ["observation.counts.link=softplus"]).build(5)
    assert kinds(model) == (Poisson, None, None)
    assert model.observation.counts.link == "softplus"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["observation.noise=SharedNoises"], "Did you mean SharedNoise"),
        (["observation.noise.ranks=3"], "Did you mean rank"),
        (["observation.counts=SharedNoise"], "must name one of Poisson, Refractory"),
        (["observation.history.basis=square"], "observation.history.basis"),
        (["observation.noise.rank=0"], "SharedNoise needs"),
        (
            ["observation=Poisson"],
            'three settings.*Write observation = {counts = "Poisson", history = "none", noise = "n',
        ),
        (["observation.name=SpikeHistory"], 'three settings.*Write observation = {history = "SpikeHistory"'),
        (["observation=SharedNoise"], 'three settings.*Write observation = {noise = "SharedNoise"}'),
        (["observation.inner=Poisson"], "three settings"),
    ],
)
def test_wrong_words_are_refused(changes, message):
    with pytest.raises(SettingError, match=message):
        read_recipe("ldns-tiny", changes).build(5)


def test_its_statistics_are_measured_and_kept_in_the_file(fitted, tmp_path):
    assert fitted.observation.history.filters.any()
    fitted.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    for name, value in fitted.observation.state_dict().items():
        assert torch.equal(value, again.observation.state_dict()[name]), name
    np.testing.assert_array_equal(again.sample(5, seed=3).counts, fitted.sample(5, seed=3).counts)
    settings = json.loads((tmp_path / "model" / "config.json").read_text())["settings"]
    assert settings["observation"]["counts"]["name"] == "Refractory"


def test_a_folder_of_another_version_is_refused_in_one_sentence(fitted, tmp_path):
    """The version is checked before the settings, because an older folder has settings of other names."""
    fitted.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    old = {**config, "version": 1, "settings": {"observation": {"name": "Poisson"}}}
    (tmp_path / "config.json").write_text(json.dumps(old))
    write_manifest(tmp_path, ["config.json", "model.safetensors", "recipe.toml", "history.jsonl"])
    with pytest.raises(CorruptFileError, match=r"reads model folders of format .*, version 3.*version 1"):
        load_model(tmp_path)


def test_a_resumed_run_has_the_same_observation_model(tmp_path, monkeypatch, fitted):
    """If training stops in the second stage, a resume fits the same statistics again."""
    trials = toy_trials(40, variable=True)
    half = toy_model()
    with monkeypatch.context() as patch:
        original = half._diffused

        def late(*words):
            original(*words)
            raise KeyboardInterrupt

        patch.setattr(half, "_diffused", late)
        with pytest.raises(KeyboardInterrupt):
            half.fit(trials, out=tmp_path, progress=False)
    again = toy_model().fit(trials, out=tmp_path, progress=False)
    for name, value in fitted.observation.state_dict().items():
        torch.testing.assert_close(value, again.observation.state_dict()[name])


def test_unseen_rates_do_not_see_their_own_count(fitted):
    """With each part hidden in turn, a count changes rates elsewhere, never its own."""
    trials = toy_trials(6)
    changed = np.array(trials.counts)
    changed[2, 7, 3] += 5
    with torch.no_grad():
        before, after = (fitted.unseen_rates(Trials(c, 0.01)) for c in (trials.counts, changed))
    assert before[2, 7, 3] == after[2, 7, 3]
    assert not np.array_equal(before[2], after[2])
    np.testing.assert_array_equal(before[3], after[3])


def test_generated_counts_have_the_mean_of_the_trials(fitted):
    trials, fake = toy_trials(40, variable=True), fitted.sample(400, seed=8)
    assert fake.n_neurons == NEURONS
    wanted = trials.counts.sum((0, 1)) / trials.n_valid_bins
    result = fake.counts.sum((0, 1)) / fake.n_valid_bins
    np.testing.assert_allclose(result, wanted, rtol=0.12)  # 40 trials measured it, 40 generated ones matched it


def test_without_calibration_the_published_model_is_plain():
    model = toy_model(observation=ObservationModel(Poisson(), history=None, noise=None)).fit(
        toy_trials(), progress=False
    )
    assert not list(model.observation.buffers())
    assert model.sample(3, n_bins=10).counts.shape == (3, 10, NEURONS)
