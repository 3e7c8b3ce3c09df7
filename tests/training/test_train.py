"""The training loop: sums, finiteness, averages, the choice of the best weights."""

import itertools
import json
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from spikeloom.cli import main
from spikeloom.errors import DataError, FileError, TrainingError
from spikeloom.seeds import Purpose, Streams
from spikeloom.training.checkpoint import History
from spikeloom.training.ema import Average, decay_at
from spikeloom.training.memory import keep_freed_memory
from spikeloom.training.plan import Plan
from spikeloom.training.stage import Calculation, LossTerms, Stage, trials_of
from spikeloom.training.train import train
from tests.helpers import training_toy as toy


def plan(**changes):
    return Plan(**({"updates": 12, "batch": 8, "learning_rate": 0.05} | changes))


def gap(a, b):
    return max(float((a[name] - b[name]).detach().abs().max()) for name in a)


@pytest.mark.parametrize("micro", [1, 3, 8, 100])
def test_micro_batches_change_rounding_only(micro):
    full, lines = toy.run(None, plan=plan())
    parts, again = toy.run(None, plan=plan(micro=micro))
    assert gap(full, parts) < 1e-5  # float32 sums in another order, over 12 updates of rate 0.05
    assert [line["loss"] for line in lines] == pytest.approx([line["loss"] for line in again], rel=1e-5)


def test_the_first_update_is_that_of_a_plain_loop():
    module, reference = toy.network(3, 2), toy.network(3, 2)
    settings = plan(updates=1, batch=37, warmup=0.0, clip=0.01, weight_decay=0.1)
    train([Stage("only", module, toy.regression(module, noise=0.0), toy.data(), settings)], seed=0, progress=False)
    slow = [reference[0].weight]
    others = [value for value in reference.parameters() if value is not slow[0]]
    optimizer = torch.optim.AdamW(
        [{"params": others, "weight_decay": 0.1}, {"params": slow, "lr": 1e-3, "weight_decay": 0.0}], lr=0.05
    )
    terms = toy.regression(reference, noise=0.0)(toy.data(), Streams(0, Purpose.TRAIN, 0, range(37)))
    (terms.total / terms.weight).backward()
    nn.utils.clip_grad_norm_(reference.parameters(), 0.01)
    optimizer.step()
    assert gap(module.state_dict(), reference.state_dict()) < 1e-6


def test_an_epoch_shows_every_trial_once_and_epochs_differ():
    epochs = [[trials_of(4 * e + k, n_trials=35, batch=8, seed=5) for k in range(4)] for e in range(2)]
    for epoch in epochs:
        assert len({trial for batch in epoch for trial in batch}) == 32
    assert epochs[0] != epochs[1]
    assert trials_of(6, n_trials=35, batch=8, seed=5) == epochs[1][2]


def test_stages_do_not_share_numbers():
    seen = []

    def loss_of(module):
        def loss(batch, streams):
            seen.append((batch["x"][:, 0].tolist(), streams.normal(2).tolist()))
            return LossTerms(module(batch["x"]).sum(), len(batch["x"]))

        return loss

    modules = [nn.Linear(3, 1), nn.Linear(3, 1)]
    data = {"x": toy.data()["x"]}
    once = plan(updates=1)
    train([Stage(str(n), m, loss_of(m), data, once) for n, m in enumerate(modules)], seed=0, progress=False)
    assert seen[0][0] != seen[1][0]
    assert seen[0][1] != seen[1][1]


def test_few_trials_make_a_small_batch():
    rows = []
    module = nn.Linear(3, 1)

    def loss(batch, streams):
        rows.append(len(batch["x"]))
        return LossTerms(module(batch["x"]).sum(), 1.0)

    train([Stage("a", module, loss, {"x": torch.zeros(5, 3)}, plan(batch=64))], seed=0, progress=False)
    assert set(rows) == {5}
    with pytest.raises(DataError, match="same trials"):
        train([Stage("a", module, loss, {"x": torch.zeros(0, 3)}, plan())], seed=0, progress=False)


def nan_loss(module, bad):
    """Regression whose loss is NaN at the calls in `bad`, counted from 0."""
    call = iter(range(10**6))

    def loss(batch, streams):
        terms = toy.regression(module)(batch, streams)
        return LossTerms(terms.total * (float("nan") if next(call) in bad else 1.0), terms.weight)

    return loss


def test_a_bad_update_is_skipped_and_counted():
    module = toy.network(3, 2)
    history = train([Stage("a", module, nan_loss(module, {3, 5}), toy.data(), plan())], seed=0, progress=False)
    assert [line["skipped"] for line in history] == [0, 0, 0, 1, 1, 2, 2, 2, 2, 2, 2, 2]
    assert history[3]["loss"] is None
    assert all(value.isfinite().all() for value in module.parameters())


