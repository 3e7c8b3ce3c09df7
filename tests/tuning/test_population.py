"""Populations: a generation starts from saved weights, and a failed member ranks last; with Ray, if it is installed."""

import csv
import subprocess
import sys
import tomllib
from importlib.util import find_spec

import pytest

from spikeloom.errors import SettingError
from spikeloom.recipe import load_model
from spikeloom.tuning.objective import objective
from spikeloom.tuning.population import FAILED, _check, train_generation
from tests.helpers.toy_search import QUICK, search, waves

SCHEDULE = "[population]\nepochs = 4\ngenerations = 2\n[population.later]\nplan.warmup = 0.0\n"


@pytest.fixture
def population(tmp_path):
    """Function from settings that vary to a claimed search whose generations are four epochs, twelve updates."""

    def claimed(*vary, **options):
        (tmp_path / "space.toml").write_text(SCHEDULE)
        made = search(tmp_path / "out", *vary, space=tmp_path / "space.toml", **options)
        made.claim("population")
        return made

    return claimed


def train(made, settings, number, *, previous, folder):
    """One generation of the first member."""
    aim = objective(made.aim, train=made.train, validation=made.validation, seed=made.seed)
    folder.mkdir()
    return train_generation(made, aim, settings, 0, number, previous=previous, folder=folder)


def test_a_generation_goes_on_from_the_weights_of_the_one_before(population, tmp_path):
    made = population("plan.learning_rate=1e-9..1 log")
    one, two, three = tmp_path / "1", tmp_path / "2", tmp_path / "3"
    first = train(made, {"plan.learning_rate": 0.05}, 0, previous=None, folder=one)
    still = train(made, {"plan.learning_rate": 1e-9}, 1, previous=one, folder=two)
    anew = train(made, {"plan.learning_rate": 1e-9}, 1, previous=None, folder=three)
    assert still["score"] == pytest.approx(first["score"], abs=1e-5)  # twelve steps of 1e-9 move nothing
    assert abs(anew["score"] - first["score"]) > 1e-3
    plans = [load_model(folder / "model").plan for folder in (one, two)]
    assert [plan.updates for plan in plans] == [12, 12]
    assert [plan.warmup for plan in plans] == [0.05, 0.0]


def test_a_member_that_fails_is_the_worst_and_keeps_the_weights_it_had(population, tmp_path):
    made = population("plan.learning_rate=1e-3..1e26 log")
    good, bad, worse = tmp_path / "good", tmp_path / "bad", tmp_path / "worse"
    train(made, {"plan.learning_rate": 0.01}, 0, previous=None, folder=good)
    condition = train(made, {"plan.learning_rate": 1e25}, 1, previous=good, folder=bad)
    assert condition["score"] == FAILED
    assert "must be finite" in condition["message"]
    read = lambda folder: (folder / "model" / "model.safetensors").read_bytes()
    assert read(bad) == read(good)
    assert train(made, {"plan.learning_rate": 1e25}, 0, previous=None, folder=worse)["score"] == FAILED
    assert not (worse / "model").exists()


def refused(made):
    """Checks before a population is trained."""
    _check(made, objective(made.aim, train=made.train, validation=made.validation))


def test_settings_that_change_sizes_are_refused(population):
    with pytest.raises(SettingError, match=r"sizes.*codes"):
        refused(population("plan.learning_rate=1e-3..1e-2", "n_codes=2|3"))


def test_a_model_of_several_plans_must_say_which(population):
    with pytest.raises(SettingError, match="autoencoder_plan"):
        refused(population("autoencoder_settings.dropout=0.1..0.5", recipe="ldns-tiny", changes=()))


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'spikeloom[ray]'")
def test_a_population_is_trained_compared_and_copied(tmp_path):
    vary = "[vary]\nplan.learning_rate = { low = 1e-6, high = 3e-2, log = true }\n"
    (tmp_path / "space.toml").write_text(vary + SCHEDULE)
    waves().save(tmp_path / "train.h5")
    waves(12, seed=1).save(tmp_path / "validation.h5")
    words = [
        "tune",
        "lfads-tiny",
        "--data",
        "train.h5",
        "--validation",
        "validation.h5",
        "--space",
        "space.toml",
        "--out",
        "out",
    ]
    words += ["--population", "3", "--generations", "3", *(word for change in QUICK for word in ("--set", change))]
    program = [sys.executable, "-m", "spikeloom", *words]  # Ray cannot send functions that check their types
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "out" / "trials.csv").open()))
    expected = [(generation, member) for generation in (1, 2, 3) for member in range(3)]
    assert [(int(row["generation"]), int(row["number"])) for row in rows] == expected
    lineages = [{row["lineage"] for row in rows if row["generation"] == number} for number in "13"]
    assert lineages[0] == {"0", "1", "2"}
    assert len(lineages[1]) < 3  # somebody was copied
    leader = max(rows, key=lambda row: float(row["score (bits/spike)"]))
    rate = float(leader["plan.learning_rate"])
    assert tomllib.loads((tmp_path / "out" / "best.toml").read_text())["plan"]["learning_rate"] == rate
    assert load_model(tmp_path / "out").plan.learning_rate == rate
