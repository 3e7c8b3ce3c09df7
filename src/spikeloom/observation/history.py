r"""Spike history: a neuron's counts in the last 100 ms change its drive,

.. math:: d'_t = d_t + b + \min\Big(\sum_{j=1}^{H} h_j s_{t-j},\; c\Big), \qquad \lambda_t = \log(1 + e^{d'_t}),

with s the counts, spikes/bin, d the drive from the rates, c a bound, and :math:`\lambda` the expected count given the
past. The offset b and the filter h over H lags are fitted for each neuron. With h = b = 0 counts do not depend on the
past.

The published form of LDNS has :math:`a \log r_t + b` in place of :math:`d_t + b`, where r is the rate. This form is
available as `logarithmic=True`. Without a history (h = b = 0, a = 1) its expected count is :math:`\log(1 + r)` instead
of r. If the rates are exact, the fitted a is above 1, which compensates the difference.

**Filters** are sums of a few raised cosines over the logarithm of the lag, or have a free weight in every bin.

**Stability.** The link's slope is at most 1 and the sum at most c, so an expected count never exceeds
:math:`\log(1+e^{d_t+b}) + c` spikes/bin, however often a neuron fired. A neuron also cannot keep itself firing at that
bound. One spike causes about :math:`\rho = \sum_j \max(h_j, 0)\, \sigma(d')` further spikes, with :math:`\sigma` the
slope of the link at the drives where the neuron fires. If :math:`\rho > 0.95`, the positive weights of the filter are
scaled down until :math:`\rho` is 0.95.

**Fit.** Each rate is inferred while its count is hidden. The penalised likelihood of each neuron's filter is maximised
by Fisher scoring (`observation.scoring`), given the recorded counts before each bin. Bins without a complete past are
left out. A trial that is drawn has no counts before its first bin, so each neuron is assumed to have fired at its mean
rate before the trial. A simulated neuron depends on its simulated past, and not on the recorded past. Therefore counts
are simulated after the fit and compared with the trials. The offset b is corrected until mean counts agree. The filter
h is corrected at its shortest lags until the frequency of a second spike within a few bins agrees.
"""

from typing import Literal, final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from spikeloom.errors import SettingError
from spikeloom.observation.links import array
from spikeloom.observation.moments import Moments
from spikeloom.observation.scoring import UsedBins, fisher_scoring, mean_slope
from spikeloom.observation.slots import CountDistribution, History, Past, PerNeuron, Real, Values, batches
from spikeloom.shapes import TrialRates
from spikeloom.trials import Trials

COSINES = 8
"""Number of raised cosines of a filter."""

LARGEST_BRANCHING = 0.95
"""Largest expected number of further spikes that one spike of a neuron causes."""

LOWEST = -8.0
"""Lower bound of the sum over the past. It reduces a rate by a factor of about e^-8, so the neuron hardly fires."""

RIDGE = {"cosine": 2.0, "bins": 8.0}
"""Penalty of the squared coefficients of each basis, in nats. It is a Gaussian prior of the coefficients, with a
standard deviation of 0.7 for cosines and 0.35 for free bins."""

CORRECTION_RIDGE = 50.0
"""Number of pairs of spikes at a lag for which half of a correction is applied. With fewer pairs, more of the measured
difference is sampling error, and less of it is applied."""


