"""LDNS end to end on a toy: seeds, batches, lengths, files, conditions and calibration."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from spikeloom.diffusion.sampler import DDIM
from spikeloom.errors import ConditionError, CorruptFileError, DataError, SettingError, ShapeError, TrainingError
from spikeloom.losses import coordinated_dropout
from spikeloom.models.common.latent_settings import AutoencoderSettings
from spikeloom.models.common.named_condition import ConditionRangeWarning
from spikeloom.models.ldns import LDNS
from spikeloom.observation.model import ObservationModel
from spikeloom.observation.poisson import Poisson
from spikeloom.recipe import load_model
from spikeloom.seeds import Purpose, Streams
from spikeloom.training.plan import Plan
from spikeloom.trials import Trials
from tests.helpers.small_ldns import NEURONS, toy_model, toy_trials

ALL = ("angle_deg", "side", "speed", "wave")


@pytest.fixture(scope="module")
def plain() -> LDNS:
    return toy_model().fit(toy_trials(variable=True), progress=False)


@pytest.fixture(scope="module")
def conditioned() -> LDNS:
    return toy_model(condition=ALL).fit(toy_trials(), progress=False)


def test_samples_are_trials_with_rates_and_latents(plain):
    fake = plain.sample(30, seed=1)
    reference = set(toy_trials(variable=True).lengths.tolist())
    assert fake.counts.shape[0] == 30
    assert fake.n_neurons == NEURONS
    assert set(fake.lengths.tolist()) <= reference  # drawn from the training lengths
    assert len(set(fake.lengths.tolist())) > 3
    assert (fake.rates[fake.mask] > 0).all()
    assert fake.latents.shape[2] == 4
    assert fake.source == "LDNS"


def test_a_trial_is_the_same_alone_and_in_any_batch(plain):
    together = plain.sample(9, n_bins=30, seed=3)
    in_threes = plain.sample(9, n_bins=30, seed=3, max_batch=2)
    np.testing.assert_allclose(in_threes.latents, together.latents, atol=1e-5)
    np.testing.assert_array_equal(plain.sample(4, n_bins=30, seed=3).counts, together.counts[:4])
    assert not np.array_equal(plain.sample(9, n_bins=30, seed=4).counts, together.counts)


def test_rows_are_the_same_trials_of_a_larger_request(conditioned):
    trials = toy_trials()
    words = dict(like=trials, condition=ALL, seed=3)
    full, subset = conditioned.sample(**words), conditioned.sample(**words, rows=[5, 17])
    np.testing.assert_array_equal(subset.counts, full.counts[[5, 17]])
    np.testing.assert_array_equal(subset.behavior["wave"], full.behavior["wave"][[5, 17]])
    assert subset.conditions["side"].tolist() == full.conditions["side"][[5, 17]].tolist()


def test_trials_of_different_length_do_not_disturb_each_other(plain):
    lengths = toy_trials(variable=True)
    together = plain.sample(like=lengths, seed=2)
    for trial in (0, 5):
        noise, spikes = (Streams(2, p, 0, [trial]) for p in (Purpose.SAMPLE, Purpose.SPIKES))
        length = int(lengths.lengths[trial])
        from spikeloom.models.common.request import Request

        with torch.inference_mode():
            alone = plain.draw(Request(np.array([length]), noise, spikes))
        np.testing.assert_allclose(alone.latents[0], together.latents[trial, :length], atol=1e-5)


def test_any_length_and_any_sampler(plain):
    assert plain.sample(2, n_bins=500).n_bins == 500
    slow = plain.sample(2, n_bins=20, sampler=DDIM(3), seed=1)
    assert not np.allclose(slow.latents, plain.sample(2, n_bins=20, seed=1).latents)


def test_saved_and_loaded_in_a_fresh_process_it_samples_the_same(conditioned, tmp_path):
    conditioned.save(tmp_path / "model")
    value = {"angle_deg": 45, "side": "left", "speed": 0.5, "wave": np.zeros((10, 1)).tolist()}
    code = (
        "import sys, json; from spikeloom.recipe import load_model; m = load_model(sys.argv[1]);"
        "f = m.sample(3, n_bins=10, condition=json.loads(sys.argv[2]), seed=5); print(json.dumps(f.counts.tolist()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model"), json.dumps(value)],
        capture_output=True,
        text=True,
        check=True,
    )
    here = conditioned.sample(3, n_bins=10, condition=value, seed=5)
    np.testing.assert_array_equal(json.loads(done.stdout.splitlines()[-1]), here.counts)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "recipe.toml"])
def test_one_flipped_bit_is_refused(plain, tmp_path, name):
    plain.save(tmp_path / "model")
    file = tmp_path / "model" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(CorruptFileError, match=name):
        load_model(tmp_path / "model")


def test_the_same_seed_trains_the_same_model_and_another_another():
    states = [toy_model().fit(toy_trials(), seed=seed, progress=False).state_dict() for seed in (1, 1, 2)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["encoder.stack.enter.weight"], states[2]["encoder.stack.enter.weight"])


def test_fitting_leaves_the_global_generators_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    toy_model(updates=1).fit(toy_trials(), progress=False)
    assert torch.equal(torch.rand(3), expected)


def test_an_untrained_model_does_not_speak():
    for ask in (lambda m: m.sample(3), lambda m: m.encode(toy_trials()), lambda m: m.save("nowhere")):
        with pytest.raises(TrainingError, match="only constructed"):
            ask(toy_model())


def test_a_finished_run_is_loaded_and_another_run_is_refused(tmp_path):
    first = toy_model().fit(toy_trials(), out=tmp_path, progress=False)
    again = toy_model().fit(toy_trials(), out=tmp_path, progress=False)
    assert torch.equal(first.readout.generated.calibration.match, again.readout.generated.calibration.match)
    for other, data in ((toy_model(updates=5), toy_trials()), (toy_model(), toy_trials(seed=1))):
        with pytest.raises(SettingError, match="was started with other"):
            other.fit(data, out=tmp_path)


def test_latents_are_standardised_and_mean_counts_matched(plain):
    trials = toy_trials(variable=True)
    coded = plain.encode(trials)
    valid = coded.latents[trials.mask]
    np.testing.assert_allclose(valid.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(valid.std(0), 1, atol=1e-4)
    np.testing.assert_allclose(coded.rates.sum((0, 1)), trials.counts.sum((0, 1)), rtol=1e-3)


def test_generated_mean_counts_are_matched_too(plain):
    """The rates of 400 other generated trials have the training trials' mean counts, up to the spread of samples."""
    trials, fake = toy_trials(variable=True), plain.sample(400, seed=9)
    counted = trials.counts.sum((0, 1)) / trials.n_valid_bins
    np.testing.assert_allclose(fake.rates.sum((0, 1)) / fake.n_valid_bins, counted, rtol=0.1)  # 24 trials measured it


