"""`RecordedHalves`: the recorded side of an evaluation, prepared once and used for every set of generated trials.

The recorded trials are split into disjoint halves A and B, several times: at random, or, if they are windows of a
continuous recording, in blocks of time (see `splits.time_blocks`). In each split

- the **noise floor** compares B with A; it is the value of a perfect generator,
- the **generated trials** are compared with the same A, with the same number of trials of each condition as B,
- the **baselines** are compared with A, too. Their rates are fitted to the training trials, or else to B.

All values of a row therefore differ only in the trials that are compared with A. The standard deviation over splits is
the spread of the row.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

from tqdm.auto import tqdm

from spikeloom.errors import DataError
from spikeloom.evaluation import baselines
from spikeloom.evaluation.splits import continuous, halves, matched, time_blocks
from spikeloom.metrics.panel import METRICS, Metric, Pair, Result, measure
from spikeloom.seeds import Purpose, generator
from spikeloom.trials import Trials

Results = Mapping[str, Result]

MEANS, CONSTANT = "Poisson, condition means", "Poisson, constant rates"
"""Names of the baselines: the smoothed mean of each condition, and one rate per neuron."""

FEWEST = 4
"""Smallest number of recorded trials that can be split."""

WORKERS = 2
"""Number of comparisons at the same time, in threads; each needs a few hundred megabytes."""

MEMORY_SPLITS = 3
"""Number of splits in which copies of training trials are searched; all generated trials are searched once more."""

FEW_TRIALS = 16
"""Smallest number of trials for a division by trial; windows of fewer trials are divided by time."""

SLOW_SPLITS = 2
"""Number of splits in which classifiers and distances are computed for the baselines."""


@dataclass(frozen=True, eq=False)
class Split:
    """One split of the recorded trials.

    Args:
        number: Index of the split, which is also the key of its random draws.
        base: Half with which everything is compared.
        other: The other half, with as many trials of each condition as the base.
        baselines: Trials of the baselines, by name, with lengths and conditions of the base.
    """

    number: int
    base: Trials
    other: Trials
    baselines: Mapping[str, Trials]


@dataclass(frozen=True, eq=False)
class RecordedHalves:
    """The splits of the recorded trials, with noise floor and baselines.

    Args:
        real: Held-out recorded trials.
        reference: Training trials; None without any.
        condition: Name of the condition that labels trials; None without one.
        seed: Random seed.
        splits: Splits of the recorded trials.
        floor: Results of real half against real half, one per split.
        baselines: Results of each baseline, name -> one for each of the first splits.
        metrics: Metrics.
        progress: Show a progress bar; None shows it only on a terminal.
        by_time: True if the splits are blocks of time of continuous recordings, early against late first.
        random_floor: Results of random halves, for comparison, if the splits are blocks of time.
    """

    real: Trials
    reference: Trials | None
    condition: str | None
    seed: int
    splits: Sequence[Split]
    floor: Sequence[Results]
    baselines: Mapping[str, Sequence[Results]]
    metrics: Sequence[Metric]
    progress: bool | None
    by_time: bool = False
    random_floor: Sequence[Results] = ()

    @classmethod
    def build(
        cls,
        real: Trials,
        *,
        fakes: Sequence[Trials],
        reference: Trials | None = None,
        condition: str | None = None,
        every: float | None = None,
        splits: int = 5,
        seed: int = 0,
        metrics: Sequence[Metric] | None = None,
        progress: bool | None = None,
    ) -> "RecordedHalves":
        """Split the recorded trials and compute noise floor and baselines.

        Args:
            real: Held-out recorded trials.
            fakes: All sets of generated trials that will be evaluated; halves are reduced so that each set has enough
                trials of each condition.
            reference: Training trials, if there are any.
            condition: Name of the condition that labels trials; `None` chooses one as `Pair` does.
            every: Cut the recorded trials into windows of this length, in seconds; `None` does not cut them. Fakes and
                reference must already be cut.
            splits: Number of splits, at most 3 for blocks of time.
            seed: Random seed.
            metrics: Metrics to compute; the panel if absent.
            progress: Show a progress bar; `None` shows it only on a terminal.

        Raises:
            DataError: if there are too few trials to split, or `splits` is below one.
        """
        real = replace(real, conditioned_on=conditions_of(fakes))  # halves and baselines stand in for generated trials
        trials, real = real, real if every is None else real.cut(every)
        if splits < 1 or len(real) < FEWEST:
            raise DataError(
                f"An evaluation needs at least {FEWEST} recorded trials and one split.",
                f"There are {len(real)} trials and {splits} splits.",
                "Use more held-out trials, or cut those of a continuous recording into windows with --every.",
            )
        condition = Pair(real, real, reference=reference, condition=condition).label_name
        by_time = continuous(real) or (every is not None and len(trials) < FEW_TRIALS)
        size = min([len(fake) for fake in fakes], default=len(real))
        at_random = list(halves(real, size=size, condition=condition, splits=splits, seed=seed))
        pairs = at_random
        if by_time:
            pairs = time_blocks(real, condition=condition, splits=splits)
        elif every is not None:  # windows of one trial stay on one side
            uncut = halves(trials, condition=condition, splits=splits, seed=seed)
            pairs = [(first.cut(every), second.cut(every)) for first, second in uncut]
        made = []
        for k, (base, other) in enumerate(pairs):
            base, other = _cut(base, other, fakes, condition, seed + k)
            made.append(_split(k, base, other, reference, condition, seed))
        chosen = METRICS if metrics is None else metrics
        bare = cls(real, reference, condition, seed, made, (), {}, chosen, progress, by_time)
        floor = bare._measure([(split.base, split.other) for split in made], "real against real")
        random_floor = bare._measure(at_random, "random halves", quick=True) if by_time else ()
        by_baseline = {
            name: bare._measure([(split.base, split.baselines[name]) for split in made], name, quick=True)
            for name in (MEANS, CONSTANT)
        }
        return replace(bare, floor=floor, baselines=by_baseline, random_floor=random_floor)

    def judge(self, fake: Trials, *, word: str = "generated trials") -> list[Results]:
        """Compute the panel for one set of generated trials, one result per split."""
        pairs = []
        for split in self.splits:
            pairs.append(matched(split.base, fake, condition=self.condition, seed=self.seed + split.number))
        return self._measure(pairs, word)

    def _metrics(self, split: int, *, quick: bool) -> list[Metric]:
        """Return the metrics of a split: all in the first splits, fewer of the slow ones in later splits."""
        left_out = set()
        if quick or split >= MEMORY_SPLITS:
            left_out.add("memorisation")  # baselines do not copy
        if quick and split >= SLOW_SPLITS:
            left_out.add("distance")
        return [metric for metric in self.metrics if metric.group not in left_out]

    def _measure(self, pairs: Sequence[tuple[Trials, Trials]], word: str, *, quick: bool = False) -> list[Results]:
        """Compute one comparison per split, in the order of the splits."""
        workers, limit = threads()
        one = partial(
            measure,
            reference=self.reference,
            condition=self.condition,
            seed=self.seed,
            aligned=not self.by_time,
        )
        with limit, ThreadPoolExecutor(workers) as pool:
            jobs = [
                pool.submit(one, base, fake, metrics=self._metrics(split, quick=quick))
                for split, (base, fake) in enumerate(pairs)
            ]
            hidden = None if self.progress is None else not self.progress
            try:
                return [job.result() for job in tqdm(jobs, desc=word, unit="comparison", disable=hidden, leave=False)]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def conditions_of(fakes: Sequence[Trials]) -> tuple[str, ...] | None:
    """Return all that any set of generated trials was conditioned on; None if that is nothing, or unknown for a set."""
    records = [fake.conditioned_on for fake in fakes]
    names = dict.fromkeys(name for record in records for name in record or ())
    return None if None in records or not names else tuple(names)


def threads() -> tuple[int, AbstractContextManager[object]]:
    """Return the number of concurrent comparisons, and a context that limits each of them to one thread.

    Without the limit, comparisons times threads of the linear algebra library would exceed the number of cores. Its
    threads wait by spinning, which was ten times slower on a busy machine. Without threadpoolctl (which scikit-learn
    installs) the library keeps its threads, and comparisons run one after the other.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return 1, nullcontext()
    return min(WORKERS, os.cpu_count() or 1), threadpool_limits(1)


def _cut(
    base: Trials, other: Trials, fakes: Sequence[Trials], condition: str | None, seed: int
) -> tuple[Trials, Trials]:
    """Reduce both halves so that every set of generated trials has enough trials of each condition."""
    for fake in fakes:
        base, _ = matched(base, fake, condition=condition, seed=seed)
    return matched(base, other, condition=condition, seed=seed)


def _split(
    number: int, base: Trials, other: Trials, reference: Trials | None, condition: str | None, seed: int
) -> Split:
    """Return a split with the trials of its baselines."""
    source = other if reference is None else reference
    named = condition if condition is not None and condition in source.conditions else None
    first, second = (int(word) for word in generator(seed, Purpose.EVALUATE, 2, number).integers(2**31, size=2))
    by_baseline = {
        MEANS: baselines.poisson_psth(source, base, condition=named, seed=first),
        CONSTANT: baselines.homogeneous_poisson(source, base, seed=second),
    }
    return Split(number, base, other, by_baseline)
