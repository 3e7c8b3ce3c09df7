"""`Model`: the base class of all generative models of spiking.

It implements fit, sample, stream, encode, save and restore. The model of a paper is one file in `models` with four
methods: `build` makes the networks for a recording, `stages` yields the training stages in order, `draw` generates a
batch of trials, `infer` encodes a batch of trials. A model declares its further abilities (conditions, streams, codes,
...) in `capabilities`, and the base class raises an error for all others. Statistics that sampling needs (latent mean
and sd, rate scales, trial lengths, bin width) are part of the model and are saved with the weights.
"""

import abc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Literal, final

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from spikeloom import html
from spikeloom.diffusion.sampler import Sampler
from spikeloom.errors import SettingError, TrainingError
from spikeloom.files import ensure_folder
from spikeloom.models.common.conditions import ConditionArgument
from spikeloom.models.common.course import Course, Start, StreamedCourse
from spikeloom.models.common.facts import Facts, check_fit
from spikeloom.models.common.live import Live, LiveConditions, live_stream
from spikeloom.models.common.model_folder import read_config, read_history, read_weights, write_model
from spikeloom.models.common.request import Request, Signal, labels_of, rows_of, signal_of
from spikeloom.models.common.results import Generated, Inferred, batch_size, in_batches
from spikeloom.models.common.run_folder import claim_run, locked
from spikeloom.models.common.streaming import StreamConditions, StreamRequest, chunk_size, chunks
from spikeloom.observation.model import ObservationModel
from spikeloom.seeds import Purpose, Streams, generator
from spikeloom.settings import describe, recipe_text
from spikeloom.text import counted, verb
from spikeloom.training.checkpoint import Line
from spikeloom.training.identity import Identity, run_identity, trials_identity
from spikeloom.training.log import log
from spikeloom.training.plan import Plan
from spikeloom.training.processes import accelerator
from spikeloom.training.stage import Calculation, Stage
from spikeloom.training.stage_run import AfterValidation
from spikeloom.training.start import begun, start_hash
from spikeloom.training.train import train
from spikeloom.trials import Trials

Option = Literal["condition", "guidance", "sampler", "codes"]
"""Argument of `sample`, `stream` or `live` that not every model uses."""


@dataclass(frozen=True)
class Capabilities:
    """Abilities of a model besides fit, sample, encode, save and load.

    Args:
        options: Options of `sample` that the model uses; other options raise an error.
        stream: Whether `unroll` generates an endless trial.
        live: Whether the model is causal: `begin` generates trials bin by bin from earlier bins and conditions. Other
            models with streams generate a live trial ahead of time, in `ahead`.
        unseen_rates: Whether `unseen_rates` can infer the rate of an entry whose count is hidden, so that the hidden
            count can be scored.
        latent_baselines: Whether `latent_baselines` generates trials from simple models of the latents.
        bound: Whether the loss on validation trials is an evidence lower bound.
    """

    options: tuple[Option, ...] = ()
    stream: bool = False
    live: bool = False
    unseen_rates: bool = False
    latent_baselines: bool = False
    bound: bool = False


