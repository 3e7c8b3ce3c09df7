"""GNOCCHI on the rates that another model infers from spikes, trained in the same run."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from spikeloom.errors import SettingError
from spikeloom.files import read_json
from spikeloom.models.gnocchi import GNOCCHI, SignalSettings
from spikeloom.models.ldns import LDNS
from spikeloom.models.lfads import LFADS
from spikeloom.recipe import load_model, read_recipe
from spikeloom.training import stage_run
from spikeloom.trials import Trials
from tests.helpers.command import run
from tests.models.test_gnocchi import NEURONS, TIME, toy

QUICK = {
    "gnocchi-on-ldns-tiny": ["signal_model.autoencoder_plan.updates=6", "plan.updates=6"],
    "gnocchi-on-lfads-tiny": ["signal_model.plan.updates=6", "plan.updates=6"],
}
FIRST_STAGE = {"gnocchi-on-ldns-tiny": "signal_autoencoder", "gnocchi-on-lfads-tiny": "signal_lfads"}


def spikes_only(trials):
    return replace(trials, rates=None, latents=None)


def small(recipe, *changes):
    return read_recipe(recipe, [*QUICK[recipe], *changes]).build(NEURONS)


@pytest.fixture(scope="module", params=list(QUICK))
def recipe(request):
    return request.param


@pytest.fixture(scope="module")
def fitted(recipe):
    return small(recipe).fit(toy(), validation=toy(12, seed=3), progress=False)


def test_spikes_are_all_it_reads(recipe, fitted):
    again = small(recipe).fit(spikes_only(toy()), validation=spikes_only(toy(12, seed=3)), progress=False)
    data = toy(20, seed=1)
    coded = fitted.encode(spikes_only(data))
    np.testing.assert_array_equal(again.encode(data).codes, coded.codes)  # true rates of a simulation play no part
    assert coded.rates.shape == data.counts.shape
    assert list(dict.fromkeys(line["stage"] for line in fitted.history)) == [FIRST_STAGE[recipe], "denoiser", "noise"]


def test_the_signal_is_what_the_first_model_infers(fitted):
    """The same GNOCCHI fitted to those rates has the same components."""
    data = toy()
    rates = fitted.signal_model.encode(spikes_only(data)).rates
    np.testing.assert_array_equal(fitted.encode(data).rates, rates)
    plain = GNOCCHI(NEURONS, signal_settings=fitted.signal_settings, plan=fitted.plan, prior="gaussian")
    plain.fit(replace(data, rates=rates), progress=False)
    torch.testing.assert_close(plain.activity.basis, fitted.activity.basis, rtol=0, atol=0)


def test_everything_lies_in_one_folder(fitted, tmp_path):
    fitted.save(tmp_path)
    again, data = load_model(tmp_path), toy(12, seed=1)
    np.testing.assert_array_equal(again.encode(data).codes, fitted.encode(data).codes)
    np.testing.assert_array_equal(again.sample(5, seed=2).counts, fitted.sample(5, seed=2).counts)
    assert type(again.signal_model) is type(fitted.signal_model)


@pytest.mark.parametrize("interrupted", ["first", "denoiser"])
def test_an_interrupted_run_resumes_to_the_same_weights(recipe, fitted, interrupted, tmp_path, monkeypatch):
    monkeypatch.setattr(stage_run, "SAVE_PAUSE", 0.0)
    held_out = toy(12, seed=3)
    stage = FIRST_STAGE[recipe] if interrupted == "first" else interrupted

    def stop(line, _):
        if line["stage"] == stage and line["update"] == 4:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        small(recipe).fit(toy(), validation=held_out, out=tmp_path, after_validation=stop, progress=False)
    resumed = small(recipe).fit(toy(), validation=held_out, out=tmp_path, progress=False)
    expected = fitted.state_dict()
    for name, value in resumed.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0, msg=name)
    assert any("signal_model" in name for name in read_json(tmp_path / "run.json")["trials per update"])
    other = small(recipe, "signal_model.n_latents=4" if "ldns" in recipe else "signal_model.n_codes=4")
    with pytest.raises(SettingError, match=r"signal_model\.n_(latents|codes) "):
        other.fit(toy(), validation=held_out, out=tmp_path, progress=False)


def test_latents_of_the_first_model_as_the_signal():
    trained = small("gnocchi-on-ldns-tiny", "signal_settings.of=latents", "signal_settings.n_latents=8").fit(toy())
    assert trained.sample(3, seed=0).latents.shape == (3, TIME, 8)
    assert trained.encode(toy(4, seed=1)).codes.shape == (4, 8)


def test_trials_of_any_length_as_a_sequence():
    data = spikes_only(toy(24, variable=True))
    trained = small("gnocchi-on-ldns-tiny", "signal_settings.form=sequence").fit(data)
    padded = Trials(np.pad(data.counts, ((0, 0), (0, 9), (0, 0))), 0.02, lengths=data.lengths)
    np.testing.assert_allclose(trained.encode(padded).codes, trained.encode(data).codes, atol=1e-4)
    np.testing.assert_array_equal(trained.sample(like=data, seed=1).lengths, data.lengths)


def test_the_first_model_is_exchanged_by_a_setting():
    changes = ["signal_model.recipe=lfads-tiny", "signal_model.n_codes=4"]
    one = read_recipe("gnocchi-on-ldns-tiny", changes).build(NEURONS)
    assert isinstance(one.signal_model, LFADS)
    assert one.signal_model.n_codes == 4
    assert one.signal_model.network_settings == read_recipe("lfads-tiny").build(NEURONS).network_settings
    none = read_recipe("gnocchi-on-ldns-tiny", ["signal_model=none"]).build(NEURONS)
    assert none.signal_model is None
    assert none.reads == "rates"


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: LDNS(NEURONS + 1), f"{NEURONS + 1} neurons"),
        (lambda: LDNS(NEURONS, condition=("gain",)), "conditions gain"),
        (lambda: read_recipe("gnocchi-tiny").build(NEURONS), "GNOCCHI: untrained"),
        (lambda: read_recipe("lfads-tiny", ["plan.updates=1"]).build(NEURONS).fit(toy()), "LFADS: trained"),
    ],
)
def test_first_models_that_do_not_fit_are_refused(build, words):
    with pytest.raises(SettingError, match=words):
        GNOCCHI(NEURONS, signal_settings=SignalSettings(of="rates"), signal_model=build())


def test_mistakes_are_named(fitted):
    with pytest.raises(SettingError, match=r"signal_settings\.of=rates"):
        GNOCCHI(NEURONS, signal_model=LDNS(NEURONS))
    with pytest.raises(SettingError, match="part of another model"):
        fitted.signal_model.sample(3)
    with pytest.raises(SettingError, match="unknown key"):
        small("gnocchi-on-ldns-tiny", "signal_model.nose=3")


def test_by_command(recipe, tmp_path, capsys):
    arm, folder = ["--trials", 72, "--seed", 1], tmp_path / "run"
    assert run("simulate", "reaching", *arm, "--out", tmp_path / "train.h5") == 0
    changes = [word for change in QUICK[recipe] for word in ("--set", change)]
    assert run("fit", recipe, "--data", tmp_path / "train.h5", *changes, "--out", folder) == 0
    assert run("encode", folder, "--data", tmp_path / "train.h5", "--out", tmp_path / "codes.h5") == 0
    assert Trials.load(tmp_path / "codes.h5").codes.shape[1] == 8
    assert run("inspect", folder) == 0
    assert "signal_model" in capsys.readouterr().out
    words = ["--along", "target_x", "--span", "-0.02", "0.02", "--trials", 4, "--report", tmp_path / "moved.html"]
    assert run("traverse", folder, "--data", tmp_path / "train.h5", *words, "--out", tmp_path / "moved.h5") == 0
    assert "hand_position (m)" in (tmp_path / "moved.html").read_text()