def test_what_follows_conditions_is_calibrated_by_itself(conditioned, plain):
    """Mean counts hold with conditions and without, though the two kinds of samples need different matches."""
    trials = toy_trials()
    counted = trials.counts.sum((0, 1)) / trials.n_valid_bins
    for condition in ((), ALL):
        fake = conditioned.sample(like=trials, condition=condition, seed=9)
        np.testing.assert_allclose(
            fake.rates.sum((0, 1)) / fake.n_valid_bins, counted, rtol=0.1
        )  # 24 trials measured it
    assert not torch.equal(
        conditioned.readout.conditional.calibration.match, conditioned.readout.generated.calibration.match
    )
    assert (plain.readout.conditional.calibration.match == 1).all()  # it has no conditions


def test_calibration_can_be_left_out():
    settings = AutoencoderSettings(width=8, blocks=1, calibrate=False)
    model = toy_model(autoencoder_settings=settings, condition=("speed",)).fit(toy_trials(), progress=False)
    for source in ("inferred", "generated", "conditional"):
        calibration = model.readout.of(source).calibration
        assert calibration.gain == 1
        assert (calibration.match == 1).all()


def test_every_weight_is_trained(conditioned):
    """No parameter is left at its initial value: nothing is built that the losses do not reach."""
    before = toy_model(condition=ALL)
    with torch.random.fork_rng(devices=[]):
        from spikeloom.seeds import generator

        torch.manual_seed(int(generator(0, Purpose.INIT).integers(2**62)))
        before.build(conditioned.facts)
    start = dict(before.named_parameters())
    same = [name for name, p in conditioned.named_parameters() if torch.equal(p, start[name])]
    assert not same


