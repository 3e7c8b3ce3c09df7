"""Every benchmark can be imported, and the cases of benchmarks/speed.py run at a tiny size."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import spikeloom as sl
from spikeloom.simulate import reaching
from spikeloom.trials import Trials

FILES = sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py"))


def loaded(path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import a benchmark as Python does for `python benchmarks/NAME.py`, with its folder on the path."""
    monkeypatch.syspath_prepend(str(path.parent))
    spec = importlib.util.spec_from_file_location(f"benchmark_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_benchmark_can_be_imported(path, monkeypatch):
    assert loaded(path, monkeypatch).__doc__


def test_times_of_updates_and_samples_are_positive(monkeypatch):
    speed = loaded(FILES[0].with_name("speed.py"), monkeypatch)
    for what in ("autoencoder", "denoiser", "sampling"):
        case = dict(size="tiny", what=what, precision="float32", threads=1, keep=False)
        result = speed.run(case)
        assert result["wall"] > 0
        if what != "sampling":
            assert result["products"] > 0
            assert result["copies"] > 0


def test_every_variant_of_the_benchmark_of_noise_generates_spikes(monkeypatch):
    noise = loaded(FILES[0].with_name("gnocchi_noise.py"), monkeypatch)
    train = reaching(90, n_neurons=6, seed=0)
    for variant in noise.without_networks(train).values():
        drawn = variant(0)
        assert drawn.counts.shape == train.counts.shape
        assert 0.5 < drawn.counts.mean() / train.counts.mean() < 2
    noise.print_noise(train)


@pytest.mark.parametrize("number", [0, 1])
def test_the_benchmark_of_gpus_runs_on_a_cpu(monkeypatch, number):
    gpu = loaded(FILES[0].with_name("gpu.py"), monkeypatch)
    case = gpu.TINY[number]
    names = ["as written"]
    text = gpu.measure([case], "cpu", most=case.first, size=64, train_ways=names, sample_ways=names)
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if case.recipe in line]
    expected = ["autoencoder", "diffusion", "sampling"] if number == 0 else ["lfads", "sampling"]
    assert sorted(row[0].split(", ")[1] for row in rows) == sorted(2 * expected)  # in float32 and bf16
    assert all(float(row[4]) > 0 for row in rows)
    assert all(float(row[5]) > float(row[4]) for row in rows)  # nothing is faster than its matrix products


def test_the_benchmark_of_all_commands_adds_up_their_cost(monkeypatch, tmp_path):
    benchmark = loaded(FILES[0].with_name("all_commands.py"), monkeypatch)
    spikeloom = benchmark.Spikeloom(sys.executable, None, tmp_path)
    cost = spikeloom.measure("recipes")
    assert cost.core > 0
    assert 0.01 < cost.memory < 10
    with pytest.raises(SystemExit, match=r"ended with 2"):
        spikeloom.measure("inspect", "none.h5")
    lines = [
        {"stage": "a", "seconds": 1.0},
        {"stage": "a", "seconds": 3.0, "memory_gb": 0.5},
        {"stage": "b", "seconds": 4.0},
    ]
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert benchmark.recorded_fit(tmp_path) == benchmark.Cost("fit", 7.0, None, 0.5)


def test_every_trial_is_generated_by_a_model_that_was_trained_without_it(monkeypatch, tmp_path):
    benchmark = loaded(FILES[0].with_name("five_fold.py"), monkeypatch)
    trials = reaching(20, n_neurons=6, seed=0)
    trials.save(tmp_path / "trials.h5")
    quick = ["--set=autoencoder_plan.updates=2", "--folds=2", f"--out={tmp_path / 'folds'}"]
    monkeypatch.setattr(
        sys, "argv", ["five_fold.py", "autoregressive-ldns-tiny", f"--data={tmp_path / 'trials.h5'}", *quick]
    )
    benchmark.main()
    recorded = Trials.load(tmp_path / "folds/recorded.h5")
    np.testing.assert_array_equal(np.sort(recorded.counts.sum((1, 2))), np.sort(trials.counts.sum((1, 2))))
    assert Trials.load(tmp_path / "folds/conditional.h5").counts.shape == trials.counts.shape
    for training, tested in benchmark.folds_of(trials, 2):
        assert not {trial.tobytes() for trial in training.counts} & {trial.tobytes() for trial in tested.counts}


