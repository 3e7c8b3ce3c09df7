"""One whole report, shared by the tests of this folder."""

import pytest

from spikeloom.report.report import Report
from tests.helpers.report_toys import whole_report


@pytest.fixture(scope="session")
def report() -> Report:
    """A whole report of three sets of fakes, with a condition and a source that try to inject a script."""
    return whole_report()
