"""`Model`: what every generative model of spiking has in common.

Final here: fit, sample, stream, encode, save, restore. A model of a paper is one file in `models` with four
methods: `build` makes the networks for a recording, `stages` yields the training stages in order, `draw` generates a
batch, `infer` encodes one; a fifth, `unroll`, where it can go on without end. What a model needs in order to speak
(latent mean and sd, rate scales, trial lengths, bin width) is part of it: buffers, saved with the weights.
"""

import abc
import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from spikeloom.errors import CorruptFileError, SettingError, TrainingError
from spikeloom.files import (
    atomic_write,
    check_manifest,
    ensure_folder,
    read_json,
    read_tensors,
    write_json,
    write_manifest,
    write_tensors,
)
from spikeloom.models.common.facts import Facts, check_fit
from spikeloom.models.common.request import Request, asked, asked_codes, asked_lengths, labelled, read
from spikeloom.models.common.settings import describe, recipe_text
from spikeloom.models.common.streaming import StreamRequest, Told, checked_chunk, chunks
from spikeloom.seeds import Purpose, Streams, generator
from spikeloom.training.identity import claim, run_identity, trials_identity
from spikeloom.training.lock import only_process
from spikeloom.training.plan import Plan
from spikeloom.training.processes import accelerator
from spikeloom.training.start import begun, start_hash
from spikeloom.training.train import Stage, Watching, train
from spikeloom.trials import Trials

FORMAT = "spikeloom-model"
VERSION = 2
"""Version of the model folder. Version 2 names the tensors by the three slots of the observation model."""

BINS_AT_ONCE = 2**16
"""Bins of one batch of a sampling run; longer trials come in smaller batches, so memory stays bounded."""


