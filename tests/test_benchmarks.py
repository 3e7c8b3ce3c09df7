"""Every benchmark can be imported, and the cases of benchmarks/speed.py run at a tiny size."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

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
