"""The memory of a series: its formula, the same numbers in pieces, and latents that follow a series with a delay."""

import numpy as np
import pytest
import torch

from spikeloom.nn.clock import Clock
from spikeloom.nn.linear_autoregression import LinearAutoregression
from spikeloom.nn.series_memory import SeriesMemory


def inputs_of(n_trials: int = 3, n_bins: int = 20) -> np.ndarray:
    """Return a vector of one number, then a series of two numbers, in each bin (trial, time, input)."""
    return np.random.Generator(np.random.PCG64(0)).normal(size=(n_trials, n_bins, 3))


def test_the_means_are_those_of_the_formula():
    inputs = inputs_of()
    means = SeriesMemory((2.0,), n_series=2).advance(inputs)
    assert means.shape == (3, 20, 3 + 2 * 2)
    np.testing.assert_array_equal(means[..., :3], inputs)
    np.testing.assert_array_equal(means[:, 0, 3:5], inputs[:, 0, 1:])  # before the first bin: its own value
    np.testing.assert_array_equal(means[:, 1:, 3:5], inputs[:, :-1, 1:])  # time constant 0: the last bin
    decay = np.exp(-1 / 2)
    time = 7
    powers = decay ** np.arange(time)
    expected = (1 - decay) * np.einsum("k,bkd->bd", powers, inputs[:, time - 1 :: -1, 1:])
    expected += decay**time * inputs[:, 0, 1:]
    np.testing.assert_allclose(means[:, time, 5:], expected)


@pytest.mark.parametrize("cut", [1, 7])
def test_pieces_have_the_same_means_as_the_whole(cut):
    inputs = inputs_of()
    expected = SeriesMemory((2.0, 6.0), n_series=2).advance(inputs)
    memory = SeriesMemory((2.0, 6.0), n_series=2)
    parts = [memory.advance(inputs[:, :cut]), memory.advance(inputs[:, cut:])]
    np.testing.assert_array_equal(np.concatenate(parts, 1), expected)


def test_without_a_series_nothing_is_added():
    memory = SeriesMemory((2.0,), n_series=0)
    np.testing.assert_array_equal(memory.advance(inputs_of()), inputs_of())
    assert memory.means is None


def test_latents_that_follow_a_series_one_bin_later_are_predicted_only_with_the_memory():
    rng = np.random.Generator(np.random.PCG64(1))
    series = rng.normal(size=(60, 30, 1))
    noise = 0.1 * rng.normal(size=series.shape)
    latents = np.concatenate((noise[:, :1], series[:, :-1] + noise[:, 1:]), 1)
    mask = torch.ones(latents.shape[:2], dtype=torch.bool)

    def residual(inputs: np.ndarray) -> float:
        """Return the sd of what an autoregression with these inputs does not explain."""
        clock = Clock(1, longest=30)
        model = LinearAutoregression(1, inputs.shape[2], clock=clock, time_constants=(2.0,))
        model.fit(torch.from_numpy(latents), torch.from_numpy(inputs), mask, ridge=1e-6)
        return float(model.noise[0, 0])

    assert residual(series) > 0.9
    assert residual(SeriesMemory((2.0,), n_series=1).advance(series)) == pytest.approx(0.1, abs=0.01)
