"""A run folder belongs to one run: changes of data that training reads are refused by name, other changes are not."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spikeloom.errors import SettingError
from spikeloom.files import read_json, sha256, write_json
from spikeloom.models.common.latent_settings import AutoencoderSettings, DenoiserSettings
from spikeloom.models.gnocchi import GNOCCHI
from spikeloom.models.ldns import LDNS
from spikeloom.training.identity import trials_identity
from spikeloom.training.plan import Plan
from spikeloom.trials import Trials

NEURONS = 4
PLAN = Plan(updates=2, batch=8)


def recording(trials=12, *, seed=0):
    """Trials of unequal length with two conditions, two series, rates, latents and a neuron table."""
    rng = np.random.default_rng(seed)
    rates = rng.uniform(0.2, 0.6, (trials, 10, NEURONS))
    return Trials(
        rng.poisson(rates) + 0,
        0.02,
        lengths=np.where(np.arange(trials) % 3 == 0, 8, 10),
        behavior={"hand": rng.normal(size=(trials, 10, 2)), "eye": rng.normal(size=(trials, 10, 1))},
        units={"hand": "m", "eye": "deg"},
        conditions={"angle_deg": 30.0 * (np.arange(trials) % 4), "reward": np.arange(trials) % 2},
        neuron_table={"id": np.arange(NEURONS) + 10, "area": np.array(["a", "b", "a", "b"])},
        rates=rates,
        latents=rng.normal(size=(trials, 10, 3)),
        source="first.nwb",
    )


def ldns(**changes):
    """A tiny LDNS that is conditioned on one column and one series."""
    return LDNS(
        NEURONS,
        **{
            "n_latents": 2,
            "autoencoder_settings": AutoencoderSettings(width=4, blocks=1),
            "denoiser_settings": DenoiserSettings(width=4, blocks=1),
            "autoencoder_plan": PLAN,
            "diffusion_plan": PLAN,
            "condition": ("angle_deg", "hand"),
            **changes,
        },
    )


def other_counts(trials):
    counts = np.array(trials.counts)
    counts[-1, 0, 0] += 1
    return replace(trials, counts=counts)


def other_series(trials, name):
    values = np.array(trials.behavior[name])
    values[1, 0] += 1e-3
    return replace(trials, behavior={**trials.behavior, name: values})


def other_column(trials, name, values):
    return replace(trials, conditions={**trials.conditions, name: values})


READ = {
    "counts": other_counts,
    "bin width": lambda trials: replace(trials, bin_width=0.05),
    "lengths": lambda trials: replace(trials, lengths=np.full(len(trials), 8)),
    "number of trials": lambda trials: trials.select(slice(1, None)),
    "condition angle_deg": lambda trials: other_column(trials, "angle_deg", trials.conditions["angle_deg"][::-1]),
    "behavior hand": lambda trials: other_series(trials, "hand"),
    "neurons": lambda trials: replace(trials, neuron_table={**trials.neuron_table, "id": np.arange(NEURONS)}),
}
"""Changes of trials that training reads, by the words that the message must hold."""

UNREAD = {
    "source": lambda trials: replace(trials, source="second.nwb"),
    "behavior eye": lambda trials: other_series(trials, "eye"),
    "condition reward": lambda trials: other_column(trials, "reward", np.zeros(len(trials), int)),
    "no series": lambda trials: replace(trials, behavior={"hand": trials.behavior["hand"]}),
    "area": lambda trials: replace(trials, neuron_table={"id": trials.neuron_table["id"]}),
    "rates": lambda trials: replace(trials, rates=None),
    "latents": lambda trials: replace(trials, latents=None),
    "padding": lambda trials: replace(
        trials,
        **{name: np.pad(getattr(trials, name), ((0, 0), (0, 3), (0, 0))) for name in ("counts", "rates", "latents")},
        behavior={name: np.pad(value, ((0, 0), (0, 3), (0, 0))) for name, value in trials.behavior.items()},
    ),
}
"""Changes that this model's training does not read."""


class Stopped(Exception):
    """Ends a training after its first validation."""