def test_samples_follow_and_hold_their_conditions(conditioned):
    trials = toy_trials()
    fake = conditioned.sample(like=trials, condition=ALL, seed=1)
    assert set(fake.conditions) == set(trials.conditions)
    np.testing.assert_array_equal(fake.behavior["wave"], trials.behavior["wave"])
    assert fake.units["wave"] == "m"
    without = conditioned.sample(like=trials, condition=(), seed=1)
    assert not without.conditions
    strong = conditioned.sample(like=trials, condition=ALL, guidance=3.0, seed=1)
    for other in (without, strong):
        assert not np.allclose(other.latents, fake.latents, atol=1e-4)
    np.testing.assert_allclose(
        conditioned.sample(like=trials, condition=ALL, guidance=0.0, seed=1).latents, without.latents, atol=1e-5
    )


def test_trials_to_be_like_may_be_padded_further_than_they_last(conditioned):
    trials = toy_trials()
    short = Trials(
        trials.counts,
        trials.bin_width,
        lengths=np.full(24, 17),
        behavior=dict(trials.behavior),
        conditions=dict(trials.conditions),
    )
    fake = conditioned.sample(like=short, condition=ALL, seed=1)
    np.testing.assert_array_equal(fake.behavior["wave"], trials.behavior["wave"][:, :17])


def test_trials_to_be_like_must_have_the_same_bins(conditioned):
    """24 bins of 25 ms are not 24 bins of 10 ms."""
    with pytest.raises(SettingError, match=r"has bins of 25 ms, but the model was trained on bins of 10 ms"):
        conditioned.sample(like=Trials(toy_trials().counts, 0.025), seed=1)


def test_an_unknown_category_is_named_as_it_was_written():
    trials = toy_trials()
    numbered = Trials(trials.counts, trials.bin_width, conditions={"target": np.arange(24) % 3})
    model = toy_model(condition=("target",)).fit(numbered, progress=False)
    with pytest.raises(ConditionError, match=r"one of \[0, 1, 2\]\. It was 9"):
        model.sample(2, condition={"target": 9})


def test_a_condition_without_values_is_drawn_from_training():
    model = toy_model(condition=("side", "angle_deg")).fit(toy_trials(), progress=False)
    fake = model.sample(50, condition=["side", "angle_deg"])
    assert set(fake.conditions["side"]) == {"left", "right"}
    assert set(fake.conditions["angle_deg"]) <= set(toy_trials().conditions["angle_deg"])


def test_by_default_all_conditions_of_a_trial_are_those_of_one_training_trial():
    train, like = toy_trials(), toy_trials(50, seed=3)
    names = ("side", "angle_deg", "speed")
    model = toy_model(condition=names).fit(train, progress=False)
    fake = model.sample(like=like, seed=1)
    assert set(fake.conditioned_on) == set(fake.conditions) == set(names)  # other labels of `like` are not copied
    pairs = [set(zip(*(trials.conditions[name].tolist() for name in names), strict=True)) for trials in (fake, train)]
    assert len(pairs[0]) > 10
    assert pairs[0] <= pairs[1]
    np.testing.assert_array_equal(model.sample(50, n_bins=24, condition=names, seed=1).counts, fake.counts)
    assert not np.array_equal(model.sample(50, guidance=3.0, seed=1).latents, fake.latents)


def test_an_empty_condition_and_a_model_of_series_sample_without_conditions(conditioned, plain):
    model = toy_model(condition=("side",)).fit(toy_trials(), progress=False)
    free = model.sample(5, condition=(), seed=1)
    assert free.conditioned_on == ()
    assert not free.conditions
    assert not np.array_equal(free.latents, model.sample(5, seed=1).latents)
    for one in (conditioned, plain):
        np.testing.assert_array_equal(one.sample(5, seed=1).counts, one.sample(5, condition=(), seed=1).counts)
    for one, condition in ((model, ()), (conditioned, None)):
        with pytest.raises(SettingError, match="there is no condition"):
            one.sample(5, condition=condition, guidance=2.0)


BAD = [
    ({"angle_deg": 10, "side": "middle", "speed": 0, "wave": [[0.0]] * 8}, "must be one of"),
    ({"angle_deg": "east", "side": "left", "speed": 0, "wave": [[0.0]] * 8}, "must be a number"),
    ({"angle_deg": float("nan"), "side": "left", "speed": 0, "wave": [[0.0]] * 8}, "NaN"),
    ({"angle_deg": 10, "side": "left", "speed": 0, "wave": [[0.0]] * 3}, "8 bins"),
    ({"angle_deg": [1, 2, 3], "side": "left", "speed": 0, "wave": [[0.0]] * 8}, "each of 2 trials"),
    ({"angle_deg": 10}, "no value for"),
    ("colour", "names .*colour"),
    (["wave", "side", "speed", "angle_deg"], "needs values"),
]


