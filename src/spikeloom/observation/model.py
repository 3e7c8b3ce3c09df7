r"""The observation model: drive -> rates -> counts, in three slots.

A drive is a real number per bin and neuron, before the link; a rate is the expected count, spikes/bin::

    drive --- link ---> rates --- noise ---> rates of this draw --- history ---> counts
                                  factors that neurons share        a neuron's own earlier counts change
                                                                    its drive; `counts` draws each bin

Every slot accepts any object that fulfils the slot's contract (`observation.slots`). `history` and `noise` may be None.

**Fit.** The slots are fitted in turn. First the count distribution is fitted to the rates. Then the history is fitted,
and the count distribution again. Then the noise is fitted to the covariance that is still missing. Finally counts are
simulated with the complete model and compared with the trials. Each slot corrects its statistics (`correct`) until
three moments agree: mean counts, the fraction of bins with several spikes, and the frequency of a second spike after a
short lag (`observation.moments`).

**Sampling** turns uniform random numbers into counts (`observation.course`). Every trial has its own stream of random
numbers, and every bin takes the same number of random numbers, in the order of time. So a trial is the same alone and
in a batch, and its first bins do not depend on the length of the trial. A trial may also be drawn in consecutive pieces
(`begin`).

**Likelihood.** The noise is shared, so counts of different neurons and bins are not independent given the drive.
`log_prob` returns the log-probability of each count separately, averaged over the noise; its sum is **not** the
log-probability of a trial. `log_likelihood` estimates the log-probability of a trial with a particle filter.
"""

import copy
import math
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikeloom.observation.course import CountCourse
from spikeloom.observation.history import SpikeHistory
from spikeloom.observation.links import array, rates_of
from spikeloom.observation.moments import Moments
from spikeloom.observation.noise import SharedNoise
from spikeloom.observation.poisson import Poisson
from spikeloom.observation.refractory import Refractory
from spikeloom.observation.slots import CountDistribution, History, Memory, Noise, Real, Values
from spikeloom.seeds import Purpose, Streams
from spikeloom.shapes import Array, TrialCounts, TrialMask, TrialRates, mask_of
from spikeloom.trials import Trials

SHARES = (1.0, 1.0, 0.5, 0.33, 0.25)
"""Share of the correction that is applied in each round of simulation and correction. Every simulation has a random
error. Later shares are smaller, so the result averages over the errors of several rounds."""

TRIALS_AT_ONCE = 256
"""Number of trials whose counts are drawn together. More trials would take more memory, but hardly less time."""

QUADRATURE = 9
"""Number of nodes of the Gauss-Hermite quadrature with which `log_prob` averages over the noise."""