def stop(line, done):
    """Stop the training."""
    raise Stopped


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A finished and a half-finished run of the same training."""
    finished, half = (tmp_path_factory.mktemp(name) / "run" for name in ("finished", "half"))
    ldns().fit(recording(), validation=recording(6, seed=1), out=finished, progress=False)
    with pytest.raises(Stopped):
        ldns().fit(recording(), validation=recording(6, seed=1), out=half, progress=False, after_validation=stop)
    assert (finished / "model" / "manifest.json").exists()
    assert not (half / "model").exists()
    return [finished, half]


def fit(folder, trials, held_out, model=None, **more):
    """Fit in a folder; a half-finished run is stopped again, so that it stays so."""
    try:
        ldns(**(model or {})).fit(
            trials, validation=held_out, out=folder, progress=False, after_validation=stop, **more
        )
    except Stopped:
        assert not (folder / "model").exists()


@settings(deadline=None, max_examples=25, derandomize=True, suppress_health_check=list(HealthCheck))
@given(which=st.integers(0, 1), name=st.sampled_from(sorted(READ)), group=st.sampled_from(["training", "validation"]))
def test_any_change_of_what_training_reads_is_refused_by_name(folders, which, name, group):
    trials, held_out = recording(), recording(6, seed=1)
    if name in ("bin width", "neurons"):  # training and validation trials have the same
        trials, held_out = READ[name](trials), READ[name](held_out)
    elif group == "training":
        trials = READ[name](trials)
    else:
        held_out = READ[name](held_out)
    before = {path: sha256(path) for path in folders[which].rglob("*.safetensors")}
    with pytest.raises(SettingError, match=f"{group} trials: {name}"):
        fit(folders[which], trials, held_out)
    assert {path: sha256(path) for path in folders[which].rglob("*.safetensors")} == before


@settings(deadline=None, max_examples=10, derandomize=True, suppress_health_check=list(HealthCheck))
@given(which=st.integers(0, 1), names=st.sets(st.sampled_from(sorted(UNREAD)), max_size=4))
def test_a_change_of_what_training_does_not_read_is_no_other_run(folders, which, names):
    trials, held_out = recording(), recording(6, seed=1)
    for name in sorted(names, key=list(UNREAD).index):
        if name == "padding" and {"rates", "latents"} & names:
            continue
        trials, held_out = UNREAD[name](trials), UNREAD[name](held_out)
    fit(folders[which], trials, held_out)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(seed=1), r"seed \(0 in the folder, 1 now\)"),
        (dict(held_out=None), r"validation trials \(6 trials in the folder, none now\)"),
        (dict(model=dict(n_latents=4)), r"settings: n_latents \(2 in the folder, 4 now\)"),
        (dict(model=dict(denoiser_settings=DenoiserSettings(width=8, blocks=1))), "settings: denoiser_settings.width"),
        (dict(model=dict(condition=("hand",))), "settings: condition"),
    ],
)
def test_other_settings_are_refused_by_name(folders, which, change, words):
    arguments = {"trials": recording(), "held_out": recording(6, seed=1), **change}
    with pytest.raises(SettingError, match=words):
        fit(folders[which], **arguments)


def test_other_start_weights_are_refused(folders, tmp_path):
    trials, start = recording(), folders[0] / "model"
    ldns(condition=()).fit(trials, out=tmp_path / "run", progress=False)
    with pytest.raises(SettingError, match=r"start weights \(none in the folder, sha256 "):
        ldns(condition=()).fit(trials, out=tmp_path / "run", progress=False, start=start)


def test_the_signal_counts_where_a_model_learns_from_it(tmp_path):
    from spikeloom.models.gnocchi import SignalSettings

    def model():
        return GNOCCHI(
            NEURONS,
            n_codes=2,
            signal_settings=SignalSettings(of="rates", form="sequence"),
            prior="normal",
            plan=PLAN,
            head_plan=PLAN,
        )

    trials = recording().select([1, 2, 4, 5, 7, 8, 10, 11])
    model().fit(trials, out=tmp_path, progress=False)
    model().fit(replace(trials, latents=None), out=tmp_path, progress=False)
    with pytest.raises(SettingError, match="training trials: rates"):
        model().fit(replace(trials, rates=np.array(trials.rates) * 1.001), out=tmp_path, progress=False)


def test_units_kinds_and_names_are_part_of_what_a_model_reads():
    trials = recording()
    same = trials_identity(trials, columns=["hand", "reward"])
    for other in (
        replace(trials, units={**trials.units, "hand": "cm"}),
        other_column(trials, "reward", trials.conditions["reward"].astype(float)),  # numbers, not categories
        other_column(trials, "reward", trials.conditions["reward"].astype(str)),
    ):
        assert trials_identity(other, columns=["hand", "reward"]) != same
    assert trials_identity(replace(trials, counts=trials.counts.astype(np.int64)), columns=["hand", "reward"]) == same


def test_run_json_is_readable_and_an_older_one_is_refused(tmp_path):
    trials = recording()
    ldns(condition=()).fit(trials, out=tmp_path, progress=False)
    result = read_json(tmp_path / "run.json")
    assert result["training trials"]["bin width, s"] == 0.02
    assert result["settings"]["n_latents"] == 2
    assert result["validation trials"] is None
    write_json(tmp_path / "run.json", {"settings": {}, "data": "", "seed": 0, "start": None})
    with pytest.raises(SettingError, match="another version of spikeloom"):
        ldns(condition=()).fit(trials, out=tmp_path, progress=False)


def test_a_model_without_its_record_is_not_taken_for_a_run(tmp_path):
    trials = recording()
    ldns(condition=()).fit(trials, progress=False).save(tmp_path / "model")
    with pytest.raises(SettingError, match=r"no run\.json"):
        ldns(condition=()).fit(other_counts(trials), out=tmp_path, progress=False)


def test_processes_matter_where_they_cannot_share_a_batch():
    from spikeloom.training.identity import run_identity

    training = trials_identity(recording(7))
    make = lambda plan, n: run_identity({}, training, None, seed=0, start=None, plans={"plan": plan}, n_processes=n)
    assert make(Plan(updates=1, batch=4), 1) == make(Plan(updates=1, batch=4), 2)
    assert make(Plan(updates=1, batch=64), 1) != make(Plan(updates=1, batch=64), 2)
    json.dumps(make(PLAN, 1))
