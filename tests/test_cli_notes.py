"""Warnings on the command line are one line each."""

import importlib
import inspect
import pkgutil
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest

import spikeloom
from spikeloom.errors import SpikeloomWarning
from spikeloom.simulate.lorenz_system import lorenz
from tests.helpers.command import run


@pytest.fixture
def warner(monkeypatch):
    """Function that makes `spikeloom recipes` raise the given warnings."""

    def install(*messages):
        from spikeloom import recipe

        def listed():
            for category, text in messages:
                warnings.warn(text, category, stacklevel=1)
            return []

        monkeypatch.setattr(recipe, "recipes", listed)

    return install


def test_a_warning_is_one_line_and_shown_once(warner, capsys):
    warner(
        (SpikeloomWarning, "speed is 3.\nIn training it was 1 to 2."),
        (SpikeloomWarning, "speed is 3. In training it was 1 to 2."),
    )
    before = warnings.filters[:], warnings.showwarning
    assert run("recipes") == 0
    assert capsys.readouterr().err == "note: speed is 3. In training it was 1 to 2.\n"
    assert (warnings.filters, warnings.showwarning) == before


def test_warnings_of_libraries_are_hidden(warner, capsys):
    warner(
        (DeprecationWarning, "old"),
        (RuntimeWarning, "divide"),
        (FutureWarning, "soon"),
        (UserWarning, "cached namespace"),
    )
    assert run("recipes") == 0
    assert capsys.readouterr().err == ""


def test_python_shows_them_again_by_choice(tmp_path):
    program = (
        "import warnings; from spikeloom import cli, recipe;"
        "recipe.recipes = lambda: warnings.warn('from a library') or []; cli.main(['recipes'])"
    )
    for option, expected in (((), False), (("-W", "default"), True)):
        done = subprocess.run([sys.executable, *option, "-c", program], capture_output=True, text=True, check=True)
        assert ("from a library" in done.stderr) == expected


def test_only_the_first_process_writes_notes(warner, capsys, monkeypatch):
    warner((SpikeloomWarning, "speed is 3"))
    monkeypatch.setenv("RANK", "1")
    assert run("recipes") == 0
    assert capsys.readouterr().err == ""


def test_a_real_command_says_it_in_one_line(tmp_path, capsys):
    conditions = {"speed": 0.5 * np.arange(12)}
    replace(lorenz(12, n_neurons=3, n_bins=12, seed=0), conditions=conditions).save(tmp_path / "t.h5")
    plans = [word for stage in ("autoencoder", "diffusion") for word in ("--set", f"{stage}_plan.updates=2")]
    words = ["--data", tmp_path / "t.h5", *plans, "--set", 'condition=["speed"]', "--out", tmp_path / "run"]
    assert run("fit", "ldns-tiny", *words) == 0
    capsys.readouterr()
    assert run("sample", tmp_path / "run", "--trials", 3, "--condition", "speed=99", "--out", tmp_path / "f.h5") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("note: speed")
    assert ".py" not in line


def test_every_warning_of_the_package_has_the_same_base():
    for result in pkgutil.walk_packages(spikeloom.__path__, "spikeloom."):
        if not result.name.endswith("__main__"):
            for name, value in vars(importlib.import_module(result.name)).items():
                if inspect.isclass(value) and issubclass(value, Warning) and value.__module__.startswith("spikeloom"):
                    assert issubclass(value, SpikeloomWarning), f"{result.name}.{name}"


@pytest.mark.parametrize("words", [["--watch", "v.h5"], ["--watch=v.h5"]])
def test_an_option_with_a_new_name_is_named(words, capsys):
    assert run("fit", "ldns-tiny", "--data", "t.h5", *words, "--out", "run") == 2
    assert capsys.readouterr().err == "spikeloom: `--watch` is now called `--validation`.\n"
