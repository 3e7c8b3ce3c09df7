"""Restructuring changes no number: weights, generated trials and metrics of small models against stored hashes."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests import fingerprints

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def made():
    """Fingerprints of this source tree, from a process of its own with one thread."""
    environment = {**os.environ, **fingerprints.ONE_THREAD, "MPLBACKEND": "Agg"}
    words = [sys.executable, "-m", "tests.fingerprints"]
    run = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def stored(made):
    """Fingerprints stored for this machine; skips where there are none."""
    expected = json.loads(fingerprints.STORED.read_text())
    if made["machine"] not in expected:
        pytest.skip(f"no fingerprints are stored for {made['machine']}; see tests/fingerprints.py")
    return expected[made["machine"]]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", fingerprints.RECIPES)
def test_numbers_are_bitwise_the_stored_ones(recipe, made, stored):
    if recipe not in stored:
        pytest.skip(f"no fingerprints of {recipe} are stored for {made['machine']}; see tests/fingerprints.py")
    now, before = made["made"][recipe], stored[recipe]
    lost = Counter(before["parameters"]) - Counter(now["tensors"])
    assert not lost, f"{lost.total()} of {len(before['parameters'])} trained tensors have other values"
    for kind in ("arrays", "metrics"):
        changed = [name for name, value in before[kind].items() if now[kind].get(name) != value]
        assert not changed, f"{kind} that changed: {', '.join(changed)}"


def test_a_changed_value_changes_the_digest_and_a_changed_shape_does_not():
    import numpy as np

    values = np.arange(6, dtype=np.float32) / 7
    assert fingerprints.digest(values) == fingerprints.digest(values.reshape(2, 3))
    moved = values.copy()
    moved[3] = np.nextafter(moved[3], np.float32(1))
    assert fingerprints.digest(values) != fingerprints.digest(moved)
