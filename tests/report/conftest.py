"""One whole report, shared by the tests of the report."""

import pytest
from report_toys import NASTY, toy

from spikeloom.report.evaluate import evaluate
from spikeloom.report.report import Report


@pytest.fixture(scope="session")
def report() -> Report:
    """A whole report of three sets of fakes, with a condition and a source that try to inject a script."""
    real, train = toy(1, condition=NASTY), toy(2, condition=NASTY, trials=80)
    fakes = [toy(seed, condition=NASTY) for seed in (3, 4, 5)]
    return evaluate(real, fakes, reference=train, splits=3, facts={NASTY: NASTY})
