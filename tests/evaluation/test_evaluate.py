"""`evaluate` on small trials: equal sizes, equal numbers for equal seeds, and clear errors."""

import io
import sys
from dataclasses import replace

import numpy as np
import pytest

from spikeloom.errors import ConditionError, DataError, ShapeError
from spikeloom.evaluation import recorded
from spikeloom.evaluation.evaluate import evaluate, panel_rows
from spikeloom.evaluation.recorded import CONSTANT, MEANS, RecordedHalves
from spikeloom.evaluation.sides import comparable, named
from spikeloom.metrics import pair
from spikeloom.metrics.classifier import Classifier
from spikeloom.metrics.panel import METRICS, measure
from spikeloom.report.report import Report
from spikeloom.report.rows import LEARNED
from spikeloom.trials import Trials
from tests.helpers.report_toys import NASTY, toy

CHEAP = [one for one in METRICS if one.group in ("rates", "counts", "correlations")]


def test_all_sides_have_equally_many_trials_of_each_condition() -> None:
    real, scarce = toy(1), toy(3).select(np.r_[0:8, 9:40:4, 10:40:4])
    bench = RecordedHalves.build(real, fakes={"scarce": scarce}, splits=3, metrics=CHEAP[:1])
    for split in bench.splits:
        sizes = [np.unique(side.condition("direction"), return_counts=True)[1] for side in (split.base, split.other)]
        assert np.array_equal(*sizes)
        assert all(len(trials) == len(split.base) for trials in split.baselines.values())
        held = [{row.tobytes() for row in side.counts} for side in (split.base, split.other)]
        assert not held[0] & held[1]


def test_a_perfect_generator_is_at_the_floor_and_poisson_is_not() -> None:
    real, train, perfect = toy(1, trials=240), toy(2, trials=240), toy(3, trials=240)
    bench = RecordedHalves.build(real, fakes={"fake": perfect}, reference=train, splits=5, metrics=CHEAP)
    poisson = bench.splits[0].baselines[MEANS]
    good = {row.metric.name: row for row in panel_rows(bench, bench.generated)}
    bad = {row.metric.name: row for row in panel_rows(bench, {"fake": bench.judge(poisson)})}
    for name in ("population_count_kl", "noise_correlation_slope", "fano_median_ratio"):
        assert good[name].at_floor, name
        assert bad[name].closed == pytest.approx(0, abs=0.2), name
        assert not bad[name].at_floor, name


def test_what_comparisons_share_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted, transformed = [], []
    fit, transform = Classifier.fit, pair.correlograms
    monkeypatch.setattr(Classifier, "fit", lambda *inputs: fitted.append(len(inputs[0])) or fit(*inputs))
    monkeypatch.setattr(pair, "correlograms", lambda *sides, **more: transformed.append(1) or transform(*sides, **more))
    chosen = [one for one in METRICS if one.name in ("condition_accuracy", "autocorrelation_rmse")]
    fakes = {"first": toy(3), "second": toy(4)}
    reference = toy(2, trials=80)
    bench = RecordedHalves.build(toy(1), fakes=fakes, reference=reference, splits=2, metrics=chosen, progress=False)
    assert fitted == [len(reference)]
    assert len(transformed) == 2 * (1 + 6)  # in each split the base, the other half, three baselines and two fakes
    for split, results in zip(bench.splits, bench.floor, strict=True):
        alone = measure(split.base, split.other, reference=reference, condition="direction", metrics=chosen)
        assert {name: one.value for name, one in alone.items()} == {name: one.value for name, one in results.items()}


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others() -> None:
    real, fake = toy(1), toy(3)
    values = []
    for seed in (0, 0, 1):
        bench = RecordedHalves.build(real, fakes={"fake": fake}, splits=2, seed=seed, metrics=CHEAP)
        values.append([row.entry() for row in panel_rows(bench, bench.generated)])
    assert values[0] == values[1]
    assert values[0] != values[2]


