"""A winner is named only if the spread allows it."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from spikeloom.errors import DataError
from spikeloom.evaluation.compare import Comparison, compare, verdict
from spikeloom.metrics.panel import Metric, Result
from spikeloom.report.rows import Row
from spikeloom.report.standings import Contender
from tests.helpers.report_toys import NASTY, toy

METRIC = Metric("m", "M", "", 0.0, "lower", "counts", lambda pair: Result(None), "why")


def row(value: float, *, sd: float = 0.01, seeds: int = 3) -> Contender:
    result = Row(METRIC, {f"seed {k}": value for k in range(seeds)}, value, sd, 0.1, 0.01, {"t": 1.0}, 1.0)
    return Contender({"m": result}, {"m": None}, seeds)


def test_the_closer_model_wins_when_the_gap_exceeds_both_spreads() -> None:
    assert verdict({"a": row(0.5), "b": row(0.6)}, METRIC).winner == "a"
    assert verdict({"a": row(0.6), "b": row(0.5), "c": row(0.9)}, METRIC).winner == "b"


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ({"a": row(0.5, sd=0.06), "b": row(0.6, sd=0.05)}, "less than their spread"),
        ({"a": row(0.5, seeds=2), "b": row(0.6)}, "fewer than 3 training seeds of a"),
        ({"a": row(0.5), "b": row(0.6, seeds=1)}, "fewer than 3 training seeds of b"),
        ({"a": row(0.1), "b": row(0.11)}, "several models are at the noise floor"),
        ({"a": row(0.5)}, "fewer than two models"),
    ],
)
def test_no_winner_otherwise_with_the_reason(rows: dict[str, Contender], reason: str) -> None:
    result = verdict(rows, METRIC)
    assert result.winner is None
    assert reason in result.reason


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    real, train = toy(1, trials=120), toy(2, trials=120)
    weak = [toy(seed, trials=120) for seed in (6, 7, 8)]
    for k, trials in enumerate(weak):  # neurons in the wrong order
        weak[k] = trials.select_neurons([*range(1, 10), 0])
    good = [toy(seed, trials=120) for seed in (3, 4, 5)]
    return compare({"good": good, NASTY: weak}, real, reference=train, splits=2)


def test_the_panel_finds_the_better_model(comparison: Comparison) -> None:
    assert comparison.verdicts["mean_rate_r"].winner == "good"
    assert all(result.winner != NASTY for result in comparison.verdicts.values())
    assert "no clear winner" in comparison.summary


def test_a_comparison_is_saved_shown_and_escaped(comparison: Comparison, tmp_path: Path) -> None:
    folder = comparison.save(tmp_path / "comparison")
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {
        "compare.json", "compare.csv", "compare.html", "figures/comparison.svg", "figures/comparison.pdf"
    }  # fmt: skip
    result = json.loads((folder / "compare.json").read_text())
    assert result["panel"]["mean_rate_r"]["winner"] == "good"
    assert NASTY not in (folder / "compare.html").read_text()
    console = Console(width=200, file=io.StringIO())
    console.print(comparison.table())
    assert "good" in console.file.getvalue()  # type: ignore[attr-defined]


def test_further_baselines_stand_beside_the_models_and_cannot_win() -> None:
    sets = {"good": [toy(seed, trials=60) for seed in (3, 4, 5)]}
    train, real = toy(2, trials=60), toy(1, trials=60)
    without = compare(sets, real, reference=train, splits=2)
    judged = compare(sets, real, reference=train, splits=2, baselines={NASTY: toy(8, trials=60)})
    assert judged.names == without.names == ["good"]
    assert judged.verdicts == without.verdicts
    rows = judged.rows["good"]
    assert rows["mean_rate_r"].value == pytest.approx(without.rows["good"]["mean_rate_r"].value)
    number = rows["mean_rate_r"].baselines[NASTY]
    assert number is not None
    panel = json.loads(json.dumps(judged.to_dict()))["panel"]
    assert panel["mean_rate_r"]["baselines"] == {NASTY: number}
    assert str(number) in judged.to_csv()
    assert [column.header.plain for column in judged.table().columns][-2] == NASTY
    assert NASTY not in judged.to_html()  # escaped
    assert judged.to_html().count("<th") == without.to_html().count("<th") + 1


def test_nothing_to_compare_is_a_clear_error() -> None:
    with pytest.raises(DataError, match="no model to compare"):
        compare({}, toy(1))


def test_the_spread_over_runs_and_over_samples_are_distinguished() -> None:
    real = toy(1, trials=120)
    runs = {
        "run 1": [toy(3, trials=120), toy(4, trials=120)],
        "run 2": [
            toy(5, trials=120).select_neurons([*range(1, 10), 0]),
            toy(6, trials=120).select_neurons([*range(1, 10), 0]),
        ],
    }
    model = compare({"m": runs}, real, splits=2).models["m"]
    name, values = "mean_rate_r", model.rows["mean_rate_r"].values
    one, two = ([values[f"run {k}, 0"], values[f"run {k}, 1"]] for k in (1, 2))
    assert model.runs == 2
    assert model.rows[name].sd == pytest.approx(np.std([np.mean(one), np.mean(two)], ddof=1))
    assert model.sample_sd[name] == pytest.approx(np.sqrt((np.var(one, ddof=1) + np.var(two, ddof=1)) / 2))
    assert (model.rows[name].sd or 0) > 5 * (model.sample_sd[name] or 1)  # one run has its neurons in the wrong order
