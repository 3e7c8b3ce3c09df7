"""Live trials: their spikes are generated bin by bin, while the user moves the hand."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeloom.errors import SettingError
from spikeloom.models.common.live import Live
from spikeloom.studio.bodies import LiveBegin, LiveDecode, LiveSteps
from spikeloom.studio.facts import LoadedModel
from spikeloom.studio.results import Json, number, numbers
from spikeloom.trials import Trials

MOST_TRIALS = 4
"""Largest number of trials of a model that are live at the same time."""

MOST_BINS = 100_000
"""Largest number of bins of a live trial."""


MOST_DECODED = 3000
"""Number of bins from the start of a live trial that are kept. The path is decoded from them."""


@dataclass
class LiveTrial:
    """A live trial.

    Args:
        live: Generator of the next bin.
        drawn: The latest value of the drawn condition, or None before there is one.
        counts: Counts of the bins that are kept for decoding (neuron,).
        conditions: Value of the drawn condition in each of these bins.
    """

    live: Live
    drawn: ArrayLike | None
    counts: list[NDArray[np.int64]] = field(default_factory=list)
    conditions: list[ArrayLike | None] = field(default_factory=list)


class LiveTrials:
    """The live trials of a model.

    Args:
        loaded: The model.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        self._trials: dict[str, LiveTrial] = {}
        self.series = loaded.drawn.name if loaded.drawn else ""

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
        condition = {name: first.get(name) for name in [*names, *first]}  # the model refuses unknown names in `first`
        live = self.loaded.model.live(body.seed, condition=condition)
        self._trials[body.session] = LiveTrial(live, first.get(self.series))
        return {"bins": 0}

    def step(self, body: LiveSteps) -> Json:
        """Generate the next bins, and return the numbers of the neurons that spike in each bin.

        A neuron with two spikes in a bin occurs twice.

        Raises:
            ConditionError: if a value is wrong. The bins before the wrong one have been generated.
            SettingError: if there is no such trial, or it is too long.
        """
        trial = self._trials.get(body.session)
        if trial is None or trial.live.bins + len(body.conditions) > MOST_BINS:
            raise SettingError(f"A live trial ends after {MOST_BINS} bins.", "", "Begin a new one.")
        first = trial.live.bins
        counts_of_bins = []
        for condition in body.conditions:
            counts = np.asarray(trial.live.step(condition or None), np.int64)
            counts_of_bins.append(counts)
            trial.drawn = condition.get(self.series, trial.drawn)
            if len(trial.counts) < MOST_DECODED:
                trial.counts.append(counts)
                trial.conditions.append(trial.drawn)
        neurons = np.arange(self.loaded.model.n_neurons)
        return {"bin": first, "spikes": [np.repeat(neurons, counts).tolist() for counts in counts_of_bins]}

    def decode(self, body: LiveDecode) -> Json:
        """Return the path decoded from the spikes of the bins so far, and its R^2 against the drawn condition.

        Path and R^2 are None if there is no decoder, or no bin yet. The R^2 is also None if the drawn condition does
        not vary, or is missing in a bin.
        """
        trial = self._trials.get(body.session)
        decoder = self.loaded.decoder
        moves = self.loaded.movements
        if trial is None or not trial.counts or decoder is None or moves is None:
            return {"decoded": None, "r2": None}
        trials = Trials(np.stack(trial.counts)[None], self.loaded.model.facts.bin_width)
        path = moves.path_of(decoder.decode(trials)[0], np.array(body.start), trials.bin_width)
        complete = all(value is not None for value in trial.conditions)
        score = decoder.scores(trials, np.array([trial.conditions], np.float64))[0] if complete else None
        return {"decoded": numbers(path, 6), "r2": number(score)}

    def end(self, session: str) -> Json:
        """Forget a live trial, and return its number of bins."""
        trial = self._trials.pop(session, None)
        return {"bins": 0 if trial is None else trial.live.bins}