@pytest.mark.parametrize(("condition", "message"), BAD)
def test_wrong_conditions_are_refused(conditioned, condition, message):
    with pytest.raises(ConditionError, match=message):
        conditioned.sample(2, n_bins=8, condition=condition)


def test_a_condition_outside_the_training_range_is_allowed_with_a_warning(conditioned):
    value = {"angle_deg": 10, "side": "left", "speed": 40.0, "wave": [[0.0]] * 8}
    with pytest.warns(ConditionRangeWarning, match="speed reaches from 40 to 40"):
        conditioned.sample(2, n_bins=8, condition=value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        conditioned.sample(2, n_bins=8, condition={**value, "speed": 0.1})


def test_bad_requests_say_what_to_do(plain):
    for ask in (
        lambda: plain.sample(),
        lambda: plain.sample(0),
        lambda: plain.sample(3, n_bins=0),
    ):
        with pytest.raises(SettingError, match="number of trials"):
            ask()
    with pytest.raises(ConditionError, match="trained without conditions"):
        plain.sample(3, condition="side")
    with pytest.raises(ShapeError, match="6 neurons"):
        plain.encode(toy_trials().select_neurons([0, 1]))
    with pytest.raises(DataError, match="two trials"):
        toy_model().fit(toy_trials().select([0]))


def test_latents_must_divide_the_width():
    with pytest.raises(SettingError, match="n_latents=3"):
        toy_model(n_latents=3)


def test_a_range_of_dropout_hides_another_share_of_each_trial(monkeypatch):
    shares = []

    def spy(counts, uniform, *, probability):
        shares.append(probability)
        return coordinated_dropout(counts, uniform, probability=probability)

    monkeypatch.setattr("spikeloom.models.common.latent_autoencoder.coordinated_dropout", spy)
    settings = AutoencoderSettings(width=16, blocks=1, dropout=0.1, most_dropout=0.8)
    model = toy_model(autoencoder_settings=settings).fit(toy_trials(), progress=False)
    drawn = torch.cat([share.flatten() for share in shares])
    assert (drawn.min() >= 0.1) & (drawn.max() <= 0.8)
    assert len(drawn.unique()) == len(drawn) > 20
    assert abs(drawn.mean() - 0.45) < 4 * 0.2 / len(drawn) ** 0.5
    assert np.isfinite(model.unseen_rates(toy_trials())).all()
    with pytest.raises(ValueError, match="larger than dropout"):
        AutoencoderSettings(dropout=0.5, most_dropout=0.5)


def test_a_causal_model_encodes_causally():
    causal = AutoencoderSettings(width=8, blocks=1, bidirectional=False)
    model = toy_model(autoencoder_settings=causal).fit(toy_trials(), progress=False)
    trials = toy_trials(4)
    changed = np.array(trials.counts)
    changed[:, 15:] += 2
    early = [model.encode(x).latents[:, :15] for x in (trials, Trials(changed, 0.01))]
    np.testing.assert_allclose(*early, atol=1e-5)


def test_training_learns():
    """Rates inferred for test trials explain their counts better than the mean rates do."""
    trials = toy_trials(200)
    train, test = trials.select(slice(0, 150)), trials.select(slice(150, 200))
    fast = Plan(updates=200, batch=16, learning_rate=1e-2)
    model = toy_model(autoencoder_plan=fast).fit(train, progress=False)
    rates = torch.from_numpy(np.array(model.encode(test).rates))
    counts = torch.from_numpy(test.counts.astype(np.float32))
    poisson = ObservationModel(Poisson(), history=None, noise=None)
    fitted = poisson.log_prob(counts, poisson.drive(rates)).mean()
    flat = poisson.log_prob(counts, poisson.drive(counts.mean((0, 1)).expand_as(counts))).mean()
    assert fitted > flat + 0.02


def test_a_model_follows_conditions_as_strongly_as_its_recipe_says_by_default():
    model = toy_model(condition=("angle_deg",), guidance=3.0).fit(toy_trials())
    mine = model.sample(4, condition={"angle_deg": 90.0}, seed=1).latents
    np.testing.assert_array_equal(mine, model.sample(4, condition={"angle_deg": 90.0}, guidance=3.0, seed=1).latents)
    plain = model.sample(4, condition={"angle_deg": 90.0}, guidance=1.0, seed=1).latents
    assert not np.allclose(mine, plain)
