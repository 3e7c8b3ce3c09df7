"""README and docs: their Python runs, their commands exist, their links lead somewhere, their tables are complete."""

import datetime
import re
from pathlib import Path

import numpy as np
import pynwb
import pytest

import spikeloom
from spikeloom import cli
from spikeloom.recipe import recipes
from spikeloom.trials import Trials

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page, language):
    """Contents of a page's code blocks of one language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.M | re.S)
    return [content for word, content in found if word == language]


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
    small = ("autoencoder.width=96", "autoencoder.blocks=1", "denoiser.width=16")  # 96: latents of all pages divide it
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


def test_links_lead_somewhere():
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert link.startswith("http") or (page.parent / link).exists(), f"{page.name}: {link}"


def test_tables_are_complete():
    readme = PAGES[0].read_text()
    groups = [(command.name, command.callback) for command in cli.app.registered_commands]
    assert all(f"| `{name}` |" in readme for name, _ in groups)
    page = (ROOT / "docs" / "recipes.md").read_text()
    assert all(f"| `{name}` |" in page for name in recipes())
    code = re.findall(r"^(make \w+)", "\n".join(blocks(ROOT / "CONTRIBUTING.md", "")), re.M)
    rules = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M)
    assert {words.split()[1] for words in code} <= set(rules)
