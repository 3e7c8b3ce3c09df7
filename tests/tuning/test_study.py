"""A search with Optuna: it optimises, prunes, survives failures, and resumes."""

import csv
import json
import multiprocessing
import tomllib

import optuna
import pytest

from spikeloom.errors import FileError, SettingError, TrainingError
from spikeloom.files import sha256
from spikeloom.recipe import load_model, read_recipe
from spikeloom.training.lock import only_process
from spikeloom.tuning import study as engine
from spikeloom.tuning.objective import Reconstruction
from spikeloom.tuning.search import best, survivable
from spikeloom.tuning.study import study
from tests.helpers.toy_search import QUICK, search

POISSON = 'observation={counts="Poisson", history="none", noise="none"}'
"""The quickest observation model: it has nothing to fit."""

RATES = "plan.learning_rate=1e-6..2e-2 log"
EXPLODES = "plan.learning_rate=0.02|1e25"
"""A rate at which float32 overflows within a few updates."""


def table(folder):
    """Return the rows of trials.csv without times."""
    rows = list(csv.DictReader((folder / "trials.csv").open()))
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def reports(folder):
    """Intermediate values of each attempt."""
    result = optuna.load_study(study_name=engine.NAME, storage=f"sqlite:///{folder / 'study.db'}")
    return [trial.intermediate_values for trial in result.trials]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Return an uninterrupted search of four attempts."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    said = []
    return (
        folder,
        study(search(folder, RATES, "network_settings.dropout=0..0.5"), attempts=4, prune=False, say=said.append),
        said,
    )


def test_a_search_tries_ranks_and_ends_with_a_recipe_and_a_model(uninterrupted):
    folder, done, said = uninterrupted
    assert [one.state for one in done] == ["complete"] * 4
    assert done[0].settings == {"plan.learning_rate": 0.02, "network_settings.dropout": 0.1}  # the recipe itself
    scores = [one.score for one in done]
    leader = best(done)
    assert leader.score == max(scores)
    assert len(set(scores)) == 4
    assert [row["score (bits/spike)"] for row in table(folder)] == [repr(score) for score in scores]
    assert len(said) == 4
    assert f"best {leader.score:.4g} (number {leader.number})" in said[-1]
    written = tomllib.loads((folder / "best.toml").read_text())
    assert written["plan"]["learning_rate"] == leader.settings["plan.learning_rate"]
    assert str(len(done)) in written["note"]
    source = folder / "trials" / f"{leader.number:04d}" / "model" / "model.safetensors"
    assert sha256(folder / "model" / "model.safetensors") == sha256(source)
    assert load_model(folder).plan.learning_rate == leader.settings["plan.learning_rate"]


def test_the_best_recipe_fits_to_the_same_weights(uninterrupted, tmp_path):
    folder = uninterrupted[0]
    options = search(tmp_path, RATES)
    model = read_recipe(folder / "best.toml").build(options.train.n_neurons)
    model.fit(options.train, validation=options.validation, seed=options.seed, out=tmp_path / "again", progress=False)
    again, there = (position / "model" / "model.safetensors" for position in (tmp_path / "again", folder))
    assert sha256(again) == sha256(there)


def test_the_same_command_again_does_nothing_and_a_larger_number_goes_on(uninterrupted):
    folder, done, _ = uninterrupted
    before = [one.score for one in done]
    again = search(folder, RATES, "network_settings.dropout=0..0.5")
    assert [one.score for one in study(again, attempts=3, prune=False)] == before
    more = study(again, attempts=5, prune=False)
    assert [one.score for one in more][:4] == before
    assert len(more) == 5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (dict(seed=1), "seed"),
        (dict(aim="bound"), "objective"),
        (dict(changes=(*QUICK, "n_codes=4")), "recipe"),
        (dict(vary=("network_settings.dropout=0..0.4",)), "vary"),
    ],
)
def test_a_folder_holds_one_search(uninterrupted, change, said):
    folder = uninterrupted[0]
    vary = change.pop("vary", ("network_settings.dropout=0..0.5",))
    with pytest.raises(SettingError, match=f"other data or settings: {said}"):
        study(search(folder, RATES, *vary, **change), attempts=7)


def test_a_nan_is_recorded_and_the_search_goes_on(tmp_path):
    done = study(search(tmp_path, EXPLODES), attempts=4, prune=False)
    failed = [one for one in done if one.state == "failed"]
    assert failed
    assert len(failed) < 4
    assert all(one.settings["plan.learning_rate"] == 1e25 for one in failed)
    assert "must be finite" in failed[0].message
    assert best(done).settings["plan.learning_rate"] == 0.02
    assert [row["state"] for row in table(tmp_path)] == [one.state for one in done]
    assert any("must be finite" in row["message"] for row in table(tmp_path))


