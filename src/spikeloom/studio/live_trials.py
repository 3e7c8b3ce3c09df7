"""Live trials of a worker: their spikes are generated bin by bin, while the hand moves."""

import numpy as np

from spikeloom.errors import SettingError
from spikeloom.models.common.live import Live
from spikeloom.studio.bodies import LiveBegin, LiveSteps
from spikeloom.studio.facts import LoadedModel
from spikeloom.studio.results import Json

MOST_TRIALS = 4
"""Largest number of live trials of a model at once."""

MOST_BINS = 100_000
"""Largest number of bins of a live trial."""


class LiveTrials:
    """The live trials of a model.

    Args:
        loaded: The model.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        self._trials: dict[str, Live] = {}

    def begin(self, body: LiveBegin) -> Json:
        """Begin a live trial.

        Raises:
            SettingError: if the model is not causal, or too many trials are live.
            ConditionError: if the condition is not one of the model's.
        """
        if len(self._trials) >= MOST_TRIALS:
            raise SettingError(
                f"At most {MOST_TRIALS} trials of a model can be live at once.", "", "Close another page of the studio."
            )
        names = self.loaded.model.facts.conditions.names
        first = body.condition or {}
        condition = {name: first.get(name) for name in [*names, *first]}
        self._trials[body.session] = self.loaded.model.live(body.seed, condition=condition)
        return {"bins": 0}

    def step(self, body: LiveSteps) -> Json:
        """Generate the next bins and return the neurons with a spike in each; a neuron with two spikes occurs twice.

        Raises:
            ConditionError: if a value is wrong. The bins before it are generated.
            SettingError: if there is no such trial, or it is too long.
        """
        live = self._trials.get(body.session)
        if live is None or live.bins + len(body.conditions) > MOST_BINS:
            raise SettingError(f"A live trial ends after {MOST_BINS} bins.", "", "Begin a new one.")
        first = live.bins
        counts = [live.step(condition or None) for condition in body.conditions]
        neurons = np.arange(self.loaded.model.n_neurons)
        return {"bin": first, "spikes": [np.repeat(neurons, np.asarray(one, np.int64)).tolist() for one in counts]}

    def end(self, session: str) -> Json:
        """Forget a live trial."""
        live = self._trials.pop(session, None)
        return {"bins": 0 if live is None else live.bins}
