"""LDNS with a student: when it samples, and how a run gets it."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from spikeloom.diffusion.sampler import DEFAULT, SDEDPMSolver2M
from spikeloom.errors import SettingError
from spikeloom.models.common.cost import cost
from spikeloom.models.common.latent_settings import StudentSettings
from spikeloom.models.ldns import LDNS
from spikeloom.recipe import load_model
from spikeloom.training import stage_run
from spikeloom.training.plan import Plan
from tests.helpers.small_ldns import toy_model, toy_trials

PLAN = Plan(updates=4, batch=8, learning_rate=2e-3, average=0.9)
SETTINGS = dict(condition=("angle_deg", "wave"), guidance=1.5)
WITH_STUDENT = dict(**SETTINGS, distill_plan=PLAN, student_settings=StudentSettings(steps=2, samples=20))


@pytest.fixture(scope="module")
def trials():
    return toy_trials(variable=True)


@pytest.fixture(scope="module")
def teacher(trials) -> LDNS:
    return toy_model(**SETTINGS).fit(trials, progress=False)


@pytest.fixture(scope="module")
def folder(trials, tmp_path_factory):
    """A run that was trained with a student from the beginning."""
    folder = tmp_path_factory.mktemp("run")
    toy_model(**WITH_STUDENT).fit(trials, out=folder, progress=False)
    return folder


@pytest.fixture(scope="module")
def student(folder) -> LDNS:
    return load_model(folder)


def draws(model, trials, **words):
    return model.sample(like=trials, condition=SETTINGS["condition"], seed=3, **words)


def test_the_student_is_the_default_and_costs_its_steps(student, teacher):
    key = "network evaluations per sample"
    assert (cost(student, n_trials=2)[key], cost(teacher, n_trials=2)[key]) == ("2", "20")
    assert (dict(student.notes), dict(teacher.notes)) == ({"student": "2 network evaluations per sample"}, {})


def test_a_named_sampler_another_guidance_and_streams_are_those_of_the_diffusion(student, teacher, trials):
    fake = draws(student, trials)
    named = draws(student, trials, sampler=DEFAULT)
    np.testing.assert_array_equal(named.latents, draws(teacher, trials).latents)
    np.testing.assert_array_equal(named.counts, draws(teacher, trials).counts)
    strong, expected = (draws(one, trials, guidance=3.0) for one in (student, teacher))
    np.testing.assert_array_equal(strong.latents, expected.latents)
    assert not np.allclose(fake.latents, named.latents, atol=1e-2)
    first, second = (next(one.stream(n_bins=30, condition=(), chunk=30, seed=2)).latents for one in (student, teacher))
    np.testing.assert_array_equal(first, second)


def test_a_trial_is_the_same_beside_longer_trials_that_the_diffusion_generates(student, teacher, trials):
    wide = toy_trials(4, time=40)
    counts = np.zeros((8, 40, trials.n_neurons), np.uint8)
    lengths = np.array([40, 20, 40, 12, 24, 25, 24, 30])
    wave = 0.9 * np.resize(np.array(wide.behavior["wave"]), (8, 40, 1))
    mixed = replace(
        trials,
        counts=counts,
        lengths=lengths,
        conditions={"angle_deg": np.linspace(0, 300, 8)},
        behavior={"wave": wave},
    )
    fake = draws(student, mixed)
    long = np.flatnonzero(lengths > student.longest)
    np.testing.assert_allclose(fake.latents[long], draws(teacher, mixed).latents[long], atol=1e-5)
    for trial in (1, 3, 4):
        alone = student.sample(like=mixed, condition=SETTINGS["condition"], seed=3, rows=[trial])
        length = lengths[trial]
        np.testing.assert_allclose(alone.latents[0, :length], fake.latents[trial, :length], atol=1e-5)
        np.testing.assert_array_equal(alone.counts[0, :length], fake.counts[trial, :length])
        assert (fake.counts[trial, length:] == 0).all()


def test_a_student_learns_what_its_teacher_does(trials):
    plan = Plan(updates=200, batch=16, learning_rate=5e-3)
    model = toy_model(**{**WITH_STUDENT, "distill_plan": plan, "student_settings": StudentSettings(samples=200)})
    model.fit(trials, progress=False)
    lines = [line["validation"] for line in model.history if line["stage"] == "student" and "validation" in line]
    assert min(lines) < lines[0] / 4
    fake, expected = draws(model, trials), draws(model, trials, sampler=DEFAULT)
    error = np.square(fake.latents - expected.latents)[trials.mask].mean()
    assert error < 0.1 * expected.latents[trials.mask].var()


def test_each_source_has_statistics_of_its_own(student):
    gains = {name: student.readout.of(name).calibration.match for name in student.readout.sources}
    assert len({tuple(value.tolist()) for value in gains.values()}) == 5


def test_a_student_without_conditions(trials):
    settings = {**WITH_STUDENT, "condition": (), "guidance": 1.0}
    fake = toy_model(**settings).fit(trials, progress=False).sample(5, seed=1)
    assert np.isfinite(fake.latents).all()


def test_saved_and_loaded_it_samples_the_same(student, trials, tmp_path):
    student.save(tmp_path)
    np.testing.assert_array_equal(draws(load_model(tmp_path), trials).counts, draws(student, trials).counts)


def test_a_teacher_that_draws_noise_is_refused():
    with pytest.raises(SettingError, match="draws no fresh noise"):
        toy_model(**WITH_STUDENT, sampler=SDEDPMSolver2M(20))
    toy_model(sampler=SDEDPMSolver2M(20))


# --- runs ------------------------------------------------------------------------------------------------------------


def interrupt(model, trials, folder, *, after):
    """Stop the training of the student after some validations."""
    left = [after]

    def stop(line, done):
        if line["stage"] == "student":
            left[0] -= 1
            if left[0] == 0:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        model.fit(trials, out=folder, progress=False, after_validation=stop)


def same(one, other):
    weights = other.state_dict()
    return all(torch.equal(value, weights[name]) for name, value in one.state_dict().items())


def test_an_interrupted_training_of_the_student_resumes(student, trials, tmp_path, monkeypatch):
    monkeypatch.setattr(stage_run, "SAVE_PAUSE", 0.0)
    interrupt(toy_model(**WITH_STUDENT), trials, tmp_path, after=3)
    assert list((tmp_path / "checkpoints").glob("student-*"))
    assert not (tmp_path / "model").exists()
    assert same(toy_model(**WITH_STUDENT).fit(trials, out=tmp_path, progress=False), student)


def test_a_finished_run_can_add_a_student_and_no_other_change(student, trials, tmp_path, monkeypatch):
    monkeypatch.setattr(stage_run, "SAVE_PAUSE", 0.0)
    first = toy_model(**SETTINGS).fit(trials, out=tmp_path, progress=False)
    with pytest.raises(SettingError, match="n_latents"):
        toy_model(**{**WITH_STUDENT, "n_latents": 2}).fit(trials, out=tmp_path, progress=False)
    interrupt(toy_model(**WITH_STUDENT), trials, tmp_path, after=2)
    assert same(load_model(tmp_path), first)  # until the student is trained
    trained = [
        tmp_path / "checkpoints" / f"{stage}-finished" / "model.safetensors" for stage in ("autoencoder", "diffusion")
    ]
    before = [path.stat().st_mtime_ns for path in trained]
    assert same(toy_model(**WITH_STUDENT).fit(trials, out=tmp_path, progress=False), student)
    assert same(load_model(tmp_path), student)
    assert [path.stat().st_mtime_ns for path in trained] == before  # they were not trained again
    stages = [json.loads(line)["stage"] for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert list(dict.fromkeys(stages)) == ["autoencoder", "diffusion", "samples_of_teacher", "student", "readout"]
    with pytest.raises(SettingError, match=r"distill_plan.* in the folder"):
        toy_model(**SETTINGS).fit(trials, out=tmp_path, progress=False)
