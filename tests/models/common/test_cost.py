"""The cost of a model is computed and shown in the report."""

from dataclasses import replace

import pytest

from spikeloom.diffusion.sampler import DDIM, UniPC
from spikeloom.evaluation.evaluate import evaluate
from spikeloom.models.common.cost import cost
from tests.helpers.small_ldns import toy_model, toy_trials


@pytest.mark.parametrize(("sampler", "calls"), [(UniPC(5), 5), (DDIM(7), 7)])
def test_network_evaluations_are_counted_not_declared(sampler, calls):
    model = toy_model(sampler=sampler).fit(toy_trials())
    costs = cost(model, n_trials=2)
    assert costs["network evaluations per sample"] == str(calls)
    assert costs["parameters"] == f"{sum(value.numel() for value in model.parameters()):,}"
    assert "autoencoder" in costs["training"]
    assert "(4 updates)" in costs["training"]
    assert costs["sampling"].endswith("s per 1,000 trials of 24 bins")
    assert not any(module._forward_hooks for module in model.modules())  # nothing is left behind


def test_the_report_shows_what_the_model_costs():
    real, fake = toy_trials(40, seed=1), toy_trials(40, seed=2)
    report = evaluate(real, fake, splits=1, cost={"network evaluations per sample": "20 <b>"})
    assert report.to_dict()["cost"] == {"network evaluations per sample": "20 <b>"}
    page = report.to_html()
    assert "<h2>Cost</h2>" in page
    assert "20 &lt;b&gt;" in page
    assert "<h2>Cost</h2>" not in replace(report, cost={}).to_html()
