"""The jobs of a worker, the process that holds one model.

Each function takes the checked body of a request and returns the JSON object of the answer. `Session.run` chooses the
function by the name of the job.
"""

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
"""Number of neurons whose rates a traversal returns: those whose rates change most."""


def draw(loaded: LoadedModel, body: bodies.Draw) -> Json:
    """Return generated trials for a drawn hand path, with the path decoded from each trial and its R^2."""
    sampled = samples.drawn(loaded, body)
    trials = sampled.trials
    stroke = sampled.stroke
    moves = loaded.movements
    assert stroke is not None  # otherwise `samples.drawn` has raised an error
    assert moves is not None
    draws = [{**entry, "decoded": None, "r2": None} for entry in rasters(trials, seed=body.seed)]
    r2_real = None
    if loaded.decoder is not None:
        r2_real = loaded.decoder.r2_real
        drawn = np.broadcast_to(stroke.series(moves.kind), (len(trials), *stroke.path.shape))
        paths = moves.path_of(loaded.decoder.decode(trials), stroke.start, trials.bin_width)
        for entry, path, score in zip(draws, paths, loaded.decoder.scores(trials, drawn), strict=True):
            entry |= {"decoded": numbers(path, 6), "r2": number(score)}
    return {
        "bin_width": trials.bin_width,
        "bins": trials.n_bins,
        "path": numbers(stroke.path, 6),
        "draws": draws,
        "r2_real": number(r2_real),
        "warnings": list(sampled.warnings),
    }


def turn(loaded: LoadedModel, body: bodies.Turn) -> Json:
    """Return generated trials of one condition, and PSTH and Fano factors of generated and recorded trials."""
    sampled = samples.turned(loaded, body)
    # recorded trials are chosen by the first of the requested conditions
    column = next(column for column in loaded.columns if column.condition.name in body.condition)
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
    """Return a trial that is generated from a moved code, and the rates of the neurons that change most.

    The moved code is compared with a reference code, from which a second trial is generated with the same seed. The
    reference is the code before the move. If the request resets the code to the code of a training trial, nothing is
    moved, and the reference is the mean code of the training trials.

    In the answer, `hz` holds the rates of the moved code. `start_hz` holds the rates of the code of the training trial,
    or None if the mean code was moved.
    """
    variables = samples.code_variables(loaded)
    sampled = samples.traversed(loaded, body)
    trials = sampled.trials
    code = sampled.code
    assert code is not None
    reset = body.reset_to_trial is not None
    reference_code = variables.moved({}, None if reset else body.trial)[None].astype(np.float32)
    reference = loaded.model.sample(n_bins=trials.n_bins, codes=reference_code, seed=body.seed, progress=False)
    rates = _rates_hz(trials)
    reference_rates = _rates_hz(reference)
    rates_of_start = rates if reset else reference_rates
    change = np.abs(rates - reference_rates).mean(0)
    importance = change if change.max() > 0 else rates.var(0)  # nothing was moved: neurons with the largest variance
    neurons = np.argsort(-importance, kind="stable")[:MOST_CHANGED]
    starts_at_trial = reset or body.trial is not None
    # values that the user chose, or that were recorded, are more exact than values predicted from the code
    predicted = variables.values_of(code)
    exact = body.values if body.reset_to_trial is None else variables.recorded_values(body.reset_to_trial)
    return {
        "values": {**predicted, **exact},
        "rates": {
            "neurons": neurons.tolist(),
            "hz": numbers(rates[:, neurons].T, 3),
            "start_hz": numbers(rates_of_start[:, neurons].T, 3) if starts_at_trial else None,
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
    """Return the firing rates of the first trial (bin, neuron) in spikes/s, or its counts if there are no rates."""
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
                repeated = bodies.Repeated.model_validate(fields)
                return encoded(plain(lines_of(loaded, repeated.body, repeated.format)))
            case "download":
                repeated = bodies.Repeated.model_validate(fields)
                return file_of(loaded, repeated.body, repeated.format)
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