@pytest.mark.parametrize("where", ["loss", "gradient", "data"])
def test_ten_bad_updates_stop_with_the_last_good_weights(tmp_path, where):
    module, good = toy.network(3, 2), toy.network(3, 2)
    data = toy.data()
    train([Stage("a", good, nan_loss(good, set()), data, plan(updates=12))], seed=0, progress=False)
    call = iter(range(1000))

    def loss(batch, streams):
        terms = toy.regression(module)(batch, streams)
        if next(call) < 12:
            return terms
        if where == "gradient":  # the root of zero: finite, with an infinite slope
            return LossTerms(terms.total + (terms.total - terms.total.detach()).abs().sqrt(), terms.weight)
        if where == "data":
            data["x"][:] = torch.nan
        return LossTerms(terms.total * torch.nan, terms.weight)

    stage = Stage("a", module, loss, data, plan(updates=100, warmup=0.0, horizon=1e9))
    words = {"loss": "overflows", "gradient": "gradient is not", "data": "'x' hold NaN or infinity, first in trial"}
    with pytest.raises(TrainingError, match=words[where]) as caught:
        train([stage], seed=0, out=tmp_path, progress=False)
    assert "'a'" in str(caught.value)
    assert "the last one was update 21" in str(caught.value)
    assert all(value.isfinite().all() for value in module.parameters())
    assert json.loads((tmp_path / "checkpoints" / "a-failure.json").read_text())["update"] == 21
    state = json.loads((tmp_path / "checkpoints" / "a-12" / "state.json").read_text())
    assert (state["update"], state["skipped"]) == (12, 0)


def test_the_best_weights_on_the_validation_trials_come_back():
    """The target changes sign half-way, so the best weights on the validation trials come from the first half."""
    module, call = nn.Linear(1, 1), iter(range(1000))
    x = torch.linspace(-1, 1, 8)[:, None]
    seen = {}

    def loss(batch, streams):
        if module.training:
            sign = 1.0 if next(call) < 20 else -1.0
        else:
            sign = 1.0
            seen[float((module(batch["x"]) - batch["x"]).detach().square().sum())] = module.weight.item()
        error = (module(batch["x"]) - sign * batch["x"]).square()
        return LossTerms(error.sum(), error.numel())

    settings = plan(updates=60, learning_rate=0.3, validate_every=1)
    history = train([Stage("a", module, loss, {"x": x}, settings, validation={"x": x})], seed=0, progress=False)
    losses = [line["validation"] for line in history]
    assert len(losses) == 60
    assert losses[-1] > 1.0 > 0.1 > min(losses)
    assert module.weight.item() == seen[min(seen)]
    assert not module.training


def test_without_validation_trials_the_average_comes_back():
    module = toy.network(3, 2)
    trail = []

    def loss(batch, streams):
        trail.append({name: value.detach().clone() for name, value in module.named_parameters()})
        return toy.regression(module)(batch, streams)

    train([Stage("a", module, loss, toy.data(), plan(average=0.9))], seed=0, progress=False)
    raw = toy.network(3, 2)
    train([Stage("a", raw, toy.regression(raw), toy.data(), plan())], seed=0, progress=False)
    mean = trail[1]  # d_0 = 0: the average is what the first update left
    for n, weights in enumerate([*trail[2:], dict(raw.named_parameters())], start=1):
        d = min(1 - (1 + n) ** (-2 / 3), 0.9)
        mean = {name: d * mean[name] + (1 - d) * weights[name] for name in mean}
    assert gap(mean, dict(module.named_parameters())) < 1e-5
    assert gap(mean, dict(raw.named_parameters())) > 1e-3


def test_the_average_has_the_published_decay_and_gives_weights_back_exactly():
    assert decay_at(0, 0.9999) == 0
    assert decay_at(7000, 0.9999) == pytest.approx(0.9973, abs=5e-5)  # METHODS 2.5
    assert decay_at(10**9, 0.9999) == 0.9999
    module = nn.BatchNorm1d(2)
    average = Average(module, limit=0.9)
    with torch.no_grad():
        module.weight.fill_(3.1)
        module.running_mean.fill_(7.0)
    average.add(5)
    with average.applied():
        assert not torch.equal(module.weight, torch.full((2,), 3.1))
        assert torch.equal(module.running_mean, torch.full((2,), 7.0))  # buffers are what they are
    assert torch.equal(module.weight, torch.full((2,), 3.1))


