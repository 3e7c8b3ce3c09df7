"""`RecordedHalves`: the recorded trials of an evaluation, split once and compared with every set of generated trials.

The recorded trials are split into disjoint halves A and B, several times: at random, or, if they are windows of a
continuous recording, in blocks of time (see `splits.time_blocks`). In each split

- the **noise floor** compares B with A; it is the value of a perfect generator,
- the **generated trials** are compared with the same A, with the same number of trials of each condition as B,
- the **baselines** are compared with A, too. Their rates are fitted to the training trials, or to B if there are none,
- the **learned rates**, if there are training trials, are a copy of B whose mean rates have the sampling error of the
  training trials (see `sampling_error`). This copy is compared with A, too. A model that learns mean rates from the
  training trials can hardly do better.

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
from spikeloom.evaluation.sampling_error import with_sampling_error
from spikeloom.evaluation.splits import continuous, halves, matched, time_blocks
from spikeloom.metrics.panel import METRICS, Metric, Pair, Result, measure_pair
from spikeloom.report.rows import LEARNED
from spikeloom.seeds import Purpose, generator
from spikeloom.text import counted
from spikeloom.trials import Trials

Results = Mapping[str, Result]
"""Results of one comparison, name of the metric -> result."""

MEANS = "Poisson, condition means"
"""Name of the baseline whose rates are the smoothed mean counts of each condition."""

CONSTANT = "Poisson, constant rates"
"""Name of the baseline with one rate per neuron."""

FEWEST = 4
"""Smallest number of recorded trials that can be split."""

WORKERS = 2
"""Number of comparisons at the same time, in threads; each needs a few hundred megabytes."""

MEMORY_SPLITS = 3
"""Number of splits in which copies of training trials are searched. (`evaluate` searches all generated trials, too.)"""

FEW_TRIALS = 16
"""Smallest number of trials that are divided into halves. Windows cut from fewer trials are divided by time."""

SLOW_SPLITS = 2
"""Number of splits in which classifiers and distances are computed for the baselines."""

SLOW_COST = 4
"""Time of a comparison with classifiers and distances, relative to the time without: 0.65 s and 0.17 s, 728 trials."""

BAR = "{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"
"""Format of the progress bar, as tqdm expects it: time so far, and time left."""


@dataclass(frozen=True, eq=False)
class Split:
    """One split of the recorded trials.

    Args:
        number: Index of the split, which is also the key of its random draws.
        base: Half with which all other trials are compared.
        other: The other half, with the same number of trials of each condition.
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
        recorded: All recorded trials, compared with themselves. This pair holds the condition, the seed, the training
            trials, and the statistics of the training trials, which all comparisons share.
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
        """All recorded trials, before they are split into halves."""
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
            fakes: Sets of generated trials by name. The halves are reduced to the number of trials of each condition
                that every set has.
            reference: Training trials, if there are any.
            condition: Name of the condition that labels trials; `None` chooses a condition like `Pair`.
            every: Cut the recorded trials into windows of this length, in seconds; `None` does not cut them. Fakes and
                reference must already be cut.
            splits: Number of splits. For blocks of time, at most 3 are used.
            seed: Random seed.
            metrics: Metrics to compute. `None` computes the panel.
            progress: Show a progress bar; `None` shows it only on a terminal.

        Raises:
            DataError: if there are too few trials to split, or `splits` is below one.
        """
        sets = list(fakes.values())
        # Recorded trials are also compared in place of generated trials, so both must name the same conditions.
        uncut = replace(real, conditioned_on=conditions_of(sets))
        real = uncut if every is None else uncut.cut(every)
        if splits < 1 or len(real) < FEWEST:
            raise DataError(
                f"An evaluation needs at least {FEWEST} recorded trials and one split.",
                f"It got {counted(len(real), 'trial')} and {counted(splits, 'split')}.",
                "Use more held-out trials, or cut a continuous recording into windows with --every.",
            )
        condition = Pair(real, real, reference=reference, condition=condition).label_name
        by_time = continuous(real) or (every is not None and len(uncut) < FEW_TRIALS)
        size = min([len(fake) for fake in sets], default=len(real))  # trials of the smallest set
        at_random = list(halves(real, size=size, condition=condition, splits=splits, seed=seed))
        pairs = at_random
        if by_time:  # the random halves are used for `random_floor` only
            pairs = time_blocks(real, condition=condition, splits=splits)
        elif every is not None:  # all windows of a trial stay in the same half
            uncut_pairs = halves(uncut, condition=condition, splits=splits, seed=seed)
            pairs = [(first.cut(every), second.cut(every)) for first, second in uncut_pairs]
        split_list = []
        for number, (base, other) in enumerate(pairs):
            base, other = _reduced(base, other, sets, condition, seed + number)
            split_list.append(_split(number, base, other, reference, condition, seed))
        recorded = Pair(real, real, reference=reference, condition=condition, seed=seed, aligned=not by_time)
        without_results = cls(recorded, split_list, METRICS if metrics is None else metrics, progress)
        results = without_results._measure(without_results._jobs(fakes, at_random if by_time else []))
        return replace(
            without_results,
            floor=results["floor", ""],
            baselines={name: results["baseline", name] for name in split_list[0].baselines},
            generated={name: results["generated", name] for name in fakes},
            random_floor=results.get(("random", ""), ()),
        )

    def judge(self, fake: Trials) -> Sequence[Results]:
        """Compute the panel for one more set of generated trials, one result per split."""
        jobs = (self._generated("", fake, split, self._base(split)) for split in self.splits)
        return self._measure(jobs)["generated", ""]

    def _jobs(self, fakes: Mapping[str, Trials], at_random: Sequence[tuple[Trials, Trials]]) -> Iterator["Job"]:
        """Yield all comparisons, split after split. Comparisons of a split share the statistics of its base."""
        for split in self.splits:
            base = self._base(split)
            yield Job(("floor", ""), split.number, partial(base.against, split.other))
            for name, trials in split.baselines.items():
                yield Job(("baseline", name), split.number, partial(base.against, trials), quick=True)
            for name, trials in fakes.items():
                yield self._generated(name, trials, split, base)
        for number, halves_at_random in enumerate(at_random):  # for `random_floor`
            yield Job(("random", ""), number, partial(self.recorded.between, *halves_at_random), quick=True)

    def _base(self, split: Split) -> Pair:
        """Return the comparison of the base of a split with itself; comparisons with other trials are made from it."""
        return self.recorded.between(split.base, split.base)

    def _generated(self, name: str, fake: Trials, split: Split, base: Pair) -> "Job":
        """Return the comparison of the base of a split with an equal number of generated trials of each condition."""

        def pair() -> Pair:
            """Draw equal numbers of trials from both sets, and return their comparison."""
            seed = self.recorded.seed + split.number
            real, generated = matched(split.base, fake, condition=self.condition, seed=seed)
            # if all trials of the base are compared, its statistics are shared
            return base.against(generated) if real is split.base else base.between(real, generated)

        return Job(("generated", name), split.number, pair)

    def _metrics(self, split: int, *, quick: bool) -> list[Metric]:
        """Return the metrics to compute in a split, without the slow ones that are left out.

        Args:
            split: Index of the split. Slow metrics are computed in the first `MEMORY_SPLITS` or `SLOW_SPLITS` splits.
            quick: True for trials that cannot be copies of training trials, such as baselines. The metrics of copies
                are then left out, and slow metrics are computed in fewer splits.
        """
        left_out = set()
        if quick or split >= MEMORY_SPLITS:
            left_out.add("memorisation")
        if quick and split >= SLOW_SPLITS:
            left_out.add("distance")
        return [metric for metric in self.metrics if metric.group not in left_out]

    def _measure(self, jobs: Iterable["Job"]) -> dict[tuple[str, str], list[Results]]:
        """Compute comparisons, and return key -> results, one per split in the order of the splits.

        Memory stays bounded, because only the queue of the threads refers to a comparison: the statistics of a split
        are released after its last comparison.
        """
        workers, limit = threads()
        with limit, ThreadPoolExecutor(workers) as pool:
            import_classifiers()
            running = []
            for job in jobs:
                metrics = self._metrics(job.split, quick=job.quick)
                running.append((job.key, cost(metrics), pool.submit(job.measure, metrics)))
            hidden = None if self.progress is None else not self.progress
            total = sum(duration for _, duration, _ in running)  # in units of `cost`
            results: dict[tuple[str, str], list[Results]] = {}
            try:
                with tqdm(
                    total=total, desc="comparing", bar_format=BAR, smoothing=0, disable=hidden, leave=False
                ) as bar:
                    for key, duration, future in running:
                        results.setdefault(key, []).append(future.result())
                        bar.update(duration)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return results


@dataclass(frozen=True, eq=False)
class Job:
    """One comparison to compute.

    Args:
        key: Kind of the trials that are compared with the recorded trials ("floor", "baseline", "generated" or
            "random"), and their name.
        split: Index of the split.
        pair: Function that returns the comparison.
        quick: Leave out slow metrics; see `RecordedHalves._metrics`.
    """

    key: tuple[str, str]
    split: int
    pair: Callable[[], Pair]
    quick: bool = False

    def measure(self, metrics: Sequence[Metric]) -> Results:
        """Compute these metrics of the comparison, name -> result."""
        return measure_pair(self.pair(), metrics)


def cost(metrics: Sequence[Metric]) -> int:
    """Return the approximate time of a comparison, relative to the time without classifiers and distances."""
    return SLOW_COST if any(metric.group == "distance" for metric in metrics) else 1


def import_classifiers() -> None:
    """Import scikit-learn, if it is installed, so that the time of the first comparison does not include the import."""
    with suppress(ImportError):
        for name in ("linear_model", "neural_network", "svm"):
            import_module(f"sklearn.{name}")


def conditions_of(fakes: Sequence[Trials]) -> tuple[str, ...] | None:
    """Return the names of all conditions on which any of these sets of trials was conditioned.

    The result is None if there are no such conditions, or if they are unknown for one of the sets.
    """
    names_of_sets = [fake.conditioned_on for fake in fakes]
    names = dict.fromkeys(name for names_of_set in names_of_sets for name in names_of_set or ())
    return None if None in names_of_sets or not names else tuple(names)


def threads() -> tuple[int, AbstractContextManager[object]]:
    """Return the number of concurrent comparisons, and a context that limits each comparison to one thread.

    Without the limit, each comparison would use all threads of the linear algebra library, together more threads than
    cores. These threads occupy a core while they wait, which was ten times slower on a busy machine. Without
    threadpoolctl (which scikit-learn installs), the limit cannot be set, and comparisons run one after the other.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return 1, nullcontext()
    return min(WORKERS, os.cpu_count() or 1), threadpool_limits(1)


def _reduced(
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
    fitted_to = other if reference is None else reference  # trials from which the baselines get their rates
    fitted_condition = condition if condition in fitted_to.conditions else None
    # seeds of the three baselines that draw at random; 2 distinguishes this use of random numbers from others
    seeds = generator(seed, Purpose.EVALUATE, 2, number).integers(2**31, size=3)
    by_baseline = {}
    if reference is not None:
        by_baseline[LEARNED] = with_sampling_error(other, reference, condition=fitted_condition, seed=int(seeds[2]))
    by_baseline[MEANS] = baselines.poisson_psth(fitted_to, base, condition=fitted_condition, seed=int(seeds[0]))
    by_baseline[CONSTANT] = baselines.homogeneous_poisson(fitted_to, base, seed=int(seeds[1]))
    return Split(number, base, other, by_baseline)
