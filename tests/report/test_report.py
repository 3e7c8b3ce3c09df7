"""Distance closed of rows, and its display in the summary, the table, the files and the page of a report."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from spikeloom.errors import FileError
from spikeloom.metrics.panel import METRICS, Metric, Result
from spikeloom.report.report import Report
from spikeloom.report.rows import Row
from spikeloom.report.words import number, percent, short, spread
from tests.helpers.report_toys import whole_report


def metric(better: str = "lower", ideal: float = 0.0, group: str = "counts") -> Metric:
    return Metric("m", "M", "s", ideal, better, group, lambda pair: Result(None), "why")  # type: ignore[arg-type]


def row(value: float | None, *, floor: float | None = 0.1, baseline: float | None = 1.1, sd: float = 0.01, **of) -> Row:
    values = {} if value is None else {"fake": value}
    return Row(metric(**of), values, value, None, floor, sd, {"baseline": baseline}, baseline)


def test_closed_is_zero_at_the_baseline_one_at_the_floor_and_linear_between() -> None:
    assert row(1.1).closed == pytest.approx(0)
    assert row(0.6).closed == pytest.approx(0.5)
    assert row(0.1).closed == pytest.approx(1)
    assert row(2.1).closed == pytest.approx(-1)


def test_closed_respects_the_direction_of_the_metric() -> None:
    higher = {"better": "higher", "ideal": 1.0}
    assert row(0.5, floor=0.9, baseline=0.1, **higher).closed == pytest.approx(0.5)
    around = {"better": "ideal", "ideal": 1.0}
    assert row(1.5, floor=1.0, baseline=0.0, **around).closed == pytest.approx(0.5)


@given(st.floats(0, 10), st.floats(0, 10), st.floats(0, 10), st.floats(0, 1))
def test_at_the_floor_never_contradicts_the_share(value: float, floor: float, baseline: float, sd: float) -> None:
    result = row(value, floor=floor, baseline=baseline, sd=sd)
    if result.closed is not None and result.closed >= 1:
        assert result.at_floor


def test_no_share_where_the_baseline_reaches_the_floor() -> None:
    assert row(0.1, floor=0.1, baseline=0.11, sd=0.01).closed is None
    assert row(0.1, floor=0.1, baseline=0.05).closed is None


def test_no_share_for_memorisation_since_baselines_do_not_copy() -> None:
    assert row(0.6, group="memorisation").closed is None


def test_missing_numbers_give_none_and_a_note_instead_of_nan() -> None:
    for result in (row(None), row(0.5, floor=None), row(0.5, baseline=None)):
        assert result.closed is None
        assert "NaN" not in json.dumps(result.entry())


def test_numbers_for_people() -> None:
    assert number(0.99972, 0.0001) == "0.9997"
    assert number(-0.5) == "\u22120.5"
    assert number(None) == "–"
    assert number(1.5e-7) == "1.5e\u22127"
    assert spread(0.861, 0.0213) == "0.86 ± 0.02"
    assert [percent(share) for share in (-0.2, 0.444, 1.3, None)] == ["none", "44 %", "all", ""]
    assert short("a" * 80 + ". more and more") == "a" * 80


def test_rows_can_be_sorted_by_share_with_missing_values_last(report: Report) -> None:
    shares = [result.closed for result in report.worst_first if result.closed is not None]
    assert shares == sorted(shares)
    missing = [result.value is None for result in report.worst_first]
    assert missing == sorted(missing)


def test_the_summary_is_plain_and_names_what_is_furthest(report: Report) -> None:
    assert "as close to real trials" in report.summary
    assert "nan" not in report.summary


def test_metrics_json_is_what_the_design_says(report: Report) -> None:
    result = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert result["format"] == "spikeloom-metrics"
    assert result["version"] == 2
    assert {"real", "fake", "reference"} <= set(result)
    assert set(result["ldns_protocol"]) == {"population_count_kl", "correlation_rmse", "mean_isi_rmse", "std_isi_rmse"}
    assert list(result["panel"]) == [one.name for one in METRICS]
    keys = {"value", "floor", "floor_sd", "baseline", "ideal", "unit", "closed", "note"}
    for name, entry in result["panel"].items():
        assert set(entry) == keys
        assert entry["value"] is not None or entry["note"], name


def test_the_table_has_one_line_per_metric_and_reads_no_markup(report: Report) -> None:
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert sorted(line["metric"] for line in rows) == sorted(one.name for one in METRICS)
    assert [line["metric"] for line in rows] == [result.metric.name for result in report.in_order]
    console = Console(width=240, file=io.StringIO())
    console.print(report.table())
    for name in ("Poisson, condition means", "noise floor"):
        assert name in console.file.getvalue()  # type: ignore[attr-defined]


def test_save_writes_numbers_page_and_vector_figures(report: Report, tmp_path: Path) -> None:
    report = replace(report, shown=None, more_figures=report.figures[2:4])  # drawing all of them takes seconds
    folder = report.save(tmp_path / "new" / "report")
    names = {path.name for path in folder.iterdir()}
    assert names == {"metrics.json", "metrics.csv", "ldns_protocol.csv", "report.html", "figures"}
    drawings = {path.name for path in (folder / "figures").iterdir()}
    for figure in report.figures:
        assert {f"{figure.key}.svg", f"{figure.key}.pdf"} <= drawings
    assert (folder / "report.html").stat().st_size < 5e6
    assert not list(tmp_path.rglob("*.part"))


def test_a_folder_that_cannot_be_written_is_one_clear_message(report: Report, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileError):
        report.save(tmp_path / "file" / "report")


def test_a_notebook_shows_the_page_in_a_frame_of_its_own(report: Report) -> None:
    shown = report._repr_html_()
    assert shown.startswith("<iframe sandbox=")
    assert "<script" not in shown  # all of it is inside the attribute, escaped


def test_the_text_of_a_report_is_short_and_opens_with_what_matters(report: Report) -> None:
    text = repr(report)
    assert text.startswith(report.summary)
    assert len(text) < 2000
    rows = text.split("\n\n")[1].split("\n")[1:-1]
    assert rows[0].startswith("Population count, KL")
    assert [row[:5] for row in rows[1:3]] == ["Fano ", "Pairw"]


def test_nothing_is_drawn_before_it_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("drawn")

    monkeypatch.setattr("spikeloom.report.drawings.all_figures", refuse)
    made = whole_report()
    assert made["isi_cv_r"].value is not None
    with pytest.raises(AssertionError, match="drawn"):
        made.save(tmp_path)
