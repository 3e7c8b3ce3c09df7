"""Objects in a notebook: small tables with escaped text, in the colours of the notebook."""

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from spikeloom import html
from spikeloom.data.recording import Recording
from spikeloom.data.series import BinnedCounts, Series
from spikeloom.models import GNOCCHI, LDNS, LFADS
from spikeloom.models.common.facts import Facts
from tests.helpers.small_ldns import toy_model, toy_trials

SCRIPT = "<script>alert(1)</script>"


class Cells(HTMLParser):
    """The cells of a table as plain text, and the tags that occur."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.cells: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag in ("th", "td"):
            self.cells.append("")

    def handle_data(self, data):
        if self.cells:
            self.cells[-1] += data


def rows(shown: str) -> dict[str, str]:
    """Read a table back; only tags of a plain table may occur."""
    page = Cells(shown)
    assert page.tags == {"div", "strong", "table", "tbody", "tr", "th", "td"}
    return dict(zip(page.cells[::2], page.cells[1::2], strict=True))


def recording(**fields) -> Recording:
    """Two neurons and two trials, with names that try to inject a script."""
    times = np.arange(0, 10, 0.01)
    full = {
        "spikes": [np.arange(0.05, 10, 0.1), np.array([1.0, 4.2])],
        "behavior": {"hand": Series(times, np.stack([times, -times], 1), "m/s"), SCRIPT: Series(times, times)},
        "trial_table": {"start_time": [1.0, 3.0], SCRIPT: ["a", "b"]},
        "observed": np.array([[0.0, 6.0], [7.0, 10.0]]),
        "source": SCRIPT,
    }
    return Recording(**(full | fields))


def test_a_table_escapes_every_text_and_sets_no_color():
    shown = html.table(SCRIPT, {SCRIPT: SCRIPT, "empty": ""})
    assert rows(shown) == {SCRIPT: SCRIPT}
    assert "color:inherit" in shown
    assert "#" not in shown


def test_a_frame_holds_the_page_as_one_escaped_attribute():
    page = f'<p class="a">{SCRIPT}</p>'
    shown = html.frame(page)
    parser = HTMLParser()
    result = []
    parser.handle_starttag = lambda tag, attrs: result.append((tag, dict(attrs)))
    parser.feed(shown)
    assert [tag for tag, _ in result] == ["iframe"]
    assert result[0][1]["srcdoc"] == page
    assert result[0][1]["sandbox"] == "allow-scripts"


def test_a_recording_shows_what_the_file_holds():
    shown = rows(recording()._repr_html_())
    assert shown == {
        "neurons": "2",
        "spikes": "102",
        "observed": "9 s in 2 intervals",
        "trials": "2",
        "trial table": f"start_time, {SCRIPT}",
        "behavior": f"hand (m/s), {SCRIPT} (no unit)",
        "source": SCRIPT,
    }


def test_a_recording_of_counts_names_their_bins():
    counts = BinnedCounts(np.arange(5) * 0.05, np.ones((5, 3), np.uint8), 0.05)
    bare = recording(spikes=None, binned=counts, behavior={}, trial_table={}, observed=None, source="")
    shown = rows(bare._repr_html_())
    assert shown["spikes"] == "15, in bins of 50 ms"
    assert (shown["trials"], shown["observed"], shown["source"]) == ("none", "0.25 s", "unknown")
    assert "behavior" not in shown


@pytest.mark.parametrize("model", [LDNS, GNOCCHI, LFADS])
def test_a_model_that_is_not_trained_says_so(model):
    shown = rows(model(6)._repr_html_())
    assert shown["neurons"] == "6"
    assert shown["training"] == "not trained"
    assert shown["conditions"] == "none"
    assert "parameters" not in shown.get("size", "")  # the networks are made when it is trained


def test_a_trained_model_shows_its_size_conditions_and_training_trials():
    trials = toy_trials()
    trials = replace(trials, conditions={SCRIPT: trials.conditions["side"]})
    model = toy_model(updates=2, condition=(SCRIPT,)).fit(trials, seed=0, progress=False)
    shown = rows(model._repr_html_())
    assert shown["conditions"] == SCRIPT
    assert shown["training"] == "trained on 24 trials of 24 bins of 10 ms"
    number = sum(parameter.numel() for parameter in model.parameters())
    assert shown["size"] == f"4 latents, {number:,} parameters"


def test_a_trained_model_shows_its_notes():
    model = LFADS(6)
    trials = toy_trials()
    model.build(facts := Facts.of(trials, ()))
    model._facts = facts
    assert rows(model._repr_html_())["KL scale"] == model.notes["KL scale"]
