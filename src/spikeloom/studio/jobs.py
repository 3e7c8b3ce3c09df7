"""Jobs of a worker: each takes the checked body of a request and returns the JSON object of the answer."""

from functools import cached_property

import numpy as np

from spikeloom.errors import SettingError
from spikeloom.studio import bodies, samples
from spikeloom.studio.columns import fano_factors, psth
from spikeloom.studio.comparison import classifier, pair, quiz
from spikeloom.studio.downloads import file_of, lines_of, plain
from spikeloom.studio.facts import LoadedModel
from spikeloom.studio.live_trials import LiveTrials
from spikeloom.studio.movements import Movements
from spikeloom.studio.results import MOST_RASTERS, Json, encoded, number, numbers, raster, rasters
from spikeloom.trials import Trials

MOST_CHANGED = 12
"""Number of neurons whose rates change most, which a traversal returns."""


def draw(loaded: LoadedModel, body: bodies.Draw) -> Json:
    """Return spikes for a stroke, with the path decoded from each draw and its R^2."""
    sampled = samples.drawn(loaded, body)
    trials = sampled.trials
    stroke = sampled.stroke
    moves = loaded.movements
    assert stroke is not None
    assert moves is not None
    draws = [{**entry, "decoded": None, "r2": None} for entry in rasters(trials, seed=body.seed)]
    real = None
    if loaded.decoder is not None:
        real = loaded.decoder.r2_real
        wanted = np.broadcast_to(stroke.series(moves.kind), (len(trials), *stroke.path.shape))
        paths = moves.path_of(loaded.decoder.decode(trials), stroke.start, trials.bin_width)
        for entry, path, score in zip(draws, paths, loaded.decoder.scores(trials, wanted), strict=True):
            entry |= {"decoded": numbers(path, 6), "r2": number(score)}
    return {
        "bin_width": trials.bin_width,
        "bins": trials.n_bins,
        "path": numbers(stroke.path, 6),
        "draws": draws,
        "r2_real": number(real),
        "warnings": list(sampled.warnings),
    }


def turn(loaded: LoadedModel, body: bodies.Turn) -> Json:
    """Return trials of one condition, with PSTH and Fano factors beside those of recorded trials."""
    sampled = samples.turned(loaded, body)
    column = next(one for one in loaded.columns if one.condition.name in body.condition)
    level = column.nearest(body.condition[column.condition.name])
    recorded = loaded.trials.select(column.rows(level))
    return {
        "bin_width": sampled.trials.bin_width,
        "bins": sampled.trials.n_bins,
        "draws": rasters(sampled.trials, seed=body.seed, most=MOST_RASTERS),
        "psth": numbers(psth(sampled.trials), 2),
        "recorded_psth": numbers(psth(recorded), 2) if len(recorded) else None,
        "fano": {"generated": fano_factors(sampled.trials), "recorded": fano_factors(recorded)},
        "nearest_level": column.levels[level],
        "recorded_trials": len(recorded),
        "warnings": list(sampled.warnings),
    }


def traverse(loaded: LoadedModel, body: bodies.Traverse) -> Json:
    """Generate a trial from a moved code, and return it with the rates of the neurons that change most.

    If the code of a training trial is moved, the rates are compared with those of the code before the move. `start_hz`
    holds these, for the same seed and neurons. Other codes are compared with the mean code, and `start_hz` is None.
    """
    variables = samples.code_variables(loaded)
    sampled = samples.traversed(loaded, body)
    trials = sampled.trials
    code = sampled.code
    assert code is not None
    reset = body.reset_to_trial is not None
    base_code = variables.moved({}, None if reset else body.trial)[None].astype(np.float32)
    base = loaded.model.sample(n_bins=trials.n_bins, codes=base_code, seed=body.seed, progress=False)
    rates = _rates_hz(trials)
    before = _rates_hz(base)
    start = rates if reset else before
    change = np.abs(rates - before).mean(0)
    order = change if change.max() > 0 else rates.var(0)  # the neurons with the largest values are shown
    chosen = np.argsort(-order, kind="stable")[:MOST_CHANGED]
    has_start = reset or body.trial is not None
    recorded = None if body.reset_to_trial is None else variables.recorded_values(body.reset_to_trial)
    values = variables.values_of(code) if recorded is not None or not body.values else dict(body.values)
    return {
        "values": {**variables.values_of(code), **values, **(recorded or {})},
        "rates": {
            "neurons": chosen.tolist(),
            "hz": numbers(rates[:, chosen].T, 3),
            "start_hz": numbers(start[:, chosen].T, 3) if has_start else None,
        },
        "spikes": raster(trials, 0),
        "decoded": _decoded(loaded, trials, loaded.movements),
        "nearest_training_distance": number(variables.nearest(code)),
        "typical_training_distance": number(variables.typical),
        "bin_width": trials.bin_width,
        "bins": trials.n_bins,
        "warnings": list(sampled.warnings),
    }


def _rates_hz(trials: Trials) -> np.ndarray:
    """Return the rates of the first trial (bin, neuron), spikes/s; counts in place of rates that a model lacks."""
    values = trials.counts if trials.rates is None else trials.rates
    return np.asarray(values[0], np.float64) / trials.bin_width


def _decoded(loaded: LoadedModel, trials: Trials, moves: Movements | None) -> list[object] | None:
    """Return the path decoded from the first trial, if the training trials have movements."""
    if loaded.decoder is None or moves is None:
        return None
    path = moves.path_of(loaded.decoder.decode(trials)[0], np.zeros(2), trials.bin_width)
    return numbers(path, 6)


class Session:
    """A loaded model and the jobs that it can run.

    Args:
        loaded: The model.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        self.live = LiveTrials(loaded)

    def run(self, job: str, fields: dict[str, object]) -> bytes:
        """Run a job by name and return its result.

        Args:
            job: Name of the job.
            fields: Fields of its body.

        Raises:
            SettingError: if there is no such job.
        """
        loaded = self.loaded
        match job:
            case "draw":
                return encoded(draw(loaded, bodies.Draw.model_validate(fields)))
            case "turn":
                return encoded(turn(loaded, bodies.Turn.model_validate(fields)))
            case "traverse":
                return encoded(traverse(loaded, bodies.Traverse.model_validate(fields)))
            case "pair":
                return encoded(pair(loaded, bodies.Pair.model_validate(fields)))
            case "quiz":
                return encoded(quiz(loaded, bodies.Quiz.model_validate(fields)))
            case "classifier":
                return self.classifier
            case "lines":
                wanted = bodies.Repeated.model_validate(fields)
                return encoded(plain(lines_of(loaded, wanted.body, wanted.format)))
            case "download":
                chosen = bodies.Repeated.model_validate(fields)
                return file_of(loaded, chosen.body, chosen.format)
            case "live begin":
                return encoded(self.live.begin(bodies.LiveBegin.model_validate(fields)))
            case "live step":
                return encoded(self.live.step(bodies.LiveSteps.model_validate(fields)))
            case "live decode":
                return encoded(self.live.decode(bodies.LiveDecode.model_validate(fields)))
            case "live end":
                return encoded(self.live.end(str(fields["session"])))
            case _:
                raise SettingError("There is no such job.", f"It was {job!r}.", "")

    @cached_property
    def classifier(self) -> bytes:
        """Accuracy of a classifier of recorded against generated trials, as JSON."""
        return encoded(classifier(self.loaded))
