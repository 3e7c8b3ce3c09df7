"""The controller learns within few updates, and equal seeds give equal weights."""

import numpy as np
import torch

from spikeloom.seeds import Purpose, generator
from spikeloom.simulate.arm import SHAPES
from spikeloom.simulate.controller import _first_weights, _loss, train_controller


def test_training_brings_the_hand_nearer():
    loss = lambda weights: float(_loss(weights, generator(0, Purpose.VALIDATION, 0)))
    trained = train_controller(seed=0, updates=12, progress=False)
    with torch.no_grad():
        assert loss(trained) < 0.9 * loss(_first_weights(0))


def test_equal_seeds_give_equal_weights_of_the_right_shapes():
    first, second = (train_controller(seed=1, updates=2, progress=False) for _ in range(2))
    assert {name: tuple(value.shape) for name, value in first.items()} == SHAPES
    for name in SHAPES:
        np.testing.assert_array_equal(first[name], second[name])
