"""Directions, signal to noise, traversals, coverage: against closed forms and scikit-learn."""

import numpy as np
import pytest
from scipy.stats import special_ortho_group

from spikeloom.errors import ConditionError, DataError
from spikeloom.metrics.disentanglement import (
    Directions,
    Readout,
    code_snr,
    coverage,
    ends,
    group_snr,
    movement,
    orthogonality,
    point_error,
    unit_r2,
    variable,
)
from spikeloom.trials import Trials

NAMES = ("x", "y")


def linear_world(trials=4000, codes=6, noise=0.1, seed=0):
    """Codes that are a linear map of two variables, plus noise; the map is known."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, (2.0, 0.5), (trials, 2)) + np.array([1.0, -3.0])
    table = rng.normal(size=(codes, 2))
    return (values - np.array([1.0, -3.0])) @ table.T + noise * rng.standard_normal((trials, codes)) + 5, values, table


@pytest.fixture(scope="module")
def world():
    codes, values, table = linear_world()
    return Directions.fit(codes, values, NAMES), codes, values, table


def test_encode_finds_the_map_and_decode_its_inverse(world):
    directions, codes, values, table = world
    np.testing.assert_allclose(directions.encode, table, atol=0.02)  # 0.1 / sqrt(4000) / 0.5 is 0.003
    np.testing.assert_allclose(directions.predict(codes), values, atol=0.6)
    np.testing.assert_allclose(directions.decode.T @ table, np.eye(2), atol=0.03)


@pytest.mark.parametrize("how", ["curved", "joint", "encode", "decode"])
def test_every_step_is_predicted_to_move_by_the_requested_change(world, how):
    directions, codes, _, _ = world
    changes = np.tile([[0.7, 0.0]], (50, 1))
    moved = directions.predict(directions.move(codes[:50], changes, how=how)) - directions.predict(codes[:50])
    np.testing.assert_allclose(moved[:, 0], 0.7, rtol=0.01)
    if how in ("curved", "joint"):
        np.testing.assert_allclose(moved[:, 1], 0, atol=0.01)  # and keeps the other


def test_the_joint_step_is_exact_where_variables_are_entangled():
    rng = np.random.default_rng(0)
    values = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 3000)
    codes = values @ rng.normal(size=(2, 5)) + 0.3 * rng.standard_normal((3000, 5))
    directions = Directions.fit(codes, values, NAMES)
    np.testing.assert_allclose(directions.decode.T @ directions.steps("joint"), np.eye(2), atol=1e-10)
    assert abs((directions.decode.T @ directions.steps("decode"))[1, 0]) > 0.05


def test_a_curved_step_stays_on_a_bent_sheet():
    """Codes (x, y, x^2, xy): a straight step leaves the sheet, a curved one does not."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3000, 2))
    sheet = lambda v: np.stack([v[:, 0], v[:, 1], v[:, 0] ** 2, v[:, 0] * v[:, 1]], 1)
    directions = Directions.fit(sheet(values) + 0.01 * rng.standard_normal((3000, 4)), values, NAMES)
    subset, changes = values[:200], np.tile([[0.5, 0.0]], (200, 1))
    off = lambda how: np.abs(directions.move(sheet(subset), changes, how=how) - sheet(subset + changes)).max()
    assert off("curved") < 0.1
    assert off("joint") > 0.5


def test_turning_code_space_changes_nothing_but_its_axes(world):
    directions, codes, values, _ = world
    turn = special_ortho_group.rvs(6, random_state=np.random.default_rng(0))
    other = Directions.fit(codes @ turn, values, NAMES)
    for whitened in (False, True):
        for of in ("encode", "decode"):
            got, want = (d.cosines(of, whitened=whitened) for d in (other, directions))
            np.testing.assert_allclose(got, want, atol=1e-8)
    np.testing.assert_allclose(code_snr(other, codes @ turn, values), code_snr(directions, codes, values), rtol=1e-6)


