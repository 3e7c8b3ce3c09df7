"""The links in NumPy, with which counts are drawn, are those in PyTorch, with which models are trained."""

import numpy as np
import pytest
import torch

from spikeloom.observation.links import array, drive_of, rates_of
from spikeloom.observation.poisson import Poisson


@pytest.mark.parametrize("link", ["softplus", "exp"])
def test_both_forms_of_a_link_are_the_same_function(link):
    counts = Poisson(link)
    drive = torch.linspace(-60, 60, 481).double()  # beyond both bounds
    np.testing.assert_allclose(rates_of(array(drive), link), array(counts.rates(drive)), rtol=1e-9)
    rates = torch.cat((torch.zeros(1), torch.logspace(-9, 1.5, 60))).double()
    np.testing.assert_allclose(drive_of(array(rates), link), array(counts.drive(rates)), rtol=1e-9, atol=1e-9)
