"""Small trials with shared fluctuations, for the tests of the report."""

import numpy as np

from spikeloom.evaluation.evaluate import evaluate
from spikeloom.report.report import Report
from spikeloom.seeds import generator
from spikeloom.trials import Trials

NASTY = '<script>alert("x")</script> & "quotes"'


def toy(seed: int, *, trials: int = 64, time: int = 40, neurons: int = 10, condition: str = "direction") -> Trials:
    """Poisson spikes whose rates share one gain per trial and are tuned to four directions; 10 ms bins."""
    mine, fixed = generator(seed, 1), generator(0, 2)
    direction = np.arange(trials) % 4
    base = fixed.gamma(3.0, 0.08, neurons)
    tuning = fixed.normal(0, 0.5, (4, 1, neurons))
    course = 1 + 0.6 * np.sin(np.linspace(0, 3, time))[:, None]
    gain = np.exp(mine.normal(0, 0.5, (trials, 1, 1)))
    counts = mine.poisson(base * np.exp(tuning[direction]) * course * gain)
    return Trials(counts, 0.01, conditions={condition: direction * 90.0}, source=f"toy {seed}")


def whole_report() -> Report:
    """A whole report of three sets of fakes, with a condition and a source that try to inject a script."""
    real, train = toy(1, condition=NASTY), toy(2, condition=NASTY, trials=80)
    fakes = [toy(seed, condition=NASTY) for seed in (3, 4, 5)]
    return evaluate(real, fakes, reference=train, splits=3, facts={NASTY: NASTY})