def test_history_has_a_line_per_logged_update(tmp_path):
    _, lines = toy.run(tmp_path)
    assert [line["update"] for line in lines] == [*range(1, 24), *range(1, 24)]
    assert [line["stage"] for line in lines] == ["first"] * 23 + ["second"] * 23
    assert [line["update"] for line in lines if "validation" in line] == [4, 8, 12, 16, 20, 23]
    assert all(0 < line["parts"]["first"] < line["loss"] for line in lines if line["stage"] == "first")
    on_disk = [json.loads(text) for text in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in on_disk] == [line["loss"] for line in lines]


def test_bf16_trains_close_to_float32():
    wide, _ = toy.run(None, plan=plan())
    narrow, _ = toy.run(None, plan=plan(precision="bf16"))
    assert 0 < gap(wide, narrow) < 0.1
    assert all(value.dtype == torch.float32 for value in narrow.values())


def test_the_rate_rises_and_falls_as_published():
    long = Plan(updates=1000, batch=1, learning_rate=2e-3, warmup=0.05, horizon=1.3)
    rates = [long.learning_rate_at(update) for update in range(1000)]
    assert rates[0] == pytest.approx(2e-3 / 50)
    assert max(rates) == rates[49] == rates[50] == 2e-3
    assert rates[-1] / 2e-3 == pytest.approx(0.13, abs=0.01)  # METHODS 2.5
    assert all(a <= b for a, b in itertools.pairwise(rates[:51]))
    assert all(a > b for a, b in itertools.pairwise(rates[50:]))


@pytest.mark.parametrize(
    "wrong",
    [{"updates": 0}, {"batch": 0}, {"learning_rate": float("nan")}, {"average": 1.0}, {"horizon": 0.5}, {"steps": 3}],
)
def test_a_plan_refuses_what_cannot_be(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        plan(**wrong)


def test_an_unwritable_folder_stops_before_training(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        toy.run(tmp_path / "file" / "run")


def test_training_from_python_leaves_the_allocator_of_the_process_alone():
    keep_freed_memory.cache_clear()
    toy.run(None)
    assert keep_freed_memory.cache_info().currsize == 0  # never called


def test_the_command_line_sets_the_allocator_of_its_process(tmp_path):
    keep_freed_memory.cache_clear()
    with pytest.raises(SystemExit):
        main(["fit", "no-such-recipe", "--data", "none.h5", "--out", str(tmp_path / "run")])
    assert keep_freed_memory.cache_info().currsize == 1


def test_lines_say_how_far_and_how_long(capsys, monkeypatch):
    monkeypatch.setattr("spikeloom.training.progress.LINE_EVERY", 0.0)
    module = toy.network(3, 2)
    stage = Stage("autoencoder", module, toy.regression(module), toy.data(), plan())
    train([stage], seed=0, progress=True)
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("autoencoder: update 1 of 12, loss ")
    assert said[-1].endswith(" 0 s left")
    train([stage], seed=0, n_stages=3, progress=True)
    assert capsys.readouterr().err.startswith("stage 1 of 3, autoencoder: update 1 of 12, loss ")
    train([stage], seed=0, progress=False)
    assert capsys.readouterr() == ("", "")


def test_a_disk_that_fills_up_is_one_clear_error(tmp_path):
    history = History(tmp_path / "history.jsonl")
    history.path = Path("/dev/full")  # the system's file that is always full
    with pytest.raises(FileError, match="No space left"):
        history.append({"stage": "a", "update": 1}, write=True)


def test_a_torn_last_line_of_history_is_dropped(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_text('{"stage": "a", "update": 1}\n{"stage": "a", "upd')
    history = History(path)
    history.rewind([], "a", 1, write=True)
    assert history.lines == [{"stage": "a", "update": 1}]
    assert path.read_text() == '{"stage": "a", "update": 1}\n'


def test_calculations_are_computed_in_order_and_leave_a_line_of_history(tmp_path, capsys):
    done = []
    module = toy.network(3, 2)
    train_stage = Stage("a", module, toy.regression(module), toy.data(), plan())
    parts = {"first": lambda: done.append(1), "second": lambda: done.append(2)}
    for _ in range(2):  # a calculation is computed again on a resume, and keeps one line
        history = train([train_stage, Calculation("statistics", parts)], seed=0, out=tmp_path, progress=None)
    assert done == [1, 2, 1, 2]
    (line,) = [line for line in history if line["stage"] == "statistics"]
    assert list(line["parts"]) == ["first", "second"]
    assert line["seconds"] >= sum(line["parts"].values()) - 0.01
    assert "statistics: part 2 of 2, second" in capsys.readouterr().err


def test_an_interrupt_ends_a_calculation_after_its_part():
    done = []
    parts = {"first": lambda: signal.raise_signal(signal.SIGINT), "second": lambda: done.append(2)}
    with pytest.raises(KeyboardInterrupt):
        train([Calculation("statistics", parts)], seed=0, progress=False)
    assert not done