def test_several_fakes_give_the_spread_over_them(report: Report) -> None:
    row = report["mean_rate_r"]
    assert set(row.values) == {"seed 1", "seed 2", "seed 3"}
    assert row.value == pytest.approx(np.mean(list(row.values.values())))
    assert row.sd == pytest.approx(np.std(list(row.values.values()), ddof=1))
    assert list(row.baselines) == [LEARNED, MEANS, CONSTANT]


def test_without_reference_labels_or_equal_lengths_it_still_answers() -> None:
    real = toy(1, trials=40)
    lengths = 20 + np.arange(40) % 21
    real = replace(real, lengths=lengths, conditions={})
    fake = replace(toy(3, trials=24), conditions={})
    report = evaluate(real, fake, splits=2, baselines={"a baseline": fake})
    assert isinstance(report.memorisation, str)
    assert report.baseline_names[-1] == "a baseline"
    for row in report.rows:
        assert row.value is not None or row.note
    assert "Memorisation" in report.to_html()


def test_unlabelled_fakes_are_shown_by_the_condition_read_from_their_spikes() -> None:
    report = evaluate(toy(1), replace(toy(3), conditions={}), reference=toy(2), splits=1)
    assert "read from the spikes" in report.facts["condition"]
    psths = next(figure for figure in report.figures if figure.key == "psths")
    assert any("direction 90" in chart.title for chart in psths.charts)


def test_silent_neurons_are_left_out_not_fatal() -> None:
    def hush(trials: Trials) -> Trials:
        counts = trials.counts.copy()
        counts[:, :, 0] = 0
        return replace(trials, counts=counts)

    report = evaluate(hush(toy(1)), hush(toy(3)), splits=2)
    assert report["pairwise_correlation_r"].value is not None
    report.to_html()


def broken(**change: Trials) -> dict[str, Trials]:
    return {"real": toy(1), "fake": toy(3), "reference": toy(2)} | change


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"fake": toy(3, neurons=9)}, ShapeError, "10 and 9 neurons"),
        ({"fake": replace(toy(3), bin_width=0.005)}, ShapeError, "0.005"),
        ({"reference": toy(2, neurons=9)}, ShapeError, "'reference'"),
        ({"real": replace(toy(1), source="LDNS")}, DataError, "Swap --real and --fake"),
        ({"reference": replace(toy(2), source="LFADS seed 3")}, DataError, "must be recorded"),
        ({"fake": toy(1)}, DataError, "exactly the same spikes"),
        ({"reference": toy(1)}, DataError, "exactly the same spikes"),
        ({"fake": toy(3).select(slice(0, 0))}, DataError, "has 0 trials"),
        ({"real": toy(1).select(slice(0, 0))}, DataError, "has 0 trials"),
        ({"fake": replace(toy(3), counts=np.zeros_like(toy(3).counts))}, DataError, "one spike"),
    ],
)
def test_what_cannot_be_compared_gets_one_clear_message(change: dict, error: type, words: str) -> None:
    sets = broken(**change)
    with pytest.raises(error, match=words):
        comparable(sets["real"], {"fake": sets["fake"]}, sets["reference"])


def test_too_few_trials_no_fakes_and_unknown_conditions_are_named() -> None:
    with pytest.raises(DataError, match="at least 4 recorded trials"):
        evaluate(toy(1).select([0, 1, 2]), toy(3))
    with pytest.raises(DataError, match="no generated trials"):
        named([])
    with pytest.raises(ConditionError, match="colour"):
        evaluate(toy(1), toy(3), condition="colour")


def test_names_that_look_like_scripts_stay_text(report: Report) -> None:
    page = report.to_html()
    assert NASTY not in page
    assert "&lt;script&gt;alert(" in page
    assert page.count("<script>") == 1  # ours, allowed by its hash


def test_only_what_was_a_condition_is_read_back() -> None:
    real, train = toy(1), toy(2, trials=80)
    conditioned = evaluate(real, toy(3), reference=train, splits=2, conditioned_on=["direction"], progress=False)
    other = evaluate(real, toy(3), reference=train, splits=2, conditioned_on=["hand_path"], progress=False)
    assert conditioned["condition_accuracy"].value is not None
    assert other["condition_accuracy"].value is None
    assert "not conditioned on direction" in other["condition_accuracy"].note
    assert other.facts["conditioned on"] == "hand_path"
    assert other["noise_correlation_r"].value == conditioned["noise_correlation_r"].value  # labels are still used


