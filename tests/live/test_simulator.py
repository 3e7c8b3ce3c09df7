"""The model for neural-data-simulator, against a stand-in with its protocol."""

import sys
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pytest

from spikeloom.errors import ConditionError, SettingError, ShapeError
from spikeloom.live import simulator
from spikeloom.live.simulator import LONGEST_GAP, LiveEncoder


@dataclass
class Samples:
    """Times and data with equal numbers of rows, as neural-data-simulator checks them."""

    timestamps: np.ndarray
    data: np.ndarray

    def __post_init__(self) -> None:
        assert self.timestamps.ndim in (1, 2)
        assert len(self.timestamps) == len(self.data)


@pytest.fixture
def package(monkeypatch):
    """The stand-in for the package, as far as models use it."""
    for name in ("neural_data_simulator", "neural_data_simulator.core", "neural_data_simulator.core.samples"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["neural_data_simulator.core.samples"].Samples = Samples


def samples(times, values) -> Samples:
    return Samples(np.asarray(times, float), np.asarray(values, float).reshape(len(times), -1 if len(times) else 1))


def test_a_plugin_of_three_lines_encodes(fitted, package, tmp_path, monkeypatch):
    fitted.save(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    names = {}
    lines = [line[4:] for line in simulator.__doc__.split("\n") if line.startswith("    ")]
    exec("\n".join(lines).replace("runs/reach", "model").replace("hand_vel", "wave"), names)
    model, live = names["create_model"](), fitted.live(0, condition="wave")
    for k in range(20):
        encoded = model.encode(samples([5 + 0.01 * k, 5.004 + 0.01 * k], [k, k + 1]))
        live.step([k + 0.5])
        np.testing.assert_allclose(encoded.data, np.tile(live.rates / 0.01, (2, 1)))
        assert isinstance(encoded, Samples)


def test_chunks_of_any_size(fitted, package):
    """A chunk may hold several bins, a part of one, or nothing; bins between chunks are generated, too."""
    model, live = LiveEncoder(fitted, seed=3), fitted.live(3, condition="wave")
    assert model.encode(samples([], [])).data.shape == (0, 6)
    first = model.encode(samples([0.0, 0.01, 0.02], [1, 2, 3])).data
    np.testing.assert_allclose(first[:2], [live.step([v]) is None or live.rates / 0.01 for v in (1.0, 2.0)])
    live.step([3.0])
    np.testing.assert_allclose(model.encode(samples([0.025], [9])).data[0], live.rates / 0.01)
    live.step(), live.step([5.0])
    np.testing.assert_allclose(model.encode(samples([0.041], [5])).data[0], live.rates / 0.01)
    assert np.isfinite(model.encode(samples([0.0], [1])).data).all()  # a time that runs backwards


def test_a_long_gap_is_left_out(fitted, package):
    model = LiveEncoder(fitted)
    model.encode(samples([0.0], [1]))
    model.encode(samples([1e6, 1e6 + 0.01], [1, 2]))
    assert model._live.bins == 3
    model.encode(samples([1e6 + 0.01 + LONGEST_GAP / 2], [1]))
    assert model._live.bins == pytest.approx(3 + LONGEST_GAP / 2 / 0.01, abs=1)


def test_wrong_samples_and_models_are_refused(fitted, several, package):
    with pytest.raises(ShapeError, match="1 dimensions"):
        LiveEncoder(fitted).encode(samples([0.0], [[1, 2]]))
    with pytest.raises(ConditionError, match="finite"):
        LiveEncoder(fitted).encode(samples([0.0], [np.nan]))
    with pytest.raises(ConditionError, match="only condition"):
        LiveEncoder(several, condition="wave")


def test_a_missing_package_is_named(fitted):
    with pytest.raises(SettingError, match="pip install neural-data-simulator"):
        LiveEncoder(fitted)
