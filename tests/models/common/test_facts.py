"""Facts about training trials, and the checks before a fit."""

import warnings

import numpy as np
import pytest

from spikeloom.models.common.facts import FewTrialsWarning, check_fit
from spikeloom.seeds import Purpose, generator
from spikeloom.trials import Trials


def of(n_trials: int, n_bins: int, n_neurons: int) -> Trials:
    """Return Poisson trials with bins of 10 ms."""
    counts = generator(0, Purpose.SIMULATE).poisson(0.5, (n_trials, n_bins, n_neurons))
    return Trials(counts, 0.01)


def test_warns_if_trials_are_few_for_their_neurons():
    # 20 trials of 40 bins are 8 s; 40 neurons need 2 windows of 0.1 s each, 8 s.
    with pytest.warns(FewTrialsWarning, match=r"20 training trials of 8 s together are little for 41 neurons"):
        check_fit(of(20, 40, 41), None)


def test_does_not_warn_if_trials_suffice():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_fit(of(20, 40, 40), None) is None


def test_bins_outside_trials_do_not_count():
    trials = Trials(of(20, 40, 40).counts, 0.01, lengths=np.full(20, 20))
    with pytest.warns(FewTrialsWarning, match="of 4 s together"):
        check_fit(trials, None)