class Model(nn.Module, abc.ABC):
    """A generative model of spike trains. Constructor arguments are settings, plain values or small frozen objects."""

    reads: str = "counts"  # field of the trials that `infer` is given: counts, rates or latents

    def __init__(self) -> None:
        super().__init__()
        self.facts: Facts | None = None
        self.guidance = 1.0  # strength of conditions unless asked otherwise
        self.history: list[dict[str, Any]] = []

    # --- what a paper's file has to say --------------------------------------------------------------------------

    @abc.abstractmethod
    def build(self, facts: Facts) -> None:
        """Make the networks and buffers for such a recording; called before fitting and before loading weights."""

    @abc.abstractmethod
    def stages(self, trials: Trials, watch: Trials | None) -> Iterator[Stage]:
        """Training stages in order. What stands between two yields runs once the first is trained, and on a resume."""

    @abc.abstractmethod
    def draw(self, request: Request) -> dict[str, np.ndarray]:
        """Arrays (trial, time, ...) of one batch of generated trials: counts, and rates, latents or codes."""

    @abc.abstractmethod
    def infer(self, counts: Tensor, mask: Tensor) -> dict[str, np.ndarray]:
        """Arrays (trial, time, ...) inferred from one batch of counts: rates, and latents or codes."""

    def unroll(self, request: StreamRequest) -> Iterator[dict[str, np.ndarray]]:
        """Arrays (1, bins, ...) as `draw` gives them, of consecutive pieces of one trial that goes on."""
        raise SettingError(
            f"{type(self).__name__} generates trials, not streams.",
            f"A stream was asked for with seed {request.seed}.",
            "Use sample, with as many bins as you need.",
        )

    # --- verbs ---------------------------------------------------------------------------------------------------

    @final
    def fit(
        self,
        trials: Trials,
        *,
        watch: Trials | None = None,
        seed: int = 0,
        out: str | PathLike[str] | None = None,
        start: str | PathLike[str] | None = None,
        progress: bool | None = None,
        watching: Watching | None = None,
    ) -> "Model":
        """Train every stage; the model speaks afterwards.

        Args:
            trials: Training trials.
            watch: Trials on which the best weights of each stage are chosen; disjoint from training and test trials.
            seed: Of the initial weights and of every draw.
            out: Run folder for checkpoints, log and the finished model. An unfinished run of the same settings, data
                and seed is resumed; a finished one is loaded.
            start: Model folder whose weights the training begins at, of networks of the same shapes.
            progress: Show progress; None shows it on a terminal.
            watching: Called after each look at the watch trials; see `training.train`.

        Raises:
            DataError: if there are too few trials or no spikes.
            SettingError: if `out` holds a run of other settings, data or seed; the message names what differs.
            FileError: if another process trains in `out`.
            TrainingError: if the loss stays not finite.
        """
        watch = check_fit(trials, watch)
        facts = Facts.of(trials, getattr(self, "condition", ()))
        folder = None if out is None else ensure_folder(out)
        lock = contextlib.nullcontext() if folder is None else self._lock(folder)
        with lock:
            if folder is not None and self._claim(folder, trials, watch, seed, start_hash(start)):
                return self.restore(folder / "model")
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(generator(seed, Purpose.INIT).integers(2**62)))
                self.build(facts)
            self.facts = facts  # stages encode trials between them
            try:
                stages = begun(self.stages(trials, watch), self, start)
                self.history = train(stages, seed=seed, out=folder, progress=progress, watching=watching)
            except BaseException:
                self.facts = None  # a model whose training stopped cannot sample
                raise
            self.eval()
            if folder is not None and accelerator().is_main_process:
                self.save(folder / "model")
                _log(folder, f"finished {type(self).__name__} after {len(self.history)} lines of history")
            return self

    @final
    def sample(
        self,
        trials: int | None = None,
        *,
        bins: int | None = None,
        like: Trials | None = None,
        condition: str | Sequence[str] | Mapping[str, Any] | None = None,
        guidance: float | None = None,
        codes: Any = None,
        rows: Sequence[int] | None = None,
        seed: int = 0,
        sampler: Any = None,
        max_batch: int = 64,
        progress: bool | None = None,
    ) -> Trials:
        """Generate trials: counts, rates and latents or codes.

        Args:
            trials: How many; as many as `like` has, if that is given.
            bins: Length of every trial; drawn from the lengths of the training trials if absent.
            like: Trials whose lengths are copied, and, for conditional samples, conditions and behaviour.
            condition: What the model is told: names of conditions (values from `like`, or drawn from the training
                trials), or name -> value for all trials or one per trial. None samples unconditionally.
            guidance: Strength of the condition: 0 ignores it, more than 1 exaggerates it; the model's own if absent.
            codes: Code of each trial (trial, code), for models that have them; says how many trials, too.
            rows: Draw only these of the trials asked for, by number: a large request in parts, or on several machines.
            seed: Trial 17 of a seed is the same alone or among others, to rounding.
            sampler: Replaces the model's own sampler.
            max_batch: Largest number of trials in memory at once.
            progress: Show progress; None shows it on a terminal.

        Raises:
            ConditionError: if the model was not told such a condition in training, or a value is wrong.
            SettingError: if the numbers of trials or bins make no sense.
            ShapeError: if the neurons of `like` are others than those of the training trials, by name or id. The same
                neurons in another order are generated in that order, with a `NeuronOrderWarning`.
        """
        facts, given = self._trained(), asked_codes(self, codes)
        order = None if like is None else facts.order_of(like)
        lengths = asked_lengths(facts, trials, bins, like, seed, codes=given)
        told = asked(facts.variables, condition, like, lengths, seed)
        batch = max(1, min(max_batch, BINS_AT_ONCE // int(lengths.max())))
        wanted = np.arange(len(lengths))[slice(None) if rows is None else np.asarray(rows)]
        strength = self.guidance if guidance is None else guidance

        def part(places: np.ndarray) -> dict[str, np.ndarray]:
            trial = wanted[places]
            noise, spikes = (Streams(seed, purpose, 0, trial) for purpose in (Purpose.SAMPLE, Purpose.SPIKES))
            time = int(lengths[trial].max())
            values = {name: value[trial][:, :time] if value.ndim > 2 else value[trial] for name, value in told.items()}
            whole = facts.variables.encode(values) if told else None
            own = None if given is None else given[trial]
            return self.draw(Request(lengths[trial], noise, spikes, whole, strength, sampler, own))

        arrays: dict[str, Any] = self._in_batches(part, len(wanted), int(lengths.max()), batch, progress, "sample")
        labels = labelled(facts.variables, told, like, wanted, int(lengths.max()))
        fake = Trials(lengths=lengths[wanted], **facts.labels(type(self).__name__), **arrays, **labels)
        return fake if order is None else fake.select_neurons(np.argsort(order))

    @final
    def stream(
        self,
        *,
        bins: int | None = None,
        condition: str | Sequence[str] | Mapping[str, Any] | None = None,
        guidance: float | None = None,
        chunk: int | None = None,
        seed: int = 0,
        sampler: Any = None,
    ) -> Iterator[Trials]:
        """Generate one trial without end, a chunk at a time, in constant memory; for LDNS see `diffusion.stream`.

        Args:
            bins: Where it ends; None: where the series it is told end, or never.
            condition: As in `sample`; a series is an array (time, dim) or an iterator of pieces (bins, dim).
            guidance: Strength of the condition, the model's own if absent.
            chunk: Bins of each chunk; those of the longest training trial if absent.
            seed: With the default sampler the stream is the first trial of `sample` with that seed, to rounding.
            sampler: Replaces the model's own; one evaluation a step.

        Returns:
            `Trials` of one trial each: the next chunk, with what it was told.

        Raises:
            ConditionError: as `sample`; for series of pieces when the bad piece is read.
            SettingError: if a number makes no sense, or the sampler looks more than once a step.
        """
        facts = self._trained()
        size = checked_chunk(facts, bins, chunk)
        told = Told(facts.variables, condition, seed=seed)
        strength = self.guidance if guidance is None else guidance
        pieces = self.eval().unroll(StreamRequest(seed, told, bins, strength, sampler))
        return chunks(pieces, size, told, **facts.labels(type(self).__name__))

    @final
    def encode(self, trials: Trials, *, max_batch: int = 64, progress: bool | None = None) -> Trials:
        """The same trials with what the model infers from them: rates, and latents or codes.

        Neurons with names or ids may come in any order; the rates come in the order of these trials.

        Raises:
            ShapeError: if bin width or neurons are not those of the training trials.

        Warns:
            NeuronOrderWarning: if the neurons come in another order than in the training trials.
        """
        ordered, order = self._trained().ordered(trials)
        batch = max(1, min(max_batch, BINS_AT_ONCE // trials.time))

        def part(rows: np.ndarray) -> dict[str, np.ndarray]:
            some = ordered.select(rows)
            time = int(some.lengths.max())
            return self.infer(as_float(read(some, self.reads)[:, :time]), torch.from_numpy(some.mask[:, :time]))

        arrays = self._in_batches(part, len(trials), trials.time, batch, progress, "encode")
        if order is not None and "rates" in arrays:
            arrays["rates"] = arrays["rates"][:, :, np.argsort(order)]
        fields = {name: getattr(trials, name) for name in trials.__dataclass_fields__}
        return Trials(**{**fields, **arrays})

    @final
    def in_training_order(self, trials: Trials) -> Trials:
        """The same trials with their neurons in the order of the training trials; errors and warnings as `encode`."""
        return self._trained().ordered(trials)[0]

    @final
    def save(self, folder: str | PathLike[str]) -> None:
        """Write the model folder: config, weights, recipe, history and, last, the manifest of their hashes."""
        facts, folder = self._trained(), ensure_folder(folder)
        settings = describe(self)
        from spikeloom import __version__

        config = {"format": FORMAT, "version": VERSION, "spikeloom": __version__, "facts": asdict(facts)}
        write_json(folder / "config.json", {**config, "model": settings.pop("name"), "settings": settings})
        write_tensors(folder / "model.safetensors", self.state_dict())
        atomic_write(folder / "recipe.toml", recipe_text(self).encode())
        atomic_write(folder / "history.jsonl", "".join(json.dumps(row) + "\n" for row in self.history).encode())
        write_manifest(folder, ["config.json", "model.safetensors", "recipe.toml", "history.jsonl"])

    @final
    def restore(self, folder: str | PathLike[str]) -> "Model":
        """Take weights and facts from a model folder that a model of equal settings has saved.

        Raises:
            CorruptFileError: if a file is damaged, or its tensors are not this model's.
        """
        folder = Path(folder)
        config = read_config(folder)
        self.facts = Facts.read(config["facts"])
        self.build(self.facts)
        self._load(read_tensors(folder / "model.safetensors"), folder)
        self.history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
        return self.eval()

    # --- inside --------------------------------------------------------------------------------------------------

    def _load(self, tensors: dict[str, Tensor], folder: Path) -> None:
        mine = self.state_dict()
        wrong = sorted(set(mine) ^ set(tensors)) or [
            name
            for name, tensor in tensors.items()
            if tensor.shape != mine[name].shape or tensor.dtype != mine[name].dtype or not tensor.isfinite().all()
        ]
        if wrong:
            raise CorruptFileError(
                "A model's tensors must have the names, shapes and types of its settings, and be finite.",
                f"In {folder} these are not: {', '.join(wrong[:5])}{' ...' if len(wrong) > 5 else ''}.",
                "Restore the folder from a copy, or train again.",
            )
        self.load_state_dict(tensors)

    def _trained(self) -> Facts:
        if self.facts is None:
            raise TrainingError(
                "A model must be trained before it samples, encodes or is saved.",
                f"This {type(self).__name__} was only constructed.",
                "Call model.fit(trials), or load a saved one with load_model(folder).",
            )
        return self.facts

    def _lock(self, folder: Path) -> contextlib.AbstractContextManager[None]:
        """Context in which this run alone trains in the folder; of several processes of a run the main one locks."""
        main = accelerator().is_main_process
        return only_process(folder, "training") if main else contextlib.nullcontext()

    def _claim(self, folder: Path, trials: Trials, watch: Trials | None, seed: int, start: str | None) -> bool:
        """Mark the run folder as this run's; True if it holds the finished model already."""
        process = accelerator()
        signal, columns = self.reads, getattr(self, "condition", ())
        identity = run_identity(
            describe(self),
            trials_identity(trials, signal=signal, columns=columns),
            None if watch is None else trials_identity(watch, signal=signal, columns=columns),
            seed=seed,
            start=start,
            plans={name: value for name, value in vars(self).items() if isinstance(value, Plan)},
            n_processes=process.num_processes,
        )
        claim(folder, identity, write=process.is_main_process)
        finished = (folder / "model" / "manifest.json").exists()
        if process.is_main_process and not finished:
            atomic_write(folder / "recipe.toml", recipe_text(self).encode())
            _log(folder, f"training {type(self).__name__}, seed {seed}, on {trials.source or 'trials'}")
        return finished

    def _in_batches(
        self,
        part: Callable[[np.ndarray], dict[str, np.ndarray]],
        trials: int,
        time: int,
        batch: int,
        progress: bool | None,
        what: str,
    ) -> dict[str, np.ndarray]:
        """Run `part` on consecutive trials and join what it returns, padded to `time` bins."""
        self.eval()
        joined: dict[str, np.ndarray] = {}
        hide = None if progress is None else not progress
        with torch.inference_mode(), tqdm(total=trials, unit="trial", desc=what, disable=hide, delay=2) as bar:
            for start in range(0, trials, batch):
                rows = np.arange(start, min(start + batch, trials))
                for name, value in part(rows).items():
                    if name not in joined:
                        shape = value.shape[2:] if value.ndim > 2 else value.shape[1:]
                        axes = (trials, time) if value.ndim > 2 else (trials,)
                        joined[name] = np.zeros((*axes, *shape), np.int64 if name == "counts" else np.float32)
                    if value.ndim > 2:
                        joined[name][rows, : value.shape[1]] = value
                    else:
                        joined[name][rows] = value
                bar.update(len(rows))
        return joined


def read_config(folder: Path) -> dict[str, Any]:
    """Read and check config.json of a model folder, whose files must have the hashes of its manifest.

    Raises:
        CorruptFileError: if a file is damaged, or the folder was written by another version of spikeloom.
    """
    check_manifest(folder)
    config = read_json(folder / "config.json")
    if config.get("format") != FORMAT or config.get("version") != VERSION:
        raise CorruptFileError(
            f"This spikeloom reads model folders of format {FORMAT!r}, version {VERSION}.",
            f"{folder} has format {config.get('format')!r}, version {config.get('version')!r}.",
            "Fit the model again, or use the spikeloom that wrote it.",
        )
    return config


def _log(folder: Path, line: str) -> None:
    with (folder / "log.txt").open("a") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")


def as_float(counts: np.ndarray) -> Tensor:
    """Counts of any integer type as a float32 tensor."""
    return torch.from_numpy(counts.astype(np.float32))


def as_tensors(trials: Trials) -> dict[str, Tensor]:
    """Counts and mask, as a stage that learns from counts takes them."""
    return {"counts": torch.from_numpy(trials.counts.copy()), "mask": torch.from_numpy(trials.mask)}