def test_a_shift_pairs_the_spikes_of_a_bin_with_earlier_behavior(monkeypatch):
    benchmark = loaded(FILES[0].with_name("conditional.py"), monkeypatch)
    trials = reaching(4, n_neurons=6, seed=0)
    shifted = benchmark.shifted(trials, 3)
    np.testing.assert_array_equal(shifted.lengths, trials.lengths - 3)
    np.testing.assert_array_equal(shifted.counts[:, 5], trials.counts[:, 8])
    np.testing.assert_array_equal(shifted.behavior["hand_velocity"][:, 5], trials.behavior["hand_velocity"][:, 5])


def test_guidance_is_compared_over_several_runs(monkeypatch, tmp_path):
    benchmark = loaded(FILES[0].with_name("guidance.py"), monkeypatch)
    train, test = reaching(40, n_neurons=6, seed=0).split(0.5, seed=0)
    train.save(tmp_path / "train.h5")
    test.save(tmp_path / "test.h5")
    quick = ["condition=['hand_velocity']", "autoencoder_plan.updates=2", "code_plan.updates=2"]
    runs = [str(tmp_path / f"run{seed}") for seed in range(2)]
    for seed, run in enumerate(runs):
        sl.fit("autoregressive-ldns-tiny", train, changes=quick, seed=seed, out=run, progress=False)
    files = [f"--data={tmp_path / 'train.h5'}", f"--test={tmp_path / 'test.h5'}", f"--csv={tmp_path / 'table.csv'}"]
    strengths = ["--strengths", "1", "0.5"]
    monkeypatch.setattr(sys, "argv", ["guidance.py", *runs, *files, f"--out={tmp_path / 'figure'}", *strengths])
    benchmark.main()
    header, *rows = (tmp_path / "table.csv").read_text().splitlines()
    columns = header.split(",")
    assert [row.split(",")[0] for row in rows] == ["1", "0.5"]
    read, recorded = (rows[0].split(",")[columns.index(name)] for name in ("r2", "real r2"))
    assert "±" in read
    assert recorded.endswith("± 0")  # the recorded trials are the same for all runs


@pytest.mark.parametrize("optimizer", [[], ["--optimizer=soap"]])
def test_models_with_different_numbers_of_updates_are_judged_on_the_same_fold(monkeypatch, tmp_path, optimizer):
    benchmark = loaded(FILES[0].with_name("updates.py"), monkeypatch)
    reaching(60, n_neurons=6, seed=0).save(tmp_path / "trials.h5")
    words = [
        *optimizer,
        "--condition=target_x",
        "--updates",
        "2",
        "3",
        "--folds",
        "1",
        f"--csv={tmp_path / 'table.csv'}",
    ]
    recipe = ["autoregressive-ldns-tiny", '--set=condition=["target_x"]', "--set=code_plan.updates=2"]
    command = ["updates.py", *recipe, *words, f"--data={tmp_path / 'trials.h5'}", f"--out={tmp_path / 'runs'}"]
    monkeypatch.setattr(sys, "argv", command)
    benchmark.main()
    header, likelihood, *metrics = (tmp_path / "table.csv").read_text().splitlines()
    assert header == "trials,metric,noise floor,2 updates,3 updates"
    assert likelihood.startswith(",bits per spike,–,")
    assert [line.split(",")[0] for line in metrics[:: len(benchmark.METRICS)]] == [
        "conditional",
        "unconditional",
        "redrawn",
    ]
    assert any(line.split(",")[3] != line.split(",")[4] for line in metrics)
