"""Simulated reaching: energy balance, independent trials, and hands that reach their targets."""

import numpy as np
import pytest
import torch

from spikeloom.errors import CorruptFileError, SettingError
from spikeloom.simulate import arm
from spikeloom.simulate.reaching_task import (
    HELD_OUT,
    WINDOW,
    add_hidden_statistics,
    reaching,
    read_controller,
    read_target,
)


@pytest.fixture(scope="module")
def trials():
    return reaching(72, seed=3)


def test_the_arm_rests_where_it_is_put():
    start = np.array([[0.0, 0.0], [-0.1, 0.1], [0.12, -0.12]])
    np.testing.assert_allclose(arm.hand(arm.rest(start, xp=np).angle, xp=np), start, atol=1e-12)


def test_an_unmoved_arm_keeps_its_energy_but_for_damping():
    """Free motion loses energy as fast as damping takes it; the error falls with the step."""
    angle, speed = np.array([[0.5, 1.3]]), np.array([[2.0, -3.0]])
    still = np.zeros((1, arm.MUSCLES))
    a1 = sum(arm.INERTIA) + arm.MASS * arm.LINKS[0] ** 2
    a2, a3 = arm.MASS * arm.LINKS[0] * arm.CENTRE_OF_MASS, arm.INERTIA[1]

    def energy(angle, speed):
        cosine = np.cos(angle[:, 1])
        mass = np.array([[a1 + 2 * a2 * cosine, a3 + a2 * cosine], [a3 + a2 * cosine, np.full_like(cosine, a3)]])
        return float(0.5 * np.einsum("bi,ijb,bj->", speed, mass, speed))

    step, lost, before = 1e-5, 0.0, energy(angle, speed)
    for _ in range(2000):
        lost += step * float(np.einsum("bi,ij,bj->", speed, np.array(arm.DAMPING), speed))
        speed = speed + step * arm._acceleration(angle, speed, still, np)
        angle = angle + step * speed
    assert energy(angle, speed) == pytest.approx(before - lost, rel=1e-3)  # first-order steps of 10 us
    assert lost > 0.005 * before


def test_torch_and_numpy_agree():
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(0, 0.3, shape) for name, shape in arm.SHAPES.items()}
    start, target = rng.uniform(-0.1, 0.1, (2, 4, 2))
    noise = rng.standard_normal((4, arm.INPUTS + arm.UNITS))
    go = np.ones((4, 1))
    mine = arm.step(weights, arm.rest(start, xp=np), target, go, noise, xp=np)
    as_torch = {name: torch.from_numpy(value) for name, value in weights.items()}
    options = [torch.from_numpy(x) for x in (target, go, noise)]
    other = arm.step(as_torch, arm.rest(torch.from_numpy(start), xp=torch), *options, xp=torch)
    for one, two in zip(mine, other, strict=True):
        np.testing.assert_allclose(one, two.numpy(), atol=1e-12)


def test_the_gru_is_that_of_torch():
    rng = np.random.default_rng(1)
    weights = {name: rng.normal(0, 0.3, shape) for name, shape in arm.SHAPES.items()}
    cell = torch.nn.GRUCell(arm.INPUTS, arm.UNITS).double()
    with torch.no_grad():
        for name, value in (("weight_ih", "input"), ("weight_hh", "recurrent")):
            getattr(cell, name).copy_(torch.from_numpy(weights[value].T))
        for name, value in (("bias_ih", "input_bias"), ("bias_hh", "recurrent_bias")):
            getattr(cell, name).copy_(torch.from_numpy(weights[value]))
        hidden, seen = rng.normal(size=(3, arm.UNITS)), rng.normal(size=(3, arm.INPUTS))
        theirs = cell(torch.from_numpy(seen), torch.from_numpy(hidden)).numpy()
    np.testing.assert_allclose(arm._gated(weights, hidden, seen, np), theirs, atol=1e-12)


def test_the_shipped_controller_arrives():
    _, error = add_hidden_statistics(read_controller(), n_trials=180)
    assert error < 0.007  # metres: the promise of the simulator


def test_trials_have_what_they_promise(trials):
    assert trials.counts.shape == (72, 40, 64)
    assert set(trials.conditions) == {"target_x", "target_y", "start_x", "start_y", "held_out"}
    assert trials.units == {"hand_position": "m", "hand_velocity": "m/s", "muscle_activity": "1"}
    target, start = (
        np.stack([trials.conditions[f"{name}_{axis}"] for axis in "xy"], 1) for name in ("target", "start")
    )
    hand = trials.behavior["hand_position"]
    assert np.linalg.norm(hand[:, 0] - start, axis=1).max() < 0.03  # the hand waits near its start until the go cue
    assert np.linalg.norm(hand[:, -1] - target, axis=1).mean() < 0.007
    assert (np.linalg.norm(target - start, axis=1) > 0.039).all()
    velocity = trials.behavior["hand_velocity"][:, 1:]
    np.testing.assert_allclose(velocity, np.diff(hand, axis=1) / 0.02, atol=1e-5)  # float32 of metres over 20 ms
    assert (trials.behavior["muscle_activity"] >= 0).all()
    assert (trials.behavior["muscle_activity"] <= 1).all()
    for block in (slice(0, 36), slice(36, 72)):  # every 36 trials go to all targets
        assert len(np.unique(target[block], axis=0)) == 36
    assert trials.conditions["held_out"].sum() == 2 * len(HELD_OUT)
    np.testing.assert_allclose(WINDOW, (12, 52))


def test_counts_are_poisson_of_the_rates(trials):
    mean, variance = trials.rates.sum(), trials.rates.sum()
    assert abs(trials.counts.sum() - mean) < 4 * np.sqrt(variance)  # four standard deviations of the sum
    score = (trials.counts - trials.rates) / np.sqrt(trials.rates)
    assert np.square(score).mean() == pytest.approx(1, abs=0.05)
    assert 3 < np.median(trials.mean_rates_hz()) < 10


def test_a_trial_does_not_depend_on_the_others(trials):
    few = reaching(10, seed=3)
    np.testing.assert_array_equal(few.counts, trials.counts[:10])
    np.testing.assert_allclose(few.rates, trials.rates[:10], rtol=1e-6)
    assert not np.array_equal(reaching(10, seed=4).counts, few.counts)


def test_more_neurons_than_units_follow_the_same_units():
    several = reaching(3, n_neurons=70, seed=0)
    drive = np.log(several.rates) - np.log(several.rates).mean((0, 1))
    alike = np.abs(drive[..., :64, None] - drive[..., None, 64:]).max((0, 1))
    assert (alike.min(0) < 1e-5).all()  # float32


def test_mistakes_are_named():
    with pytest.raises(SettingError, match="row and a column"):
        reaching(4, held_out=[(6, 0)])
    with pytest.raises(SettingError, match="--held-out 2,3"):
        read_target("2")
    with pytest.raises(SettingError, match="neurons"):
        reaching(4, n_neurons=0)
    assert read_target("2,3") == (2, 3)


def test_a_file_that_is_no_controller_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    path.write_bytes(b"not weights")
    with pytest.raises(CorruptFileError, match="simulate controller"):
        read_controller(path)