def test_a_search_in_which_everything_fails_stops_and_says_why(tmp_path):
    with pytest.raises(TrainingError, match=r"The last of 5 errors.*must be finite"):
        study(search(tmp_path, "plan.learning_rate=1e25|1e26"), attempts=40, prune=False)
    assert len(table(tmp_path)) == 5


def test_values_that_do_not_go_together_are_faults_of_an_attempt(tmp_path):
    changes = (
        "n_latents=4",
        "autoencoder_settings.width=8",
        "autoencoder_settings.blocks=0",
        "denoiser_settings.width=8",
        "denoiser_settings.blocks=1",
    )
    quick = ("autoencoder_plan.updates=2", "diffusion_plan.updates=2", "autoencoder_settings.calibrate=false")
    options = search(tmp_path, "n_latents=4|3", recipe="ldns-tiny", changes=(*changes, *quick, POISSON))
    done = study(options, attempts=4)
    assert {one.state for one in done} == {"complete", "failed"}
    assert all("divide the width" in one.message for one in done if one.state == "failed")


def test_hopeless_attempts_are_stopped_early(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "UNPRUNED", 2)
    done = study(search(tmp_path, RATES, aim="bound"), attempts=6)
    pruned = [one for one in done if one.state == "pruned"]
    assert pruned
    assert best(done) is not None
    for one in pruned:
        lines = [json.loads(line) for line in (tmp_path / "trials" / f"{one.number:04d}" / "history.jsonl").open()]
        assert engine.WARM / 100 <= lines[-1]["update"] / 20 < 1
        assert not (tmp_path / "trials" / f"{one.number:04d}" / "model").exists()
        assert one.score < best(done).score


@pytest.mark.parametrize("aim", ["samples", "bound"])
def test_other_objectives(tmp_path, aim):
    done = study(search(tmp_path, "network_settings.dropout=0..0.5", aim=aim), attempts=2)
    assert all(one.score is not None for one in done if one.state == "complete")
    assert best(done).score < 1.0 if aim == "samples" else best(done).score < 0
    steps = [list(values) for values in reports(tmp_path)]
    assert (steps == [[], []]) == (aim == "samples")  # samples cannot be judged on the way


class Stop(Exception):
    """A bug, which is not a failure of an attempt."""


def test_an_attempt_that_was_under_way_is_taken_up_again(tmp_path, monkeypatch):
    """A search that is stopped and resumed ends like an uninterrupted one: proposals, reports, scores, weights."""
    expected = study(search(tmp_path / "uninterrupted", RATES, "network_settings.dropout=0..0.5"), attempts=3)
    true, calls = Reconstruction.score, []

    def score(self, model, history):
        calls.append(None)
        if len(calls) in (8, 13):
            raise Stop
        return true(self, model, history)

    monkeypatch.setattr(Reconstruction, "score", score)
    broken = search(tmp_path / "broken", RATES, "network_settings.dropout=0..0.5")
    for _ in range(2):
        with pytest.raises(Stop):
            study(broken, attempts=3)
    result = study(broken, attempts=3)
    plain = lambda attempts: [(one.number, one.settings, one.state, one.score) for one in attempts]
    assert plain(result) == plain(expected)
    assert reports(tmp_path / "broken") == reports(tmp_path / "uninterrupted")
    assert (tmp_path / "broken" / "best.toml").read_text() == (tmp_path / "uninterrupted" / "best.toml").read_text()
    weights = [sha256(tmp_path / name / "model" / "model.safetensors") for name in ("broken", "uninterrupted")]
    assert weights[0] == weights[1]


def hold(folder, held, done):
    """Hold the lock of a folder until its input ends."""
    with only_process(folder, "searching"):
        held.set()
        done.wait(60)


def test_one_process_at_a_time(tmp_path):
    context = multiprocessing.get_context("fork")
    held, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, held, done))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(FileError, match="is searching there"):
            study(search(tmp_path, RATES), attempts=1)
    finally:
        done.set()
        other.join()


def test_what_a_search_survives():
    assert survivable(TrainingError("a", "b", "c")) == "a b c"
    assert survivable(RuntimeError("DefaultCPUAllocator: can't allocate memory")).startswith("Out of memory")
    assert survivable(MemoryError()).startswith("Out of memory")
    assert survivable(FileError("a", "b", "c")) is None  # a full disk is full for all
    assert survivable(ValueError("a fault of ours")) is None