def test_trials_themselves_say_what_they_were_conditioned_on() -> None:
    real, fake, other = toy(1), replace(toy(3), conditioned_on=["direction"]), replace(toy(4), conditioned_on=())
    read_back = [one for one in METRICS if one.name == "condition_accuracy"]
    sets = {"fake": fake, "other": other}
    bench = RecordedHalves.build(real, fakes=sets, reference=toy(2, trials=80), splits=2, metrics=read_back)
    rows = {name: panel_rows(bench, {"": results})[0] for name, results in bench.generated.items()}
    assert rows["fake"].value is not None
    assert rows["fake"].floor is not None
    assert rows["other"].value is None
    assert "not conditioned on direction" in rows["other"].note
    unknown = RecordedHalves.build(real, fakes={"other": other, "unknown": toy(3)}, splits=2, metrics=read_back)
    assert unknown.real.conditioned_on is None


def test_labels_of_several_columns_keep_conditions_apart() -> None:
    """Two columns of two values each shift all rates; a joint label takes the shifts out of the noise correlation."""
    rng = np.random.default_rng(0)

    def contrasts(trials: int) -> Trials:
        left, right = np.arange(trials) % 2, np.arange(trials) // 2 % 2
        rates = 0.3 * np.exp(1.5 * (left == right))[:, None, None] * np.ones((1, 20, 6))
        return Trials(rng.poisson(rates), 0.02, conditions={"left": 1.0 * left, "right": 1.0 * right})

    real, fake = contrasts(120), contrasts(120)
    apart = evaluate(real, fake, condition=["left", "right"], splits=2, progress=False)
    mixed = evaluate(real, fake, condition="left", splits=2, progress=False)
    assert apart.shown is not None
    assert mixed.shown is not None
    details = [report.shown.results["noise_correlation_r"].detail["real"].mean() for report in (apart, mixed)]
    assert abs(details[0]) < 0.1
    assert details[1] > 0.3
    assert apart.facts["condition"].startswith("left,right")


def test_a_column_with_gaps_and_single_trials_is_handled() -> None:
    real, fake = toy(1), toy(2)
    names = np.array(["a", "b"] * 31 + ["", "once"])
    gaps = [
        replace(trials, conditions={"kind": names, "direction": trials.conditions["direction"]})
        for trials in (real, fake)
    ]
    report = evaluate(*gaps, condition=["kind", "direction"], splits=2, progress=False)
    assert report["noise_correlation_r"].value is not None
    single = evaluate(*gaps, condition="kind", splits=2, progress=False)
    assert single["noise_correlation_r"].value is not None


def test_neurons_are_called_by_their_names() -> None:
    names = np.array([f"unit {letter}" for letter in "abcdefghij"])
    real, fake = (replace(toy(seed), neuron_table={"name": names}) for seed in (1, 2))
    report = evaluate(real, fake, splits=2, progress=False)
    words = [word for figure in report.figures if figure.key == "neurons" for word in figure.charts[0].series[0].labels]
    assert "neuron unit a" in words


class Terminal(io.StringIO):
    """Standard error that says that it is a terminal."""

    def isatty(self) -> bool:
        """True."""
        return True


def test_the_bar_of_an_evaluation_reaches_its_end_and_counts_slow_comparisons_four_times(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    bars = []

    class Bar(recorded.tqdm):
        """A bar that the test can read."""

        def __init__(self, *positional, **named) -> None:
            super().__init__(*positional, **named)
            bars.append(self)

    monkeypatch.setattr(recorded, "tqdm", Bar)
    evaluate(toy(1), toy(3), reference=toy(2), splits=3)
    (bar,) = bars
    assert bar.n == bar.total == 2 * (4 * 5) + 4 * 2 + 3  # in the third split the three baselines are quick
    assert "comparing:   0%" in screen.getvalue()