class Model(nn.Module, abc.ABC):
    """A generative model of spike trains. Constructor arguments are settings, plain values or small frozen objects.

    Attributes:
        n_neurons: Number of neurons, set by the constructor.
        condition: Names of the conditions that the model is trained with.
        guidance: Strength of the conditions unless `sample` sets another.
        reads: Field of the trials that `infer` reads.
        observation: Observation model, from rates to counts; every model with unseen rates has one.
        later_stage: Names of the settings of an optional last stage, which a finished run can add. The first name is
            the plan of the stage, which is None if the stage is not trained. Empty for models without such a stage.
        history: Lines of training history.
        batch: Largest number of trials that `sample` keeps in memory at once, unless `max_batch` sets another.
    """

    n_neurons: int
    condition: tuple[str, ...] = ()
    guidance: float = 1.0
    reads: Signal = "counts"
    later_stage: tuple[str, ...] = ()
    batch: int = 64
    observation: ObservationModel

    def __init__(self) -> None:
        super().__init__()
        self._facts: Facts | None = None  # None before the model is trained or loaded
        self._only_infers = False  # True for a part of another model; see `build_for_inference`
        self.history: list[Line] = []

    # --- methods that every model defines ------------------------------------------------------------------------

    @abc.abstractmethod
    def build(self, facts: Facts) -> None:
        """Make the networks and buffers for a recording. It is called before fitting and before loading weights."""

    @abc.abstractmethod
    def stages(self, trials: Trials, validation: Trials | None) -> Iterator[Stage | Calculation]:
        """Yield the training stages in order.

        A stage is trained before the code after its `yield` runs. That code also runs when an interrupted run resumes.
        """

    @abc.abstractmethod
    def draw(self, request: Request) -> Generated:
        """Generate one batch of trials."""

    @abc.abstractmethod
    def infer(self, signal: Tensor, mask: Tensor) -> Inferred:
        """Infer rates, latents or codes of one batch.

        Args:
            signal: Field of the trials that the model reads (trial, time, ...); see `reads`.
            mask: Valid bins (trial, time).
        """

    # --- methods that a model may define -------------------------------------------------------------------------

    @property
    def capabilities(self) -> Capabilities:
        """Abilities of this model besides fit, sample, encode, save and load."""
        return Capabilities()

    @property
    def size(self) -> str:
        """The size of the model in words, such as "32 latents", for `repr`."""
        return ""

    @property
    def notes(self) -> Mapping[str, str]:
        """Facts about the trained model that `inspect` shows besides its settings, name -> text."""
        return {}

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages that `stages` yields, for the progress of `fit`; empty if they are not known."""
        return ()

    def unroll(self, request: StreamRequest) -> Iterator[Generated]:
        """Generate consecutive pieces (1, bins, ...) of one endless trial."""
        raise self._refusal("generates no streams", f"A stream with seed {request.seed} was requested.", "Use sample.")

    def begin(self, start: Start) -> Course:
        """Begin trials whose next bins are generated on demand from earlier bins and conditions (causal models)."""
        n_trials = len(start.noise.generators)
        raise self._refusal(
            "is not causal",
            f"{counted(n_trials, 'live trial')} {verb(n_trials, 'was', 'were')} requested.",
            "Use sample or stream.",
        )

    def ahead(self, request: StreamRequest) -> StreamedCourse:
        """Begin one trial of a stream that is returned bin by bin (models that need conditions of later bins)."""
        got = f"A live trial with seed {request.seed} was requested."
        raise self._refusal("generates no live trials", got, "Use sample.")

    def unseen_rates(self, trials: Trials) -> np.ndarray:
        """Return unseen rates of trials (trial, time, neuron), spikes/bin: no rate depends on the count of its entry.

        An entry is one neuron in one bin. Its count is hidden from the encoder while its rate is inferred.
        """
        raise self._refusal(
            "infers no rates of hidden counts", f"They were requested for {trials!r}.", "Use an LDNS or LFADS."
        )

    def build_inference(self, facts: Facts) -> None:
        """Make the networks and buffers that `infer` needs; by default all of them."""
        self.build(facts)

    def inference_stages(self, trials: Trials, validation: Trials | None) -> Iterator[Stage | Calculation]:
        """Yield the training stages that `infer` needs; by default all of them."""
        yield from self.stages(trials, validation)

    @property
    def inference_stage_names(self) -> tuple[str, ...]:
        """Names of the stages that `inference_stages` yields."""
        return self.stage_names

    def latent_baselines(self, reference: Trials, *, like: Trials, seed: int = 0) -> Mapping[str, Trials]:
        """Fit simple models to the latents of reference trials, and generate trials from each simple model.

        Args:
            reference: Training trials.
            like: Trials whose lengths are copied.
            seed: Random seed.

        Returns:
            Name of the simple model -> its trials.
        """
        got = (
            f"Baselines of {counted(len(reference), 'trial')} were requested, like {counted(len(like), 'trial')}, "
            f"seed {seed}."
        )
        raise self._refusal("has no baselines on its latents", got, "Use an LDNS.")

    @final
    def build_for_inference(self, facts: Facts) -> None:
        """Build this model as a part of another model, which trains its `inference_stages` and calls its `encode`.

        A model that is built like this cannot sample. `facts` describe the training trials of the other model.
        """
        self.build_inference(facts)
        self._facts = facts
        self._only_infers = True

    @final
    def fit(
        self,
        trials: Trials,
        *,
        validation: Trials | None = None,
        seed: int = 0,
        out: str | PathLike[str] | None = None,
        start: str | PathLike[str] | None = None,
        progress: bool | None = None,
        after_validation: AfterValidation | None = None,
    ) -> "Model":
        """Train every stage. Afterwards the model can sample, encode and be saved.

        Args:
            trials: Training trials.
            validation: Validation trials, on which the best weights of each stage are chosen; disjoint from training
                and test trials.
            seed: Random seed of the initial weights and of the training.
            out: Run folder for checkpoints, log and the finished model. If the folder holds an unfinished run with the
                same settings, data and seed, this run is resumed. A finished run is loaded; if the settings add the
                model's optional last stage to it, this stage is trained.
            start: Folder of a trained model with networks of the same shapes. Training begins with its weights.
            progress: Show progress; None shows it on a terminal.
            after_validation: Function that is called after each validation; see `training.stage_run`.

        Raises:
            DataError: if there are too few trials or no spikes.
            SettingError: if `out` holds a run of other settings, data or seed; the message names the differences.
            FileError: if another process trains in `out`.
            TrainingError: if the loss is not finite in ten updates in a row.
        """
        validation = check_fit(trials, validation)
        facts = Facts.of(trials, self.condition)
        folder = None if out is None else ensure_folder(out)
        with locked(folder):
            if folder is not None:
                identity = self._identity(trials, validation, seed, start_hash(start))
                note = f"training {type(self).__name__}, seed {seed}, on {trials.source or 'trials'}"
                if claim_run(folder, identity, recipe=recipe_text(self), note=note, later=self.later_stage):
                    return self.restore(folder / "model")
            with torch.random.fork_rng(devices=[]):  # the caller's state of torch's generator stays as it was
                torch.manual_seed(int(generator(seed, Purpose.INIT).integers(2**62)))
                self.build(facts)
            self._facts = facts  # needed to encode trials between the stages
            try:
                stages = begun(self.stages(trials, validation), self, start)
                self.history = train(
                    stages,
                    seed=seed,
                    n_stages=len(self.stage_names) or None,
                    out=folder,
                    progress=progress,
                    after_validation=after_validation,
                )
            except BaseException:
                self._facts = None  # a model whose training stopped cannot sample
                raise
            self.eval()
            if folder is not None and accelerator().is_main_process:
                self.save(folder / "model")
                log(folder, f"finished {type(self).__name__} after {counted(len(self.history), 'line')} of history")
            return self

    @final
    def sample(
        self,
        n_trials: int | None = None,
        *,
        n_bins: int | None = None,
        like: Trials | None = None,
        condition: ConditionArgument = None,
        guidance: float | None = None,
        codes: ArrayLike | None = None,
        rows: Sequence[int] | None = None,
        seed: int = 0,
        sampler: Sampler | None = None,
        max_batch: int | None = None,
        progress: bool | None = None,
    ) -> Trials:
        """Generate trials: counts, and rates, latents or codes.

        Args:
            n_trials: Number of trials. It may be left out with `like` or `codes`, which determine it.
            n_bins: Length of every trial. `None` draws lengths from the lengths of the training trials.
            like: Trials whose lengths are copied. If `condition` names conditions, the conditions and behaviour of
                these trials are copied, too.
            condition: Names of conditions, whose values come from `like` or are drawn from the training trials; or name
                -> value, one value for all trials or one per trial. `None` draws the conditions of each trial from one
                training trial; a model that is conditioned on a series then samples without conditions. `()` samples
                without conditions.
            guidance: Strength of the condition: 0 ignores the condition, more than 1 exaggerates it. `None` uses the
                model's guidance.
            codes: Code of each trial (trial, code), for models that have codes.
            rows: Numbers of the trials that this call generates; `None` generates all of them. So a large request can
                be divided among several calls or machines.
            seed: Random seed. With the same seed, trial 17 is the same alone or among others, up to rounding.
            sampler: Sampler that replaces the model's sampler or student.
            max_batch: Largest number of trials in memory at once. `None` uses `batch` of the model.
            progress: Show progress; None shows it on a terminal.

        Raises:
            ConditionError: if the model was not trained with such a condition, or a value is wrong.
            SettingError: if the numbers of trials or bins are invalid, or the model does not use an option.
            ShapeError: if `like` has other neurons than the training trials, by name or id.

        Warns:
            NeuronOrderWarning: if the neurons of `like` come in another order. Trials are generated in that order.
        """
        facts = self.facts
        self._check_options(condition=condition, guidance=guidance, sampler=sampler, codes=codes)
        neuron_order = None if like is None else facts.order_of(like)
        checked_codes = None if codes is None else self.checked_codes(np.asarray(codes, np.float32))
        part = rows_of(facts, n_trials, n_bins, like, codes=checked_codes, rows=rows, seed=seed)
        values = facts.conditions.values(condition, like, part)
        strength = self.guidance if guidance is None else guidance

        def generate(batch: np.ndarray) -> Generated:
            """Generate the trials with the numbers `part.numbers[batch]`."""
            trial = part.numbers[batch]
            lengths = part.lengths[batch]
            noise = Streams(seed, Purpose.SAMPLE, 0, trial)
            spikes = Streams(seed, Purpose.SPIKES, 0, trial)
            longest = int(lengths.max())
            # of a series (trial, time, dim), only the bins of this batch
            batch_values = {
                name: value[batch][:, :longest] if value.ndim > 2 else value[batch] for name, value in values.items()
            }
            encoded = facts.conditions.encode(batch_values) if values else None
            batch_codes = None if checked_codes is None else checked_codes[trial]
            return self.draw(Request(lengths, noise, spikes, encoded, strength, sampler, batch_codes))

        self.eval()
        size = batch_size(part.longest, largest=max_batch or self.batch)
        result = in_batches(
            generate, len(part.numbers), part.longest, batch=size, description="sample", progress=progress
        )
        labels = labels_of(facts.conditions, values, None if condition is None else like, part)
        fake = Trials(
            bin_width=facts.bin_width,
            lengths=part.lengths,
            neuron_table=facts.neuron_table,
            source=type(self).__name__,
            counts=result.counts,
            rates=result.rates,
            latents=result.latents,
            codes=result.codes,
            conditions=labels.conditions,
            behavior=labels.behavior,
            units=labels.units,
            conditioned_on=tuple(values) if codes is None else None,  # a code may contain any variable of its trial
        )
        # argsort inverts the order: the neurons return from the model's order to that of `like`
        return fake if neuron_order is None else fake.select_neurons(np.argsort(neuron_order))

    @final
    def stream(
        self,
        *,
        n_bins: int | None = None,
        condition: ConditionArgument = None,
        guidance: float | None = None,
        chunk: int | None = None,
        seed: int = 0,
        sampler: Sampler | None = None,
    ) -> Iterator[Trials]:
        """Generate one endless trial in chunks, in constant memory; for LDNS see `diffusion.stream`.

        Args:
            n_bins: Bins after which the trial ends. `None` ends it with the series of `condition`, or never.
            condition: As in `sample`; a series is an array (time, dim) or an iterator of pieces (bins, dim). `None`
                draws the conditions once, from one training trial.
            guidance: Strength of the condition. `None` uses the model's guidance.
            chunk: Bins of each chunk. `None` uses the length of the longest training trial.
            seed: Random seed. Unless the model has a student, the stream is the first trial of `sample` with this
                seed, up to rounding.
            sampler: Sampler that replaces the model's sampler; it must evaluate the network once per step.

        Returns:
            `Trials` of one trial each: the next chunk, with its conditions and behaviour.

        Raises:
            ConditionError: as in `sample`. If a series comes in pieces, the error is raised when the invalid piece is
                read.
            SettingError: if a number is invalid, the model generates no streams or does not use an option, or the
                sampler evaluates the network more than once per step.
        """
        facts = self.facts
        self._check_options(condition=condition, guidance=guidance, sampler=sampler)
        size = chunk_size(facts, n_bins, chunk)
        conditions = StreamConditions(facts.conditions, condition, seed=seed)
        strength = self.guidance if guidance is None else guidance
        pieces = self.eval().unroll(StreamRequest(seed, conditions, n_bins, strength, sampler))
        return chunks(pieces, size, conditions, facts, source=type(self).__name__)

    @final
    def live(
        self,
        seed: int = 0,
        *,
        condition: ConditionArgument = None,
        guidance: float | None = None,
        batch: int = 1,
        sampler: Sampler | None = None,
    ) -> Live:
        """Begin trials that are generated one bin at a time.

        In a causal model, no bin depends on later conditions, and every step may change the conditions. A model that is
        not causal but generates streams can begin one live trial: its stream, returned bin by bin. A bin of this trial
        depends on the conditions of up to `Live.lookahead` later bins.

        Args:
            seed: Random seed. Trial k has the counts of trial k of `sample` with the same seed and conditions.
            condition: Names of the conditions that the trials follow, or name -> value in the first bins. For a model
                that is not causal, as in `stream`. `None` and `()` are as in `sample`.
            guidance: Strength of the condition. `None` uses the model's guidance.
            batch: Number of trials; 1 for models that are not causal.
            sampler: Sampler that replaces the model's sampler.

        Raises:
            ConditionError: if the model was not trained with such a condition, or a value is wrong.
            SettingError: if the model generates no streams, or does not use an option or several trials.
        """
        self._check_options(condition=condition, guidance=guidance, sampler=sampler)
        if batch < 1:
            raise SettingError("Live trials need batch >= 1.", f"It was {batch}.", "Leave batch out for one trial.")
        facts = self.facts
        strength = self.guidance if guidance is None else guidance
        self.eval()
        if self.capabilities.stream and not self.capabilities.live:  # a model that is not causal
            series = StreamConditions(facts.conditions, condition, seed=seed)
            course = self.ahead(StreamRequest(seed, series, None, strength, sampler))
            return live_stream(course, facts.conditions, batch=batch)
        noise = Streams(seed, Purpose.SAMPLE, 0, range(batch))
        spikes = Streams(seed, Purpose.SPIKES, 0, range(batch))
        conditions = LiveConditions(facts.conditions, condition, batch=batch, seed=seed)
        return Live(self.begin(Start(noise, spikes, conditions.present, strength, sampler)), conditions, batch=batch)

    @final
    def encode(self, trials: Trials, *, max_batch: int = 64, progress: bool | None = None) -> Trials:
        """Return the same trials with the rates, latents or codes that the model infers from them.

        Neurons with names or ids may come in any order. The rates have the same order as the neurons of `trials`.

        Raises:
            ShapeError: if bin width or neurons differ from the training trials.

        Warns:
            NeuronOrderWarning: if the neurons come in another order than in the training trials.
        """
        ordered, order = self.facts.ordered(trials)

        def infer(rows: np.ndarray) -> Inferred:
            """Infer rates, latents or codes of one batch of trials."""
            batch = ordered.select(rows)
            longest = int(batch.lengths.max())
            return self.infer(
                as_float(signal_of(batch, self.reads)[:, :longest]), torch.from_numpy(batch.mask[:, :longest])
            )

        self.eval()
        size = batch_size(trials.n_bins, largest=max_batch)
        result = in_batches(infer, len(trials), trials.n_bins, batch=size, description="encode", progress=progress)
        rates = result.rates
        if rates is not None and order is not None:
            rates = rates[:, :, np.argsort(order)]  # back from the model's order to the order of these trials
        return replace(
            trials,
            rates=trials.rates if rates is None else rates,
            latents=trials.latents if result.latents is None else result.latents,
            codes=trials.codes if result.codes is None else result.codes,
        )

    @final
    def in_training_order(self, trials: Trials) -> Trials:
        """Return the same trials with their neurons in the order of the training trials.

        Raises:
            ShapeError: if bin width or neurons differ from the training trials.

        Warns:
            NeuronOrderWarning: if the neurons come in another order than in the training trials.
        """
        return self.facts.ordered(trials)[0]

    @final
    def save(self, folder: str | PathLike[str]) -> None:
        """Write the model folder: config, weights, recipe, history and, last, the manifest of their hashes."""
        facts = self.facts
        write_model(
            ensure_folder(folder),
            settings=describe(self),
            recipe=recipe_text(self),
            facts=facts,
            weights=self.state_dict(),
            history=self.history,
        )

    @final
    def restore(self, folder: str | PathLike[str]) -> "Model":
        """Load weights and facts that a model with equal settings has saved in a folder.

        Raises:
            CorruptFileError: if a file is damaged, or its tensors do not fit this model.
        """
        folder = Path(folder)
        facts = Facts.read(read_config(folder)["facts"])
        self.build(facts)
        self.load_state_dict(read_weights(folder, self.state_dict()))
        self._facts = facts
        self.history = read_history(folder)
        return self.eval()

    # --- state ----------------------------------------------------------------------------------------------

    @property
    def facts(self) -> Facts:
        """Facts about the training trials. Raises a TrainingError before the model is trained."""
        if self._facts is None:
            raise TrainingError(
                "A model must be trained before it samples, encodes or is saved.",
                f"This {type(self).__name__} was only constructed.",
                "Call model.fit(trials), or load a saved one with load_model(folder).",
            )
        return self._facts

    @property
    def is_trained(self) -> bool:
        """True if the model has been fitted or loaded."""
        return self._facts is not None

    def __repr__(self) -> str:
        size = [counted(self.n_neurons, "neuron"), *([self.size] if self.size else [])]
        if self.condition:
            size.append(f"conditions {', '.join(self.condition)}")
        return f"{type(self).__name__}({', '.join(size)}; {self._training_in_words()})"

    def _repr_html_(self) -> str:
        """Return a table about the model for notebooks."""
        parameters = (
            f"{sum(parameter.numel() for parameter in self.parameters()):,} parameters" if self.is_trained else ""
        )
        rows = {
            "neurons": str(self.n_neurons),
            "size": ", ".join(part for part in (self.size, parameters) if part),
            "conditions": ", ".join(self.condition) or "none",
            "training": self._training_in_words(),
        }
        return html.table(type(self).__name__, rows | (dict(self.notes) if self.is_trained else {}))

    def _training_in_words(self) -> str:
        """Return the number and size of the training trials, for `repr`, or "not trained"."""
        if self._facts is None:
            return "not trained"
        lengths = list(self._facts.lengths)
        facts = self._facts
        bins = counted(lengths[0], "bin") if len(lengths) == 1 else f"{min(lengths)} to {max(lengths)} bins"
        return f"trained on {counted(facts.n_trials, 'trial')} of {bins} of {1000 * facts.bin_width:g} ms"

    # --- inside --------------------------------------------------------------------------------------------------

    def checked_codes(self, codes: np.ndarray) -> np.ndarray:
        """Check codes (trial, code) that a caller has passed to `sample`, and return them; see `Coded`."""
        return codes

    def _check_options(self, *, condition: ConditionArgument, guidance: float | None, **others: object) -> None:
        """Raise a SettingError for options that this model does not use."""
        if self._only_infers:
            raise self._refusal(
                "generates no trials here",
                "It is a part of another model, which trained it only to infer rates and latents.",
                "Sample from the other model.",
            )
        options = {"condition": condition or None, "guidance": guidance, **others}  # () requests no condition
        unused = [
            name for name, value in options.items() if value is not None and name not in self.capabilities.options
        ]
        if unused:
            raise self._refusal(
                f"does not use {' and '.join(unused)}",
                f"It got {', '.join(f'{name}={options[name]!r}' for name in unused)}.",
                f"Leave {'it' if len(unused) == 1 else 'them'} out.",
            )
        if guidance is not None and not self.facts.conditions.requested(condition):
            raise SettingError(
                "guidance is the strength of a condition.",
                f"It was {guidance}, but there is no condition.",
                "Pass a condition, or leave guidance out.",
            )

    def _refusal(self, what: str, got: str, do: str) -> SettingError:
        """Return the error of a request that this model cannot fulfil; `what` continues the name of its class."""
        return SettingError(f"{type(self).__name__} {what}.", got, do)

    def _plans(self) -> dict[str, Plan]:
        """Return setting -> plan, of this model and of models that are parts of it (such as "signal_model.plan")."""
        plans: dict[str, Plan] = {}
        for name, part in self.named_modules():  # the name of this model is ""
            if isinstance(part, Model):
                own_plans = {setting: value for setting, value in vars(part).items() if isinstance(value, Plan)}
                plans |= {f"{name}.{setting}".lstrip("."): plan for setting, plan in own_plans.items()}
        return plans

    def _identity(self, trials: Trials, validation: Trials | None, seed: int, start: str | None) -> Identity:
        """Return the identity of a training run of this model."""
        signal = self.reads
        columns = self.condition
        return run_identity(
            describe(self),
            trials_identity(trials, signal=signal, columns=columns),
            None if validation is None else trials_identity(validation, signal=signal, columns=columns),
            seed=seed,
            start=start,
            plans=self._plans(),
            n_processes=accelerator().num_processes,
        )


def as_float(counts: np.ndarray) -> Tensor:
    """Return counts of any integer type as a float32 tensor."""
    return torch.from_numpy(counts.astype(np.float32))


def as_tensors(trials: Trials) -> dict[str, Tensor]:
    """Return counts and mask as the data of a training stage."""
    return {"counts": torch.from_numpy(trials.counts.copy()), "mask": torch.from_numpy(trials.mask)}
