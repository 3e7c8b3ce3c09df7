"""README and docs: their Python runs, their commands exist, their links lead somewhere, their tables are complete."""

import csv
import datetime
import re
import runpy
from pathlib import Path

import numpy as np
import pynwb
import pytest

import spikeloom
from spikeloom import cli
from spikeloom.trials import Trials

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
GENERATED = {"api.md", "command-line.md", "metrics.md", "recipes.md"}
"""Pages of `docs/reference` that the documentation build writes."""


def blocks(page, language):
    """Contents of a page's code blocks of one language."""
    result = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.M | re.S)
    return [content for word, content in result if word == language]


def session(path):
    """A recording like the README's: 24 trials of 0.7 s, 5 neurons, 8 directions."""
    rng = np.random.default_rng(0)
    file = pynwb.NWBFile("toy", "toy", datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    for _ in range(5):
        file.add_unit(spike_times=np.sort(rng.uniform(0, 48, 2400)))
    file.add_trial_column("target_on_time", "when the target came")
    file.add_trial_column("direction", "which target")
    for trial in range(24):
        file.add_trial(
            start_time=2.0 * trial, stop_time=2.0 * trial + 2, target_on_time=2.0 * trial + 1, direction=trial % 8
        )
    with pynwb.NWBHDF5IO(path, "w") as out:
        out.write(file)


@pytest.fixture
def somewhere(tmp_path, monkeypatch):
    """A folder with the files that the pages name, and recipes made quick."""
    monkeypatch.chdir(tmp_path)
    session(tmp_path / "session.nwb")
    true = spikeloom.read_recipe
    small = (
        "autoencoder_settings.width=96",
        "autoencoder_settings.blocks=1",
        "denoiser_settings.width=16",
    )  # 96: latents of all pages divide it
    quick = ("autoencoder_plan.updates=3", "diffusion_plan.updates=3", *small)
    monkeypatch.setattr(
        "spikeloom.recipe.read_recipe",
        lambda name, changes=(): true(name, (*changes, *(quick if name.startswith("ldns") else ()))),
    )
    return tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_python_runs(page, somewhere):
    names = {}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), names)
    if page.name == "README.md":
        assert (somewhere / "report" / "report.html").exists()
        assert isinstance(names["fake"], Trials)


def test_the_commands_of_the_readme_run(somewhere):
    lines = [line for block in blocks(PAGES[0], "") for line in block.split("\n") if line.startswith("spikeloom ")]
    assert len(lines) == 6
    for line in lines:
        with pytest.raises(SystemExit) as end:
            cli.main(line.split()[1:])
        assert end.value.code == 0, line
    assert (somewhere / "report" / "metrics.json").exists()


def test_no_line_is_a_comment():
    """MyST leaves out lines that begin with a percent sign, such as the second line of "100\\n% of the trials"."""
    for page in PAGES:
        assert not re.search(r"^\s*%", page.read_text(), re.M), page.name


def test_links_lead_somewhere():
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            written = link.startswith("http") or Path(link).name in GENERATED
            assert written or (page.parent / link).exists(), f"{page.name}: {link}"


def test_commands_of_contributing_exist():
    code = re.findall(r"^(make \w+)", "\n".join(blocks(ROOT / "CONTRIBUTING.md", "")), re.M)
    rules = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M)
    assert {words.split()[1] for words in code} <= set(rules)


def test_commands_on_the_pages_exist():
    """Every `spikeloom COMMAND` in a shell block names a command, and options that it has."""
    expected = {command.name: command for command in cli.app.registered_commands}
    groups = {group.name for group in cli.app.registered_groups}
    for page in PAGES:
        for block in blocks(page, ""):
            for line in block.replace("\\\n", " ").split("\n"):
                words = line.strip().split()
                if words[:1] == ["spikeloom"] and len(words) > 1 and not words[1].startswith("-"):
                    assert words[1] in expected or words[1] in groups, f"{page.name}: {line}"


def test_every_page_stands_in_a_table_of_contents():
    for folder in (path for path in DOCS.iterdir() if (path / "index.md").exists()):
        listed = re.findall(r"^[a-z0-9-]+$", (folder / "index.md").read_text(), re.M)
        pages = {page.stem for page in folder.glob("*.md")} - {"index"}
        assert pages - {name.removesuffix(".md") for name in GENERATED} <= set(listed), folder.name


def test_citations_of_methods_lead_to_a_section():
    """`METHODS 2.4` in the source names a section of docs/reference/methods.md."""
    sections = set(re.findall(r"^##+ (\d[\d.]*) ", (DOCS / "reference" / "methods.md").read_text(), re.M))
    cited = {
        (path.name, number)
        for path in [*(ROOT / "src").rglob("*.py"), *(ROOT / "src").rglob("*.toml"), *(ROOT / "tests").rglob("*.py")]
        for number in re.findall(r"METHODS(?:\.md)?,? (?:section )?(\d+(?:\.\d+)?)", path.read_text())
    }
    assert cited
    assert {(name, number) for name, number in cited if number not in sections} == set()


def test_a_column_of_another_table_is_copied_if_the_noise_floor_is_equal(tmp_path):
    tool = runpy.run_path(str(DOCS / "results" / "table.py"))
    report = tmp_path / "report"
    report.mkdir()
    heads = ["metric", "value", "sd", "floor", "floor_sd", tool["POISSON"]]
    lines = [heads, ["pairwise_correlation_r", "0.7", "0.01", "0.8", "0.05", "0.4"]]
    with (report / "metrics.csv").open("w") as file:
        csv.writer(file).writerows(lines)
    other = tmp_path / "other.csv"
    other.write_text("metric,generated,noise floor\n`pairwise_correlation_r`,0.75,0.8 ± 0.05\n")
    columns = tool["sources_of"]([f"new={report}", f"earlier={other}:generated"])
    _, row = tool["table"](columns, ["pairwise_correlation_r"])
    assert row == ["`pairwise_correlation_r`", "0.8 ± 0.05", "0.7 ± 0.01, 75 %", "0.75", "0.4"]
    other.write_text("metric,generated,noise floor\n`pairwise_correlation_r`,0.75,0.9 ± 0.05\n")
    with pytest.raises(SystemExit, match="noise floor"):
        tool["table"](columns, ["pairwise_correlation_r"])
