"""Contents of codes: found without names, against codes whose contents are known; stability over rotations."""

import numpy as np
import pytest
from scipy.stats import special_ortho_group

from spikeloom.errors import DataError
from spikeloom.metrics.contents import candidates, canonical_correlations, contents
from spikeloom.trials import Trials

TIME = 12


def world(trials, seed, *, noise=0.3, codes=6):
    """Codes hold x, y and the side, and nothing else; "hand" ends at (x, y) and starts at a place codes ignore."""
    rng = np.random.default_rng(seed)
    x, y, other = rng.normal(size=(3, trials))
    side = rng.choice(["left", "right"], trials)
    begin = rng.normal(size=(trials, 1, 2))
    ramp = np.linspace(0, 1, TIME)[:, None].clip(0.5) * 2 - 1  # flat at the begin, so that its mean is the begin
    hand = begin + ramp * (np.stack([x, y], 1)[:, None] - begin)
    table = np.random.default_rng(7).normal(size=(3, codes))
    values = np.stack([x, y, side == "left"], 1) @ table + noise * rng.standard_normal((trials, codes))
    return Trials(
        rng.poisson(0.5, (trials, TIME, 3)),
        0.02,
        codes=values,
        conditions={"x": x, "other": other, "side": side, "block": np.zeros(trials), "lost": np.full(trials, np.nan)},
        behavior={"hand": hand, "heading": rng.uniform(0, 360, (trials, TIME, 1))},
        units={"hand": "m", "heading": "deg"},
    )


def test_every_variable_that_varies_is_a_candidate():
    names = candidates(world(40, 0))
    dims = [f"hand.{k}{part}" for k in (0, 1) for part in ("", ".start", ".mean")]
    assert names == ["x", "other", "side", *dims]  # neither constants, NaN, nor series of angles


def test_what_codes_hold_is_found_and_nothing_else():
    all_contents = contents(world(400, 0), world(300, 1))
    by_name = {one.name: one for one in all_contents.each}
    held = {one.name for one in all_contents.held}
    assert held - {"hand.0.mean", "hand.1.mean"} == {"x", "side", "hand.0", "hand.1"}  # means hold a little of the end
    assert by_name["x"].r2 > 0.8
    assert by_name["other"].r2 < 0.05
    assert by_name["hand.0.start"].r2 < 0.05
    assert [one.r2 for one in all_contents.each] == sorted((one.r2 for one in all_contents.each), reverse=True)


def test_r2_and_snr_are_those_of_the_noise():
    """With codes that are the variable plus noise of known variance, a linear map explains 1 / (1 + noise)."""
    rng = np.random.default_rng(3)
    parts = []
    for _ in range(2):
        x = rng.normal(size=20_000)
        codes = (x + np.sqrt(0.5) * rng.normal(size=20_000))[:, None]
        parts.append(Trials(np.ones((20_000, 1, 1), int), 0.02, codes=codes, conditions={"x": x}))
    (only,) = contents(*parts).each
    assert abs(only.r2 - 1 / 1.5) < 0.02  # sampling error of a variance: sqrt(2 / 20,000) = 0.01
    assert abs(only.snr - 2.0) < 0.1
    assert only.chance < 0.01


def test_angles_show_which_variables_are_apart():
    names, angles = contents(world(2000, 0), world(300, 1)).angles()
    at = {name: k for k, name in enumerate(names)}
    table = np.random.default_rng(7).normal(size=(3, 6))
    cosine = abs(table[0] @ table[1]) / np.linalg.norm(table[0]) / np.linalg.norm(table[1])
    assert abs(angles[at["x"], at["hand.1"]] - np.rad2deg(np.arccos(cosine))) < 5
    assert angles[at["x"], at["hand.0"]] < 1  # the same quantity under two names
    assert "side" not in at


def test_each_variable_is_drawn_where_it_is_seen():
    all_contents = contents(world(400, 0), world(300, 1))
    for content in all_contents.held:
        x = all_contents.coordinates[:, 2 * all_contents.plane(content) : 2 * all_contents.plane(content) + 2]
        assert np.linalg.matrix_rank(x) == 2
    np.testing.assert_allclose(all_contents.coordinates.mean(0), 0, atol=1e-9)


def test_canonical_correlations_ignore_axes_and_find_what_is_shared():
    rng = np.random.default_rng(0)
    turn = special_ortho_group.rvs(5, random_state=1)
    shared, first, second = rng.normal(size=(3, 4000, 5))
    same = (shared[:2000], shared[2000:])
    turned = tuple(part @ turn * 3 + 1 for part in same)
    np.testing.assert_allclose(canonical_correlations((same[0], turned[0]), (same[1], turned[1])), 1, atol=0.01)
    first[:, :2] = second[:, :2] = shared[:, :2]
    values = canonical_correlations((first[:2000], second[:2000]), (first[2000:], second[2000:]))
    np.testing.assert_allclose(values[:2], 1, atol=0.01)
    assert np.abs(values[2:]).max() < 0.1  # sampling error 1 / sqrt(2,000) = 0.02, and no optimism of the fit


def test_directions_without_variance_have_no_canonical_correlation():
    """Linear codes of fewer components than codes: only as many pairs as components, and all of them shared."""
    rng = np.random.default_rng(0)
    shared, first, second = rng.normal(size=(2000, 3)), rng.normal(size=(3, 8)), rng.normal(size=(3, 8))
    a, b = shared @ first, shared @ second
    np.testing.assert_allclose(
        canonical_correlations((a[:1000], b[:1000]), (a[1000:], b[1000:])), np.ones(3), atol=0.02
    )


def test_trials_without_codes_or_variables_are_refused():
    plain = Trials(np.ones((40, 3, 2), int), 0.02)
    with pytest.raises(DataError, match="trials with codes"):
        contents(plain, plain)
    coded = Trials(np.ones((40, 3, 2), int), 0.02, codes=np.random.default_rng(0).normal(size=(40, 2)))
    with pytest.raises(DataError, match="0 variables"):
        contents(coded, coded)