@final
class SpikeHistory(History):
    """History as one linear filter of each neuron's counts; the module has the formula.

    Args:
        duration: Length of the filters, s.
        basis: "cosine", eight raised cosines (at most one per bin), or "bins", a weight per bin as published.
        bound: Largest amount c that earlier counts add to the drive.
        logarithmic: Use the published form of the drive, a log r + b, where a is fitted too.
        ceiling: Largest count that is drawn, spikes/bin. `None` disables the ceiling.

    Raises:
        SettingError: if `duration` is not above 0, `bound` is not between 0 and 10, or `ceiling` is below 1.
    """

    slope: Tensor  # a of each neuron; 1 unless logarithmic
    filters: Tensor  # (bin, neuron), lag 1 first

    def __init__(
        self,
        *,
        duration: float = 0.1,
        basis: Literal["cosine", "bins"] = "cosine",
        bound: float = 1.5,
        logarithmic: bool = False,
        ceiling: int | None = None,
    ) -> None:
        super().__init__()
        if not (duration > 0 and 0 < bound < 10 and (ceiling is None or ceiling >= 1)):
            raise SettingError(
                "SpikeHistory needs duration > 0, bound between 0 and 10, and a ceiling that is None or at least 1.",
                f"It got duration={duration}, bound={bound}, ceiling={ceiling}.",
                "The defaults are 0.1 s, 1.5 and no ceiling.",
            )
        self.duration = duration
        self.basis = basis
        self.bound = bound
        self.logarithmic = logarithmic
        self.ceiling = ceiling

    def build(self, n_neurons: int, bin_width: float) -> None:
        """Make the buffers; see `History.build`."""
        super().build(n_neurons, bin_width)
        self.bins = max(1, round(self.duration / bin_width))
        self.register_buffer("slope", torch.ones(n_neurons))  # a of the published form
        self.register_buffer("filters", torch.zeros(self.bins, n_neurons))

    def past(self, counts: Float[Tensor, "batch bins_and_time neuron"]) -> Real:
        """Return the filtered counts before each bin, bounded from below and above; see `History.past`."""
        earlier_counts = counts[:, :-1].transpose(1, 2)  # (batch, neuron, time)
        kernel = self.filters.to(counts).flip(0).T[:, None]  # (neuron, 1, bin), the longest lag first
        return self._bounded(functional.conv1d(earlier_counts, kernel, groups=counts.shape[2]).transpose(1, 2))

    def present(self, drive: Values, counts: CountDistribution) -> Values:
        """Return the drive without earlier counts: d + b, or a log r + b; see `History.present`."""
        if self._uses_logarithm():
            drive = self.slope.to(drive) * counts.rates(drive).log()
        return drive + self.offset.to(drive)

    def begin(self, n_trials: int) -> Past:
        """Return the past of trials of which no bin was drawn yet; see `History.begin`."""
        return FilteredPast(self, n_trials)

    def branching(self, link_slope: PerNeuron) -> PerNeuron:
        """Return the expected number of further spikes that one spike of each neuron causes.

        Args:
            link_slope: Slope of the link of each neuron at the drives where it fires.
        """
        return self.filters.clamp(min=0).sum(0).to(link_slope) * link_slope

    # --- fitting ---------------------------------------------------------------------------------------------------

    def fit(self, trials: Trials, rates: TrialRates, counts: CountDistribution) -> None:
        """Fit the filters, then the count distribution given the filters, then the filters again; see `History.fit`.

        The coefficients of a neuron are the weights of the basis functions, the offset b and, in the published form, a.
        """
        self.slope.fill_(1)  # a
        self.filters.zero_()
        basis = cosines(self.bins) if self.basis == "cosine" else torch.eye(self.bins)
        used = UsedBins(trials, rates, self.bins)
        n_base = basis.shape[1]
        start = torch.zeros(rates.shape[2], n_base + 1 + self.logarithmic, dtype=torch.float64)  # (neuron, coefficient)
        start[:, n_base + 1 :] = 1  # a, in the published form
        weights, _ = self._fit(used, basis, counts, start)
        counts.fit(trials, self._expected(trials, rates, counts))
        _, link_slope = self._fit(used, basis, counts, weights)
        self._limit(link_slope)

    def correct(self, target: Moments, drawn: Moments, share: float) -> None:
        r"""Change b, and h at the shortest lags, towards the target's moments; see `History.correct`.

        The offset b follows the mean counts. The filter at the shortest sixth of its lags follows `Moments.repeats`,
        the fraction of pairs of bins at a lag that both hold a spike. Where spikes are rare, the chance of a spike j
        bins after another is proportional to :math:`e^{h_j}`, so the log ratio of recorded to simulated fractions is
        the change that :math:`h_j` needs. The mean log ratio at later lags comes from slower changes of the rates, and
        is subtracted. Each change is at most 0.3.
        """
        super().correct(target, drawn, share)
        half = 0.5 / min(target.bins, drawn.bins)  # half a pair is added to both fractions, so that neither is 0
        n_short = len(self.filters) // 6
        first_late = len(self.filters) // 4
        if not n_short:
            return  # bins are so wide that the filter has no short lags
        log_ratio = np.log((target.repeats + half) / (drawn.repeats + half))
        # Half the number of pairs: the recorded and the simulated fraction have separate sampling errors.
        pairs = 0.5 * min(target.bins, drawn.bins) * target.repeats[:n_short]
        excess = log_ratio[:n_short] - log_ratio[first_late:].mean(0)
        change = excess.clip(-0.3, 0.3) * pairs / (pairs + CORRECTION_RIDGE)
        self.filters[:n_short] += torch.from_numpy(share * change).to(self.filters)

    @property
    def lags(self) -> int:
        """Number of lags at which `correct` compares repeated spikes."""
        return len(self.filters) // 2

    def _fit(self, used: UsedBins, basis: Tensor, counts: CountDistribution, start: Tensor) -> tuple[Tensor, Tensor]:
        """Fit the coefficients of all neurons by Fisher scoring, and set filters, offset and a.

        Args:
            used: Bins that enter the fit.
            basis: Basis functions of the filters (lag, base).
            counts: Distribution of the counts.
            start: Coefficients at which the fit begins.

        Returns:
            The coefficients (neuron, base and term), and for each neuron the mean slope of the link over its spikes.
        """
        weights = start.clone()
        n_base = basis.shape[1]
        link_slope = torch.zeros(len(start), dtype=start.dtype)
        for neurons in used.blocks(start.shape[1]):
            logarithmic = self.logarithmic
            limits = (LOWEST, self.bound)
            design = used.design(neurons, basis, counts, logarithmic=logarithmic, limits=limits)
            chosen = torch.from_numpy(neurons)
            distribution = counts.of(chosen)
            weights[chosen] = fisher_scoring(distribution, design, start[chosen], ridge=RIDGE[self.basis])
            link_slope[chosen] = mean_slope(distribution, design, weights[chosen])
        self.filters.copy_(basis.double() @ weights[:, :n_base].T)
        self.offset.copy_(weights[:, n_base])
        if self.logarithmic:
            self.slope.copy_(weights[:, n_base + 1])
        return weights, link_slope

    def _expected(self, trials: Trials, rates: TrialRates, counts: CountDistribution) -> TrialRates:
        """Return the expected counts of each bin given the recorded counts before it, in batches."""
        expected = np.empty_like(rates)
        for rows in batches(len(rates), rates[0].size):
            recorded = torch.from_numpy(trials.counts[rows].astype(np.float32))
            drive = counts.drive(torch.from_numpy(rates[rows]).float())
            expected[rows] = counts.rates(self.present(drive, counts) + self.effect(recorded)).numpy()
        return expected

    def _limit(self, link_slope: Tensor) -> None:
        """Scale positive weights down for neurons in which a spike would cause more than 0.95 further spikes."""
        scale = (LARGEST_BRANCHING / self.branching(link_slope).clamp(min=1e-9)).clamp(max=1).to(self.filters)
        self.filters.copy_(torch.where(self.filters > 0, self.filters * scale, self.filters))

    def _uses_logarithm(self) -> bool:
        """Return True if the drive is a log r + b: in the published form, after its fit.

        Before the fit, all filters are 0. Then the drive is d, also in the published form, so the expected count is r.
        """
        return self.logarithmic and bool(self.filters.any())

    def _bounded(self, total: Tensor) -> Tensor:
        """Return the sum over the past, limited to [-8, c]."""
        return total.clamp(LOWEST, self.bound)


