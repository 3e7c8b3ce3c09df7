"""`RecordedHalves`: the recorded side of an evaluation, prepared once and used for every set of generated trials.

The recorded trials are split into disjoint halves A and B, several times: at random, or, where they are windows of a
continuous recording, in blocks of time (see `splits.time_blocks`). In each split

- the **noise floor** compares B with A: what a perfect generator reaches,
- the **generated trials** are compared with the same A, with as many trials as B and the same number of each condition,
- the **baselines** are compared with A too. Their rates come from the training trials, or from B without any.

So all numbers of a row differ in nothing but what is compared, and the spread over splits is the spread of the row.
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
"""Recorded trials below which nothing can be split."""

WORKERS = 2
"""Comparisons at the same time; NumPy lets threads share the work, and each holds a few hundred megabytes."""

MEMORY_SPLITS = 3
"""Splits in which copies of training trials are looked for; all generated trials are searched once besides."""

FEW_TRIALS = 16
"""Trials below which windows are divided by time and not by trial."""

SLOW_SPLITS = 2
"""Splits in which classifiers and distances judge the baselines, which they tell apart with ease."""


@dataclass(frozen=True, eq=False)
class Split:
    """One split of the recorded trials.

    Args:
        number: Which one; also the key of its random draws.
        base: The half everything is compared with.
        other: The other half, with as many trials of each condition as the base.
        trivial: Trials of the baselines, by name, made like the base.
    """

    number: int
    base: Trials
    other: Trials
    trivial: Mapping[str, Trials]


@dataclass(frozen=True, eq=False)
class RecordedHalves:
    """The recorded side, split, with its noise floor and its baselines measured.

    Args:
        real: Held-out recorded trials.
        reference: Training trials, if there are any.
        condition: Name of the condition that labels trials; None without one.
        seed: Random seed.
        splits: The splits of the recorded trials.
        floor: Results of real half against real half, one per split.
        trivial: Results of each baseline, name -> one for each of the first splits.
        metrics: What is measured.
        progress: Whether a bar is shown.
        by_time: True if the splits are blocks of time of continuous recordings, early against late first.
        conditioned_on: What the generated trials were conditioned on; None if it is not known.
        random_floor: Where the splits are blocks of time, the results of random halves, to compare with.
    """

    real: Trials
    reference: Trials | None
    condition: str | None
    seed: int
    splits: Sequence[Split]
    floor: Sequence[Results]
    trivial: Mapping[str, Sequence[Results]]
    metrics: Sequence[Metric]
    progress: bool | None
    by_time: bool = False
    random_floor: Sequence[Results] = ()
    conditioned_on: Sequence[str] | None = None

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
        conditioned_on: Sequence[str] | None = None,
    ) -> "RecordedHalves":
        """Split the recorded trials and measure noise floor and baselines.

        Args:
            real: Held-out recorded trials.
            fakes: All sets of generated trials that will be judged; halves are cut down until each set has as many
                trials, and as many of each condition, as a half.
            reference: Training trials, if there are any.
            condition: Name of the condition that labels trials; found as in `Pair` if absent.
            every: Cut the recorded trials into windows of this length, in seconds; `None` leaves them whole. Fakes and
                reference must be cut already.
            splits: Number of splits, at most 3 for blocks of time.
            seed: Random seed.
            metrics: What is measured; the whole panel if absent.
            progress: True or False to show a progress bar or not; on a terminal only if absent.
            conditioned_on: What the generated trials were conditioned on: only that is read back. `None` reads back
                what they carry.

        Raises:
            DataError: if there are too few trials to split, or `splits` is below one.
        """
        trials, real = real, real if every is None else real.cut(every)
        if splits < 1 or len(real) < FEWEST:
            raise DataError(
                f"An evaluation needs at least {FEWEST} recorded trials and one split.",
                f"There are {len(real)} trials and {splits} splits.",
                "Give more held-out trials, or cut those of a continuous recording into windows with --every.",
            )
        condition = Pair(real, real, reference=reference, condition=condition).label_name
        by_time = continuous(real) or (every is not None and len(trials) < FEW_TRIALS)
        size = min([len(fake) for fake in fakes], default=len(real))
        at_random = list(halves(real, size=size, condition=condition, splits=splits, seed=seed))
        pairs = at_random
        if by_time:
            pairs = time_blocks(real, condition=condition, splits=splits)
        elif every is not None:  # windows of one trial stay on one side
            whole = halves(trials, condition=condition, splits=splits, seed=seed)
            pairs = [(first.cut(every), second.cut(every)) for first, second in whole]
        made = []
        for k, (base, other) in enumerate(pairs):
            base, other = _cut(base, other, fakes, condition, seed + k)
            made.append(_split(k, base, other, reference, condition, seed))
        chosen = METRICS if metrics is None else metrics
        bare = cls(
            real, reference, condition, seed, made, (), {}, chosen, progress, by_time, conditioned_on=conditioned_on
        )
        floor = bare._measure([(split.base, split.other) for split in made], "real against real")
        random_floor = bare._measure(at_random, "random halves", quick=True) if by_time else ()
        trivial = {
            name: bare._measure([(split.base, split.trivial[name]) for split in made], name, quick=True)
            for name in (MEANS, CONSTANT)
        }
        return replace(bare, floor=floor, trivial=trivial, random_floor=random_floor)

    def judge(self, fake: Trials, *, word: str = "generated trials") -> list[Results]:
        """The panel for one set of generated trials, one result per split."""
        pairs = []
        for split in self.splits:
            pairs.append(matched(split.base, fake, condition=self.condition, seed=self.seed + split.number))
        return self._measure(pairs, word)

    def _metrics(self, split: int, *, quick: bool) -> list[Metric]:
        """What is measured in a split: everything in the first ones, less of what is slow in later ones."""
        left_out = set()
        if quick or split >= MEMORY_SPLITS:
            left_out.add("memorisation")  # baselines do not copy
        if quick and split >= SLOW_SPLITS:
            left_out.add("distance")
        return [metric for metric in self.metrics if metric.group not in left_out]

    def _measure(self, pairs: Sequence[tuple[Trials, Trials]], word: str, *, quick: bool = False) -> list[Results]:
        """One comparison per split, in the order of the splits."""
        workers, limit = threads()
        one = partial(
            measure,
            reference=self.reference,
            condition=self.condition,
            seed=self.seed,
            aligned=not self.by_time,
            conditioned_on=self.conditioned_on,
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


def threads() -> tuple[int, AbstractContextManager[object]]:
    """How many comparisons run at once, and a context in which each of them keeps to one thread.

    Our threads times those of the linear algebra library would be more than there are cores, and its threads wait by
    spinning: on a busy machine that was ten times slower. Without threadpoolctl (it comes with scikit-learn) the
    library is left its threads, and comparisons run one after the other.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return 1, nullcontext()
    return min(WORKERS, os.cpu_count() or 1), threadpool_limits(1)


def _cut(
    base: Trials, other: Trials, fakes: Sequence[Trials], condition: str | None, seed: int
) -> tuple[Trials, Trials]:
    """Both halves with as many trials of each condition as every set of generated trials can answer with."""
    for fake in fakes:
        base, _ = matched(base, fake, condition=condition, seed=seed)
    return matched(base, other, condition=condition, seed=seed)


def _split(
    number: int, base: Trials, other: Trials, reference: Trials | None, condition: str | None, seed: int
) -> Split:
    """A split with the trials of its baselines."""
    source = other if reference is None else reference
    named = condition if condition is not None and condition in source.conditions else None
    first, second = (int(word) for word in generator(seed, Purpose.EVALUATE, 2, number).integers(2**31, size=2))
    trivial = {
        MEANS: baselines.poisson_psth(source, base, condition=named, seed=first),
        CONSTANT: baselines.homogeneous_poisson(source, base, seed=second),
    }
    return Split(number, base, other, trivial)