def test_cosines_of_known_directions():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((20000, 2))
    table = np.array([[1.0, 0.6], [0.0, 0.8], [0.0, 0.0]])
    directions = Directions.fit(values @ table.T + 0.5 * rng.standard_normal((20000, 3)), values, NAMES)
    assert directions.cosines("encode")[0, 1] == pytest.approx(0.6, abs=0.02)
    assert orthogonality(directions.cosines("encode")) == pytest.approx(0.6, abs=0.02)
    covariance = table @ table.T + 0.25 * np.eye(3)
    root = np.linalg.inv(np.linalg.cholesky(covariance)) @ table  # any root gives equal angles
    cosine = root[:, 0] @ root[:, 1] / np.linalg.norm(root[:, 0]) / np.linalg.norm(root[:, 1])
    for of in ("encode", "decode"):  # in white codes and independent variables both maps point the same way
        assert directions.cosines(of, whitened=True)[0, 1] == pytest.approx(cosine, abs=0.02)


def test_signal_to_noise_in_closed_form():
    """One code c = v + e: the best prediction keeps s = 1 / (1 + n) of v, so the ratio is s^2 (1 + n) / (s n)."""
    rng = np.random.default_rng(0)
    noise = 0.25
    v = rng.standard_normal((40000, 1))
    codes = v + np.sqrt(noise) * rng.standard_normal((40000, 1))
    directions = Directions.fit(codes[:20000], v[:20000], ("v",))
    assert code_snr(directions, codes[20000:], v[20000:])[0] == pytest.approx(1 / noise, rel=0.05)
    groups = np.repeat(np.arange(4), 5000)
    expected = groups[:, None] + 0.5 * rng.standard_normal((20000, 1))
    result = group_snr(Directions.fit(expected, groups[:, None].astype(float), ("g",)), expected, groups)
    assert result[0] == pytest.approx(np.var(np.arange(4)) / 0.25, rel=0.05)


def test_codes_of_other_trials_say_nothing(world):
    _, codes, values, _ = world
    dealt = Directions.fit(np.random.default_rng(0).permutation(codes), values, NAMES)
    assert (code_snr(dealt, codes, values) < 0.02).all()


def test_point_error_is_a_mean_distance(world):
    directions, codes, _, _ = world
    read = directions.predict(codes)
    assert point_error(directions, codes, read + np.array([3.0, 4.0])) == pytest.approx(5.0)


def test_unit_r2():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(20, 10, 3))
    mask = np.ones((20, 10), bool)
    mask[5:, 7:] = False
    fake = real.copy()
    fake[..., 1] = real[..., 1][mask].mean()  # the mean explains nothing
    fake[~mask] = 99.0  # padding is not looked at
    real[..., 2] = 1.0  # a constant has no variance to explain
    np.testing.assert_allclose(unit_r2(real, fake, mask)[:2], [1, 0], atol=1e-12)
    assert np.isnan(unit_r2(real, fake, mask)[2])


def test_coverage_of_equals_and_of_a_corner():
    rng = np.random.default_rng(0)
    real, fake = rng.standard_normal((2, 600, 3))
    assert coverage(real, fake) == pytest.approx(1 - 2**-5, abs=0.03)
    assert coverage(real, 0.05 * fake) < 0.15
    near = np.sort(np.linalg.norm(real[:, None] - real[None], axis=2), 1)[:, 5]
    want = (np.linalg.norm(real[:, None] - fake[None], axis=2).min(1) < near).mean()
    assert coverage(real, fake) == pytest.approx(want)


def test_movement_in_closed_form():
    requested = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])[:, None] * np.ones((1, 3))
    achieved = np.stack([0.8 * requested, 0.2 * requested, np.zeros_like(requested)], 2) + np.array([10.0, 20.0, 30.0])
    still = np.broadcast_to(np.array([10.0, 20.6, 30.0]), (3, 3))
    result = movement(requested, achieved, moved=0, still=still)
    assert result.gain == pytest.approx(0.8)
    assert result.unintended == pytest.approx(0.25)
    assert result.unintended_total == pytest.approx(0.2 * 1.5)
    assert result.floor == pytest.approx(0.6 / (0.8 * 1.5))


