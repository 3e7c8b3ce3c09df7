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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module

from tqdm.auto import tqdm

from spikeloom.errors import DataError
from spikeloom.evaluation import baselines
from spikeloom.evaluation.splits import continuous, halves, matched, time_blocks
from spikeloom.metrics.panel import METRICS, Metric, Pair, Result, measure_pair
from spikeloom.seeds import Purpose, generator
from spikeloom.trials import Trials

Results = Mapping[str, Result]

MEANS = "Poisson, condition means"
"""Name of the baseline whose rates are the smoothed mean counts of each condition."""

CONSTANT = "Poisson, constant rates"
"""Name of the baseline with one rate per neuron."""

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

SLOW_COST = 4
"""Time of a comparison with classifiers and distances as a multiple of one without: 0.65 and 0.17 s for 728 trials."""

BAR = "{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"
"""Form of the progress bar, in the language of tqdm: time so far, and time left."""


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
    """The splits of the recorded trials, with noise floor, baselines and generated trials.

    Args:
        recorded: All recorded trials compared with themselves. It holds condition, seed, training trials, and what all
            comparisons need of the training trials.
        splits: Splits of the recorded trials.
        metrics: Metrics.
        progress: Show a progress bar; None shows it only on a terminal.
        floor: Results of real half against real half, one per split.
        baselines: Results of each baseline, name -> one for each split.
        generated: Results of each set of generated trials, name -> one for each split.
        random_floor: Results of random halves, for comparison, if the splits are blocks of time.
    """

    recorded: Pair
    splits: Sequence[Split]
    metrics: Sequence[Metric]
    progress: bool | None
    floor: Sequence[Results] = ()
    baselines: Mapping[str, Sequence[Results]] = field(default_factory=dict)
    generated: Mapping[str, Sequence[Results]] = field(default_factory=dict)
    random_floor: Sequence[Results] = ()

    @property
    def real(self) -> Trials:
        """Held-out recorded trials."""
        return self.recorded.real_trials

    @property
    def condition(self) -> str | None:
        """Name of the condition that labels trials; None without one."""
        return self.recorded.condition

    @property
    def by_time(self) -> bool:
        """True if the splits are blocks of time of continuous recordings, early against late first."""
        return not self.recorded.aligned

    @classmethod
    def build(
        cls,
        real: Trials,
        *,
        fakes: Mapping[str, Trials],
        reference: Trials | None = None,
        condition: str | None = None,
        every: float | None = None,
        splits: int = 5,
        seed: int = 0,
        metrics: Sequence[Metric] | None = None,
        progress: bool | None = None,
    ) -> "RecordedHalves":
        """Split the recorded trials, and compute all metrics of noise floor, baselines and generated trials.

        Args:
            real: Held-out recorded trials.
            fakes: Sets of generated trials by name; halves are reduced so that each set has enough trials of each
                condition.
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
        sets = list(fakes.values())
        real = replace(real, conditioned_on=conditions_of(sets))  # halves and baselines stand in for generated trials
        trials = real
        real = real if every is None else real.cut(every)
        if splits < 1 or len(real) < FEWEST:
            raise DataError(
                f"An evaluation needs at least {FEWEST} recorded trials and one split.",
                f"There are {len(real)} trials and {splits} splits.",
                "Use more held-out trials, or cut those of a continuous recording into windows with --every.",
            )
        condition = Pair(real, real, reference=reference, condition=condition).label_name
        by_time = continuous(real) or (every is not None and len(trials) < FEW_TRIALS)
        size = min([len(fake) for fake in sets], default=len(real))
        at_random = list(halves(real, size=size, condition=condition, splits=splits, seed=seed))
        pairs = at_random
        if by_time:
            pairs = time_blocks(real, condition=condition, splits=splits)
        elif every is not None:  # windows of one trial stay on one side
            uncut = halves(trials, condition=condition, splits=splits, seed=seed)
            pairs = [(first.cut(every), second.cut(every)) for first, second in uncut]
        made = []
        for k, (base, other) in enumerate(pairs):
            base, other = _cut(base, other, sets, condition, seed + k)
            made.append(_split(k, base, other, reference, condition, seed))
        recorded = Pair(real, real, reference=reference, condition=condition, seed=seed, aligned=not by_time)
        bare = cls(recorded, made, METRICS if metrics is None else metrics, progress)
        results = bare._measure(bare._jobs(fakes, at_random if by_time else []))
        return replace(
            bare,
            floor=results["floor", ""],
            baselines={name: results["baseline", name] for name in (MEANS, CONSTANT)},
            generated={name: results["generated", name] for name in fakes},
            random_floor=results.get(("random", ""), ()),
        )

    def judge(self, fake: Trials) -> Sequence[Results]:
        """Compute the panel for one more set of generated trials, one result per split."""
        jobs = (self._generated("", fake, split, self._base(split)) for split in self.splits)
        return self._measure(jobs)["generated", ""]

    def _jobs(self, fakes: Mapping[str, Trials], at_random: Sequence[tuple[Trials, Trials]]) -> Iterator["Job"]:
        """Yield all comparisons, split after split: those of a split share the statistics of its base."""
        for split in self.splits:
            base = self._base(split)
            yield Job(("floor", ""), split.number, partial(base.against, split.other))
            for name, trials in split.baselines.items():
                yield Job(("baseline", name), split.number, partial(base.against, trials), quick=True)
            for name, trials in fakes.items():
                yield self._generated(name, trials, split, base)
        for number, halves_at_random in enumerate(at_random):
            yield Job(("random", ""), number, partial(self.recorded.between, *halves_at_random), quick=True)

    def _base(self, split: Split) -> Pair:
        """Return the comparison of the base of a split with itself, from which those with other trials are made."""
        return self.recorded.between(split.base, split.base)

    def _generated(self, name: str, fake: Trials, split: Split, base: Pair) -> "Job":
        """Return the comparison of the base of a split with as many generated trials of each condition."""

        def pair() -> Pair:
            seed = self.recorded.seed + split.number
            real, chosen = matched(split.base, fake, condition=self.condition, seed=seed)
            return base.against(chosen) if real is split.base else base.between(real, chosen)

        return Job(("generated", name), split.number, pair)

    def _metrics(self, split: int, *, quick: bool) -> list[Metric]:
        """Return the metrics of a split: all in the first splits, fewer of the slow ones in later splits."""
        left_out = set()
        if quick or split >= MEMORY_SPLITS:
            left_out.add("memorisation")  # baselines do not copy
        if quick and split >= SLOW_SPLITS:
            left_out.add("distance")
        return [metric for metric in self.metrics if metric.group not in left_out]

    def _measure(self, jobs: Iterable["Job"]) -> dict[tuple[str, str], list[Results]]:
        """Compute comparisons and return the results of each set, one per split in the order of the splits.

        Only the queue of the threads holds the comparisons, so that the statistics of a split are released with the
        last of its comparisons.
        """
        workers, limit = threads()
        with limit, ThreadPoolExecutor(workers) as pool:
            import_classifiers()
            running = []
            for job in jobs:
                metrics = self._metrics(job.split, quick=job.quick)
                running.append((job.key, cost(metrics), pool.submit(job.measure, metrics)))
            hidden = None if self.progress is None else not self.progress
            total = sum(share for _, share, _ in running)
            results: dict[tuple[str, str], list[Results]] = {}
            try:
                with tqdm(
                    total=total, desc="comparing", bar_format=BAR, smoothing=0, disable=hidden, leave=False
                ) as bar:
                    for key, share, future in running:
                        results.setdefault(key, []).append(future.result())
                        bar.update(share)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return results


@dataclass(frozen=True, eq=False)
class Job:
    """One comparison to compute.

    Args:
        key: Kind of the trials that are compared with the recorded ones ("floor", "baseline", "generated" or
            "random"), and their name.
        split: Index of the split.
        pair: Function that returns the comparison.
        quick: Leave out slow metrics (see `RecordedHalves`).
    """

    key: tuple[str, str]
    split: int
    pair: Callable[[], Pair]
    quick: bool = False

    def measure(self, metrics: Sequence[Metric]) -> Results:
        """Compute these metrics."""
        return measure_pair(self.pair(), metrics)


def cost(metrics: Sequence[Metric]) -> int:
    """Return the approximate time of a comparison as a multiple of one without classifiers and distances."""
    return SLOW_COST if any(metric.group == "distance" for metric in metrics) else 1


def import_classifiers() -> None:
    """Import scikit-learn, if it is installed, so that the time of the first comparison does not include this."""
    with suppress(ImportError):
        for name in ("linear_model", "neural_network", "svm"):
            import_module(f"sklearn.{name}")


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
