"""Arguments of a wrong type get a message of spikeloom.

The other tests check types with beartype, which would refuse these calls before spikeloom sees them. So these calls
run in a Python process without that check.
"""

import subprocess
import sys

import pytest

MODEL = """
import spikeloom as sl
trials = sl.simulate.reaching(40, n_neurons=6, seed=0)
plan = "autoencoder_plan.updates=1", "diffusion_plan.updates=1", "observation.history=none", "observation.noise=none"
"""


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("trials.rebin(2.5)", "It was 2.5"),
        ("sl.fit('ldns-tiny', trials, changes=plan, progress=False).sample(2.5)", "number of trials"),
        (
            "sl.fit('gnocchi-tiny', trials, changes=['plan.updates=1'], progress=False)"
            ".traverse(trials, 'target_x', span=0.2, points=3)",
            "span=0.2",
        ),
        (
            "sl.fit('ldns-tiny', trials, changes=[*plan, 'condition=[\"target_x\"]'], progress=False)"
            ".sample(2, condition=0.1)",
            "Write for example condition={'target_x': ...}",
        ),
    ],
)
def test_a_number_of_the_wrong_kind_is_refused_with_a_message(call, message):
    done = subprocess.run([sys.executable, "-c", MODEL + call], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("spikeloom.errors.")
    assert message in last