@final
class ObservationModel(nn.Module):
    """Distribution of counts given the drive. The model keeps copies of the objects in its slots.

    Args:
        counts: Distribution of the count of a bin. `None` stands for `Poisson()`.
        history: Change of a neuron's drive by its own earlier counts. `None` disables it.
        noise: Random factors of the rates, correlated between neurons. Without noise (`None`), neurons are independent
            given their rates.
    """

    counts: CountDistribution
    history: History | None
    noise: Noise | None

    def __init__(
        self,
        counts: CountDistribution | None = Refractory(),
        history: History | None = SpikeHistory(),
        noise: Noise | None = SharedNoise(),
    ) -> None:
        super().__init__()
        self.counts = Poisson() if counts is None else copy.deepcopy(counts)
        self.history = copy.deepcopy(history)
        self.noise = copy.deepcopy(noise)

    def build(self, n_neurons: int, bin_width: float) -> None:
        """Make the buffers of all slots, which must exist before the model is fitted or its weights are loaded.

        Args:
            n_neurons: Number of neurons.
            bin_width: Width of a bin, s.
        """
        for slot in (self.counts, self.history, self.noise):
            if slot is not None:
                slot.build(n_neurons, bin_width)

    def rates(self, drive: Values) -> Values:
        """Return the expected counts of a drive, spikes/bin.

        History and noise change the expected count of a single bin. They are fitted so that these changes average to 0.
        """
        return self.counts.rates(drive)

    def drive(self, rates: Values) -> Values:
        """Return the drive of these rates, the inverse of the link."""
        return self.counts.drive(rates)

    @property
    def plain(self) -> Poisson:
        """Poisson counts with the same link and without fitted statistics. Networks are trained with them."""
        return Poisson(self.counts.link)

    @property
    def shared_bins(self) -> int:
        """Number of lags (0, 1, ... bins) at which the noise correlates the counts of two neurons; 0 without noise."""
        return 0 if self.noise is None else self.noise.shared_bins

    # --- drawing ---------------------------------------------------------------------------------------------------

    def sample(self, drive: Real, streams: Streams) -> TrialCounts:
        """Draw counts of complete trials under a drive, one stream of random numbers per trial."""
        return self.draw(rates_of(array(drive).astype(np.float32), self.counts.link), streams)

    def draw(self, rates: TrialRates, streams: Streams, *, noisy: bool = True) -> TrialCounts:
        """Draw counts of complete trials, in batches of trials.

        Args:
            rates: Expected counts (trial, time, neuron), spikes/bin.
            streams: Random streams, one per trial.
            noisy: True to apply the noise slot, False to leave it out.
        """
        counts = np.empty(rates.shape, np.int32)
        for first in range(0, len(rates), TRIALS_AT_ONCE):
            rows = np.arange(first, min(first + TRIALS_AT_ONCE, len(rates)))
            counts[rows] = self.begin(streams.select(rows), noisy=noisy).advance(rates[rows])
        return counts

    def begin(self, streams: Streams, *, noisy: bool = True) -> CountCourse:
        """Begin trials whose counts are drawn in consecutive pieces, one stream of random numbers per trial."""
        return CountCourse(self.counts, self.history, self.noise if noisy else None, streams)

    # --- probability -----------------------------------------------------------------------------------------------

    def log_prob(self, counts: Real, drive: Real) -> Real:
        """Return the log-probability of each count given the neuron's earlier counts, averaged over the noise.

        The average is computed by Gauss-Hermite quadrature. With noise, counts are not independent, so the sum of these
        values is not a log-probability; `log_likelihood` returns the log-probability of complete trials.

        Args:
            counts: Counts of complete trials (trial, time, neuron), spikes/bin.
            drive: Drive of the same bins.

        Returns:
            One value per count, in nats. Padding is not masked.
        """
        past = None if self.history is None else self.history.effect(counts)
        if self.noise is None:
            return self._conditional(counts, drive, past)
        variance = self.noise.variance().to(drive)
        if not variance.any():  # the noise is 0, so one value of the noise stands for all
            return self._conditional(counts, self._moved(drive, self.noise, torch.zeros_like(drive)), past)
        nodes, weights = np.polynomial.hermite_e.hermegauss(QUADRATURE)  # values of the noise, in units of its sd
        sd = variance.sqrt()
        terms = []
        for node, weight in zip(nodes, weights, strict=True):
            conditional = self._conditional(counts, self._moved(drive, self.noise, node * sd), past)
            terms.append(conditional + math.log(weight / weights.sum()))
        return torch.stack(terms).logsumexp(0)

    @torch.no_grad()
    def log_likelihood(
        self, counts: Real, drive: Real, streams: Streams, *, particles: int = 256
    ) -> Float[Tensor, "batch time"]:
        r"""Estimate the log-probability of all counts of a bin, given the counts of earlier bins, by a particle filter.

        Each particle is one possible time course of the noise. In every bin, :math:`\hat p(s_t \mid s_{<t})` is the
        mean over particles of :math:`\prod_n p(s_{tn} \mid \mathrm{noise})`. Then particles are resampled in proportion
        to this product. The product of the estimates over bins is an unbiased estimate of the trial's probability, so
        its logarithm is slightly too low on average. This bias falls with the number of particles.

        Args:
            counts: Counts of complete trials (trial, time, neuron), spikes/bin.
            drive: Drive of the same bins.
            streams: Random streams, one per trial.
            particles: Number of particles per trial. Memory and time are proportional to this number.

        Returns:
            Log-probabilities (trial, time), nats. Their sum over time is the log-probability of the trial.
        """
        counts = counts.double().cpu()
        drive = drive.double().cpu()
        noise = self.noise
        if noise is None:
            return self.log_prob(counts, drive).sum(2)
        batch, time, _ = counts.shape
        past = None if self.history is None else self.history.effect(counts)
        memory: Memory = {}  # state of the noise of every particle (trial x particle, ...)
        log_probs = []
        for t in range(time):
            # of each trial: the white noise of all particles, and a uniform number for resampling
            drawn = [(rng.standard_normal((particles, noise.n_numbers)), rng.random()) for rng in streams.generators]
            white = np.concatenate([normal for normal, _ in drawn])[:, None]  # (trial x particle, 1 bin, number)
            uniform = torch.tensor([number for _, number in drawn], dtype=torch.float64)
            series = torch.from_numpy(noise.series(white, memory)).reshape(batch, particles, -1)
            noisy_drive = self._moved(drive[:, t, None], noise, series)  # (trial, particle, neuron)
            repeated = counts[:, t, None].expand_as(noisy_drive)
            past_now = None if past is None else past[:, t, None]
            log_weight = self._conditional(repeated, noisy_drive, past_now).sum(2)
            log_probs.append(log_weight.logsumexp(1) - math.log(particles))
            survivors = _resampled(log_weight, uniform).numpy()
            memory.update({name: value[survivors] for name, value in memory.items()})
        return torch.stack(log_probs, 1)

    def _conditional(self, counts: Real, drive: Real, past: Real | None) -> Real:
        """Return the log-probability of each count, given its drive and the change of the drive by earlier counts."""
        if self.history is not None and past is not None:
            drive = self.history.present(drive, self.counts) + past
        return self.counts.log_prob(counts, self.rates(drive))

    def _moved(self, drive: Tensor, noise: Noise, series: Tensor) -> Tensor:
        """Multiply the rates of a drive by the factors of a noise series, and return the drive of the product."""
        return self.drive(self.rates(drive) * noise.factor(series))

    # --- fitting ---------------------------------------------------------------------------------------------------

    def fit(self, trials: Trials, rates: TrialRates, *, seed: int) -> None:
        """Fit every slot to trials and their rates.

        Args:
            trials: Training trials.
            rates: Rates of these trials (trial, time, neuron), spikes/bin, each inferred while its count was hidden.
            seed: Random seed of the simulations.
        """
        self.counts.fit(trials, rates)
        if self.history is not None:
            self.history.start(trials)
            self.history.fit(trials, rates, self.counts)
            self._match(trials, rates, trials.mask, seed, noisy=False)
        if self.noise is not None:
            self.adapt(trials, rates, lengths=trials.lengths, seed=seed)

    def adapt(self, trials: Trials, rates: TrialRates, *, lengths: Array, seed: int) -> None:
        """Adapt a fitted model to the rates of other trials, for which there are no recorded counts.

        Generated rates and inferred rates have slightly different distributions. This method refits the statistics that
        need no recorded count for each rate, so that counts drawn from generated rates have the moments of the trials.

        Args:
            trials: Training trials.
            rates: Rates (trial, time, neuron), spikes/bin, such as those of generated trials.
            lengths: Valid bins of each row of `rates`.
            seed: Random seed of the simulations.
        """
        mask = mask_of(lengths, rates.shape[1])
        if self.history is None and self.noise is None:
            self.counts.fit(trials, rates, mask)  # here the counts depend on the rates only
        if self.noise is not None:

            def simulate(number: int) -> TrialCounts:
                """Draw counts from the rates with the present noise; the number selects the random numbers."""
                # numbers from 1000 on, so that the simulations of `_match` have other random numbers
                streams = Streams(seed, Purpose.CALIBRATE, 1000 + number, range(len(rates)))
                return np.where(mask[..., None], self.draw(rates, streams), 0)

            self.noise.fit(trials, rates, mask, simulate)
        self._match(trials, rates, mask, seed, noisy=True)

    def _match(self, trials: Trials, rates: TrialRates, mask: TrialMask, seed: int, *, noisy: bool) -> None:
        """Correct the slots in several rounds, so that counts drawn from the rates get the moments of the trials.

        Args:
            trials: Training trials.
            rates: Rates from which counts are drawn, of the trials or of other trials.
            mask: Valid bins of `rates`.
            seed: Random seed of the simulations.
            noisy: Whether the draws include the noise.
        """
        if not any(True for _ in self.buffers()):
            return  # there are no statistics to correct
        lags = 0 if self.history is None else self.history.lags
        target = Moments.of(trials.counts, trials.mask, lags)
        for number, share in enumerate(SHARES):  # the number of the round selects its random numbers
            streams = Streams(seed, Purpose.CALIBRATE, number, range(len(rates)))
            drawn = Moments.of(self.draw(rates, streams, noisy=noisy), mask, lags)
            self.counts.correct(target, drawn, share)
            if self.history is not None:
                self.history.correct(target, drawn, share)


def _resampled(log_weight: Float[Tensor, "batch particle"], uniform: Float[Tensor, " batch"]) -> Tensor:
    """Resample the particles of each trial in proportion to their weights (systematic resampling).

    Args:
        log_weight: Logarithm of the weight of each particle of each trial.
        uniform: One uniform random number per trial.

    Returns:
        Rows of the drawn particles in arrays whose trials and particles are flattened into one axis.
    """
    batch, particles = log_weight.shape
    cumulative = log_weight.softmax(1).cumsum(1).contiguous()
    thresholds = (torch.arange(particles) + uniform[:, None]) / particles  # evenly spaced, randomly shifted
    chosen = torch.searchsorted(cumulative, thresholds).clamp(max=particles - 1)  # rounded sums may end below 1
    return (chosen + particles * torch.arange(batch)[:, None]).flatten()