@final
class FilteredPast(Past):
    """Filtered earlier counts of each neuron: one sum for each of the next H bins, with H the length of the filters.

    The sums are a ring buffer of H columns, in which bin t uses column t mod H. After the counts of bin t are drawn,
    its column is set to 0 and is used for bin t + H. Then the filtered counts of bin t are added to all columns, which
    now belong to bins t + 1 to t + H.

    Args:
        history: History with the filters.
        n_trials: Number of trials.
    """

    def __init__(self, history: SpikeHistory, n_trials: int) -> None:
        filters = array(history.filters).T.astype(np.float32)
        n_neurons, bins = filters.shape
        # sums for the first H bins, if each neuron fired at its mean rate before the trial
        first_sums = array(history.usual)[:, None] * filters[:, ::-1].cumsum(1)[:, ::-1]
        self.limits = (LOWEST, history.bound)
        # for a spike in each column: the filters, moved to the columns of the bins after this spike
        self.after = np.stack([np.roll(filters, column + 1, 1) for column in range(bins)])
        self.shape = (n_trials, n_neurons, bins)
        self.column = 0
        self.sums = np.broadcast_to(first_sums, self.shape).astype(np.float32).reshape(-1, bins)

    def change(self) -> Float[np.ndarray, "trial neuron"]:
        """Return the changes of the drive in the next bin: the sums of this bin, limited to the allowed range."""
        return self.sums[:, self.column].reshape(self.shape[:2]).clip(*self.limits)

    def add(self, entry: Int[np.ndarray, " entry"], number: Int[np.ndarray, " entry"]) -> None:
        """Add the counts of the next bin to the sums of the H bins after it; see `Past.add`."""
        self.sums[:, self.column] = 0  # from now on, this column belongs to bin t + H
        added = self.after[self.column].take(entry % self.shape[1], 0)  # one row of H numbers for each entry
        added *= number[:, None]
        added += self.sums.take(entry, 0)
        self.sums[entry] = added
        self.column = (self.column + 1) % self.shape[2]

    def state(self) -> Float[np.ndarray, "trial _ _"]:
        """Return the sums (trial, neuron, bin), beginning with the next bin."""
        return np.roll(self.sums, -self.column, 1).reshape(self.shape)

    def restore(self, state: Float[np.ndarray, "trial _ _"]) -> None:
        """Continue from sums that `state` has returned."""
        self.sums = state.astype(np.float32).reshape(-1, self.shape[2])
        self.column = 0


def cosines(bins: int, number: int = COSINES) -> Float[Tensor, "bins base"]:
    """Return the basis functions of the filters (lag, base): raised cosines over the logarithm of the lag.

    The functions are narrow at short lags and wide at long lags. With at most `number` bins, each bin has a separate
    function.
    """
    if bins <= number:
        return torch.eye(bins)
    log_lag = torch.log(torch.arange(1, bins + 1, dtype=torch.float64) + 1)
    centre = torch.linspace(float(log_lag[0]), float(log_lag[-1]), number, dtype=torch.float64)
    distance = centre[1] - centre[0]  # of neighbouring centres; a function is 0 from two distances on
    phase = ((log_lag[:, None] - centre) / distance * (torch.pi / 2)).clamp(-torch.pi, torch.pi)
    return ((1 + torch.cos(phase)) / 2).float()
