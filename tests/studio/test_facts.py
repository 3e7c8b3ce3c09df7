"""Levels of conditions, movements, the decoder, and the search for training trials."""

import dataclasses

import numpy as np
import pytest

import spikeloom as sl
from spikeloom.errors import ConditionError, FileError
from spikeloom.models.common.named_condition import NamedCondition
from spikeloom.studio.columns import Column, psth
from spikeloom.studio.decoder import Decoder
from spikeloom.studio.facts import LoadedModel
from spikeloom.studio.movements import kind_of, movements_of
from spikeloom.studio.results import numbers, raster
from spikeloom.studio.training_data import training_trials
from spikeloom.trials import Trials


def column(values: np.ndarray, name: str = "x") -> Column:
    """Return the levels of a condition with these values."""
    trials = Trials(np.ones((len(values), 5, 2), int), 0.02, conditions={name: values})
    return Column.of(trials, NamedCondition.fit(trials, name))


def test_few_values_are_levels():
    one = column(np.array([0.0, 90.0, 90.0, 350.0]), "angle_deg")
    assert one.levels == (0.0, 90.0, 350.0)
    assert one.members.tolist() == [0, 1, 1, 2]
    assert [one.levels[one.nearest(value)] for value in (355.5, 359.0, -40.0, 460.0)] == [0, 0, 350, 90]


def test_many_angles_are_divided_around_the_circle():
    angles = np.random.default_rng(0).uniform(0, 360, 200)
    one = column(angles, "angle_deg")
    assert one.levels == tuple(45.0 * k for k in range(8))
    away = np.abs((angles - np.array(one.levels)[one.members] + 180) % 360 - 180)
    assert away.max() <= 22.5


def test_levels_without_trials_are_left_out():
    one = column(np.random.default_rng(0).uniform(0, 100, 200), "angle_deg")
    assert one.levels == (0.0, 45.0, 90.0)
    assert one.nearest(300.0) == 0


def test_many_numbers_are_divided_by_quantiles():
    one = column(np.arange(100.0))
    assert len(one.levels) == 5
    assert np.bincount(one.members).min() >= 15


def test_categories_are_levels():
    one = column(np.array(["left", "right", "left"]))
    assert one.levels == ("left", "right")
    assert one.rows(0).tolist() == [0, 2]
    with pytest.raises(ConditionError, match="must be one of"):
        one.nearest("up")
    with pytest.raises(ConditionError, match="must be a number"):
        column(np.arange(4.0)).nearest("up")


def test_a_psth_is_the_mean_over_the_trials_that_last():
    counts = np.ones((2, 100, 1), int)
    counts[1, 50:] = 0
    trials = Trials(counts, 0.02, lengths=np.array([100, 50]))
    np.testing.assert_allclose(psth(trials), np.full((1, 100), 50.0), rtol=1e-5)


def test_a_raster_repeats_bins_with_two_spikes():
    trials = Trials(np.array([[[0, 2], [1, 0], [0, 0]]]), 0.02, lengths=np.array([2]))
    assert raster(trials, 0) == [[1], [0, 0]]


def test_missing_numbers_are_none():
    assert numbers(np.array([[1.234, np.nan], [np.inf, -2]]), 2) == [[1.23, None], [None, -2.0]]


@pytest.mark.parametrize(
    ("name", "unit", "kind"),
    [
        ("hand_velocity", "m/s", "velocity"),
        ("hand", "mm/s", "velocity"),
        ("cursor_vel", "", "velocity"),
        ("hand_position", "m", "position"),
        ("cursor", "", "position"),
    ],
)
def test_velocities_are_recognised(name, unit, kind):
    assert kind_of(name, unit) == kind


def test_movements_of_velocities_alone_are_integrated(recorded):
    only = {"hand_velocity": recorded.behavior["hand_velocity"]}
    moves = movements_of(dataclasses.replace(recorded, behavior=only), None)
    position = np.asarray(recorded.behavior["hand_position"], float)
    np.testing.assert_allclose(np.diff(moves.paths, axis=1), np.diff(position, axis=1), atol=1e-5)
    assert moves.usual.unit == "m"
    assert movements_of(dataclasses.replace(recorded, behavior={}), None) is None


def test_the_decoder_reads_a_tuned_population_and_no_other():
    rng = np.random.default_rng(0)
    velocity = np.cumsum(rng.normal(0, 0.2, (100, 60, 2)), 1)
    preferred = rng.normal(0, 1, (2, 40))
    counts = rng.poisson(np.exp(velocity @ preferred * 0.4))
    behavior = {"hand_velocity": velocity}
    tuned = Decoder.fit(Trials(counts, 0.02, behavior=behavior), "hand_velocity")
    other = Decoder.fit(Trials(rng.permutation(counts), 0.02, behavior=behavior), "hand_velocity")
    assert tuned.held_out == 20
    assert tuned.r2_real > 0.7  # a line through rates that are exponential in the velocity
    assert other.r2_real < 0.1


def test_training_trials_are_recognised_by_their_counts(runs, recorded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = sl.load_model(runs / "draw")
    near, note = training_trials(model, runs / "draw", [])
    assert (len(near), note) == (len(recorded), "")
    recorded.select(slice(60)).save(tmp_path / "other.h5")
    recorded.save(tmp_path / "same.h5")
    assert training_trials(model, runs / "draw", [tmp_path / "other.h5", tmp_path / "same.h5"])[1] == ""
    other, note = training_trials(model, runs / "draw", [tmp_path / "other.h5"])
    assert len(other) == 60
    assert note.startswith("other.h5 does not hold the training trials")
    recorded.select_neurons(slice(5)).save(tmp_path / "few.h5")
    with pytest.raises(FileError, match="these trials were not found"):
        training_trials(model, runs / "draw", [tmp_path / "few.h5"])


def test_a_model_without_behaviour_can_be_compared(tmp_path):
    trials = sl.simulate.lorenz(24, n_neurons=5, n_bins=30, seed=0)
    quick = ["autoencoder_plan.updates=2", "diffusion_plan.updates=2", 'observation.counts="Poisson"']
    quick += ['observation.history="none"', 'observation.noise="none"']
    model = sl.fit("ldns-tiny", trials, changes=quick, seed=0, progress=False)
    loaded = LoadedModel("lorenz", tmp_path, model, dataclasses.replace(trials, behavior={}))
    assert [name for name, able in loaded.abilities.items() if able] == ["compare"]
    details = loaded.details()
    assert (details["extent"], details["decoder"], details["codes"]) == (None, None, None)
    rates = trials.mean_rates_hz()[details["neuron_order"]]
    assert (np.diff(rates) <= 0).all()
