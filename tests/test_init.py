"""The public names: all exist, editors can complete them, and importing the package is quick."""

import ast
import doctest
import subprocess
import sys
from pathlib import Path

import pytest

import spikeloom as sl

SOURCE = Path(sl.__file__)
NAMES = [name for name in sl.__all__ if name in sl._NAMES]


@pytest.mark.parametrize("name", sl.__all__)
def test_every_name_is_there(name):
    assert getattr(sl, name) is not None


def test_dir_shows_the_public_names_and_nothing_else():
    assert dir(sl) == sorted(sl.__all__)
    assert sorted(sl.__all__) == sorted(["__version__", *sl._NAMES, *sl._MODULES])


def test_unknown_names_say_what_there_is():
    with pytest.raises(AttributeError, match="LDNS"):
        sl.ldns_model


def test_an_editor_sees_the_names_from_the_same_modules():
    """The imports for type checkers are those that run when a name is used."""
    block = next(node for node in ast.parse(SOURCE.read_text()).body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    modules = {name: home.rpartition(".")[0] for name, home in sl._MODULES.items()}
    assert seen == {**sl._NAMES, **modules}
    assert SOURCE.with_name("py.typed").exists()


def test_importing_the_package_is_cheap():
    code = "import sys, spikeloom; dir(spikeloom); assert not {'torch', 'numpy', 'h5py'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["diffusion", "metrics", "observation", "simulate", "training"])
def test_packages_hand_their_names_on(name):
    package = getattr(sl, name)
    assert package.__all__
    assert all(hasattr(package, inner) for inner in package.__all__)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_every_name_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    value = getattr(sl, name)
    example = doctest.DocTestParser().get_doctest(value.__doc__, {"sl": sl}, name, None, None)
    assert example.examples, f"the docstring of {name} has no example"
    printed = []
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=printed.append).failed == 0, printed