def toy(**fields):
    rng = np.random.default_rng(0)
    lengths = rng.integers(15, 31, 60)
    rates = np.exp(rng.normal(0, 0.3, (60, 30, 5)))
    hand = np.sqrt(rates) @ rng.normal(size=(5, 2)) + 3
    parts = dict(lengths=lengths, rates=rates, behavior={"hand": hand}, units={"hand": "m"})
    return Trials(rng.poisson(rates), 0.02, **{**parts, **fields})


def test_a_readout_finds_a_linear_map_and_ends_are_the_last_valid_bins():
    trials = toy()
    readout = Readout.fit(trials, "hand", smoothing=None)
    read = readout.decode(trials)
    np.testing.assert_allclose(read[trials.mask], trials.behavior["hand"][trials.mask], atol=1e-2)  # a small penalty
    result = ends(np.asarray(trials.behavior["hand"]), trials.lengths)
    np.testing.assert_allclose(result[7, :2], trials.behavior["hand"][7, trials.lengths[7] - 1])
    np.testing.assert_allclose(result[7, 2:], trials.behavior["hand"][7, :5].mean(0))
    assert Readout.fit(trials, "hand").decode(trials).shape == (60, 30, 2)  # from spikes, too


def test_a_readout_of_spikes_takes_rates_for_expected_spikes():
    trials = toy()
    readout = Readout.fit(trials, "hand")
    full = toy(rates=np.asarray(trials.counts, float))  # rates that are spikes
    np.testing.assert_allclose(readout.decode(full, expected=True), readout.decode(trials), atol=1e-6)
    assert np.abs(readout.decode(trials, expected=True) - readout.decode(trials)).max() > 0.1
    with pytest.raises(DataError, match="have no rates"):
        readout.decode(toy(rates=None), expected=True)


def test_variables_by_name():
    trials = toy(
        conditions={"speed": np.arange(60), "to": np.arange(120).reshape(60, 2), "turn_deg": np.full(60, 60.0)}
    )
    np.testing.assert_array_equal(variable(trials, "speed"), np.arange(60))
    np.testing.assert_array_equal(variable(trials, "to.1"), np.arange(1, 120, 2))
    np.testing.assert_allclose(variable(trials, "turn_deg.cos"), 0.5)
    np.testing.assert_allclose(
        variable(trials, "hand.0"), trials.behavior["hand"][np.arange(60), trials.lengths - 1, 0]
    )
    for name in ("sped", "hand.2", "hand", "speed.cos", "to"):
        with pytest.raises(ConditionError, match="finite number"):
            variable(trials, name)


def test_directions_refuse_what_cannot_be_distinguished():
    codes, values, _ = linear_world(100)
    with pytest.raises(DataError, match="is determined by the others"):
        Directions.fit(codes, np.stack([values[:, 0], 2 * values[:, 0]], 1), NAMES)
    with pytest.raises(DataError, match="First encode them"):
        Directions.of(toy(conditions={"speed": np.arange(60)}), ["speed"])


def test_shrinkage_shortens_no_step():
    """With few trials of many noisy codes the shrunk decoder predicts a gain above 1, which no true code has."""
    codes, values, _ = linear_world(trials=40, codes=60, noise=1.0)
    directions = Directions.fit(codes, values, NAMES)
    assert np.linalg.eigvals(directions.decode.T @ directions.linear).real.max() > 1.02
    changes = np.array([[1e-6, 0.0]])  # so small that the curve does not bend
    moved = (directions.move(codes[:1], changes) - codes[:1])[0]
    along = float(moved @ directions.linear[:, 0]) / float(np.square(directions.linear[:, 0]).sum()) / 1e-6
    assert along > 0.95
