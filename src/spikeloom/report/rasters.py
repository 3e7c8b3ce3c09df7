"""Content of the report's rasters: spikes of single trials, on both sides with the same neurons in the same order.

`figures.py` and `svg.py` draw the figures.
"""

import numpy as np
from numpy.typing import NDArray

from spikeloom.report.chart import Chart, Figure, Role, Series, Size
from spikeloom.report.views import by_rate, common_time, groups, name_of, neuron_word, sides_of
from spikeloom.trials import Trials

RASTERS = 12
"""Number of trials shown of each side."""

MOST_SPIKES = 2500
"""Largest number of spikes in one raster. If trials have more, fewer neurons are drawn. This keeps the page small."""

MOST_ROWS = 200
"""Largest number of neurons in one raster."""


def in_raster(trials: Trials, time: int, *others: Trials) -> NDArray[np.intp]:
    """Choose the neurons that rasters show: the largest number with which no trial has too many spikes.

    Args:
        trials: Trials, by whose mean rates neurons are ordered.
        time: Number of bins of the rasters.
        others: Further trials that are shown with the same neurons.

    Returns:
        Numbers of the neurons, ordered by mean rate, lowest first. If not all are shown, they are evenly spaced in this
        order.
    """
    order = by_rate(trials)
    # number of marks, one for each bin with spikes (trial, neuron)
    n_marks = np.concatenate([np.count_nonzero(shown.counts[:, :time], axis=1) for shown in (trials, *others)])
    for n_rows in range(min(len(order), MOST_ROWS), 0, -1):  # fewer and fewer neurons, until the spikes are few enough
        chosen = order[np.linspace(0, len(order) - 1, n_rows).astype(int)]
        if n_marks[:, chosen].sum(1).max() <= MOST_SPIKES:
            break
    return chosen


def one_raster(
    trials: Trials, *, trial: int, order: NDArray[np.intp], role: Role = "real", title: str = "",
    time: int | None = None, size: Size = "bare",
) -> Chart:  # fmt: skip
    """Return the raster of one trial.

    Args:
        trials: Trials.
        trial: Number of the trial.
        order: Neurons of the rows, from the lowest row up; see `in_raster`.
        role: Side of the trials.
        title: Title; "trial" and its number if it is empty.
        time: Number of bins of the time axis. `None` takes the length of the trial.
        size: Amount of labels.
    """
    last = int(trials.lengths[trial] if time is None else min(time, trials.lengths[trial]))
    counts = trials.counts[trial, :last][:, order]
    bins, rows = np.nonzero(counts)
    # `order` holds so few neurons that this cuts nothing, unless a single neuron has more spikes.
    bins = bins[:MOST_SPIKES]
    rows = rows[:MOST_SPIKES]
    span = (last if time is None else time) * trials.bin_width
    return Chart(
        title or f"trial {trial}",
        (Series("ticks", role, (bins + 0.5) * trials.bin_width, rows),),
        x_label="time (s)",
        y_label="neuron",
        limits=(0.0, span, -0.7, len(order) - 0.3),
        rows=[neuron_word(trials, neuron) for neuron in order.tolist()],
        wide=1.1,
        size=size,
    )


def rasters(real: Trials, fake: Trials, *, condition: str | None = None) -> Figure:
    """Return rasters of twelve trials of each side, in the same order of conditions if both sides have them."""
    shared = [value for value in groups(real, condition) if value in groups(fake, condition)]
    has_conditions = bool(shared) and shared != [""]
    time = max(common_time(real, fake), 1)
    order = in_raster(real, time, fake)
    charts = []
    for trials, role in sides_of(real, fake):
        rows: list[int] = []
        titles: list[str] = []
        if has_conditions:
            members = groups(trials, condition)
            for number in range(RASTERS):  # one trial of each condition, then a second one of each, ...
                n_rounds, position = divmod(number, len(shared))
                of_condition = members[shared[position]]
                rows.append(int(of_condition[n_rounds % len(of_condition)]))
                titles.append(name_of(condition, shared[position]))
        else:
            rows = np.unique(np.linspace(0, len(trials) - 1, RASTERS).astype(int)).tolist()
            titles = [f"trial {row}" for row in rows]
        charts += [
            one_raster(trials, trial=row, order=order, role=role, title=title, time=time)
            for row, title in zip(rows, titles, strict=True)
        ]
    caption = (
        f"Each box is one trial of {time * real.bin_width:g} s, and each row is one of {len(order)} neurons. On both "
        "sides, neurons are sorted by recorded mean rate, highest on top. Silent or bursting trials on one side only "
        "are faults."
    )
    return Figure("rasters", "Spikes of single trials", caption, tuple(charts), columns=6)


def closest(fake: Trials, train: Trials, pairs: NDArray[np.int64], *, most: int = 6) -> Figure:
    """Return rasters of generated trials beside their nearest training trials.

    Args:
        fake: Generated trials.
        train: Training trials.
        pairs: Numbers of the generated and of the training trial (pair, 2), the nearest pairs first.
        most: Largest number of pairs that are shown.
    """
    order = in_raster(train, max(train.n_bins, fake.n_bins), fake)
    charts = []
    for generated, training in pairs[:most].tolist():
        time = int(max(fake.lengths[generated], train.lengths[training]))
        title = f"generated {generated}"
        charts.append(one_raster(fake, trial=generated, order=order, role="fake", title=title, time=time))
        charts.append(one_raster(train, trial=training, order=order, title=f"training {training}", time=time))
    caption = (
        "Each generated trial beside its nearest training trial, the most similar pairs first. Copies have the same "
        "spikes at the same times. New trials of the same condition share their bursts, but not single spikes."
    )
    legend: tuple[tuple[Role, str], ...] = (("fake", "generated"), ("real", "training"))
    return Figure("closest", "Closest pairs", caption, tuple(charts), columns=6, tab="Memorisation", legend=legend)
