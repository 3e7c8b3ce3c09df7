"""Quick attempts, because only the search is tested."""

import pytest

from spikeloom.models import lfads


@pytest.fixture(autouse=True, scope="module")
def few_draws():
    """Rates as the mean of few draws from the posterior instead of 64."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lfads, "POSTERIOR_DRAWS", 2)
        yield
