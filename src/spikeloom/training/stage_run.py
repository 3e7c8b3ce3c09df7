"""The training of one stage: its updates, its validations and its checkpoints.

A stage is trained with the optimiser AdamW for `plan.updates` updates. Let B be the trials of update k. Each trial i
has a loss total_i, a sum over its entries, and a weight_i, usually the number of these entries. The loss is
L_k = sum_{i in B} total_i / sum_{i in B} weight_i. Totals and weights are summed before the division, so dividing B
into micro-batches or among processes changes L_k by rounding errors only. Process p of P takes the trials p, p + P, ...
of B. The random numbers of an update are explained in `training.train`.
"""

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

import torch
from accelerate import Accelerator
from pydantic import TypeAdapter
from torch import Tensor, nn

from spikeloom.errors import SettingError, TrainingError
from spikeloom.files import write_json
from spikeloom.nn.ssm import keep_kernels
from spikeloom.seeds import Purpose, Streams, generator
from spikeloom.training.checkpoint import Checkpoint, Checkpoints, History, Line
from spikeloom.training.ema import Average
from spikeloom.training.memory import peak_memory
from spikeloom.training.optimizer import adamw, load_optimizer, optimizer_tensors
from spikeloom.training.progress import Progress, StopRequest
from spikeloom.training.stage import LossTerms, Stage, finite, likely_cause, means, parts_of, sizes, trials_of

SAVE_EVERY = 60.0
"""Longest time between two checkpoints, s."""

SAVE_PAUSE = 5.0
"""Shortest time between two checkpoints, s. After this time, a checkpoint is written at the next validation."""

BAD_IN_A_ROW = 10
"""A run stops after this number of updates in a row in which the loss or the gradient was not finite."""

AfterValidation = Callable[[Line, float], None]
"""Function that is called after a validation with its line of history and the share of the stage's updates that are
done. It may raise an exception to stop the training."""


class _Loss(nn.Module):
    """The loss as a module around the trained module: PyTorch adds up gradients of processes only for modules."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.module = stage.module
        self.loss = stage.loss

    def forward(self, batch: dict[str, Tensor], streams: Streams) -> LossTerms:
        """Return the loss terms of a batch."""
        return self.loss(batch, streams)


@dataclass
class _State:
    """Plain numbers of an unfinished stage, which are stored in its checkpoints.

    Args:
        update: Number of updates that are done.
        skipped: Number of updates that changed no weights, because the loss or the gradient was not finite.
        bad: Number of skipped updates since the last update that was not skipped.
        best_loss: Lowest validation loss; None before the first validation.
        best_update: Update with the lowest validation loss; -1 before the first validation.
        seconds: Duration of the updates.
        sums: Sums of losses and weights since the last line of history.
    """

    update: int = 0
    skipped: int = 0
    bad: int = 0
    best_loss: float | None = None
    best_update: int = -1
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)


class StageRun:
    """The training of one stage: its loop, its validations and its checkpoints.

    Args:
        stage: The stage.
        title: Name of the stage on the screen.
        number: Number of the stage in its run, counted from 0; with the seed, it determines all random numbers.
        seed: Random seed of the run.
        accelerator: Connection to the device and to the other processes.
        checkpoints: Folder of the checkpoints; None writes none.
        history: History of the run, which gets a line per logged update.
        after_validation: Function that is called after each validation; None calls none.
    """

    def __init__(
        self,
        stage: Stage,
        title: str,
        number: int,
        seed: int,
        accelerator: Accelerator,
        checkpoints: Checkpoints | None,
        history: History,
        after_validation: AfterValidation | None,
    ) -> None:
        self.stage = stage
        self.title = title
        self.plan = stage.plan
        self.module = stage.module
        self.accelerator = accelerator
        self.checkpoints = checkpoints
        self.history = history
        self.after_validation = after_validation
        self.seed = int(generator(seed, Purpose.STAGE, number).integers(2**63))  # s in `training.train`
        self.n_trials, self.batch = sizes(stage, accelerator.num_processes)  # training trials; trials per update
        self.loss = accelerator.prepare(_Loss(stage))
        self.optimizer = adamw(self.module, self.plan)
        self.average = None if self.plan.average is None else Average(self.module, limit=self.plan.average)
        self.best: dict[str, Tensor] | None = None  # state of the module with the lowest validation loss
        self.state = _State()
        # A checkpoint is accepted only if these entries are equal: seed, stage, plan, and type and shape of all data.
        self.identity = {"seed": seed, "stage": stage.name, "number": number, "plan": asdict(self.plan)} | {
            group: {name: [str(value.dtype), *value.shape] for name, value in (data or {}).items()}
            for group, data in (("data", stage.data), ("validation", stage.validation))
        }

    # --- the loop ----------------------------------------------------------------------------------------------------

    def train(self, *, show: bool, stop: StopRequest) -> None:
        """Train to the last update, and then put the final weights into the module."""
        plan = self.plan
        state = self.state
        bar = self.progress(show=show)
        last_save = time.monotonic()
        self.module.train()
        with contextlib.closing(bar):
            while state.update < plan.updates:
                began = time.monotonic()
                rows = trials_of(state.update, n_trials=self.n_trials, batch=self.batch, seed=self.seed)
                sums, norm = self.compute_gradient(rows, stop=stop.requested)
                self.update_weights(sums, norm, rows)
                state.update += 1
                state.seconds += time.monotonic() - began
                if plan.logs(state.update):
                    self.log_update(norm)
                interrupted = sums["stop"] > 0  # if any process received a request to stop
                pause = SAVE_PAUSE if plan.validates(state.update) else SAVE_EVERY
                if interrupted or time.monotonic() - last_save >= pause:
                    self.save_checkpoint()
                    last_save = time.monotonic()
                bar.show_update(state.update, sums["total"] / sums["weight"] if sums["weight"] else math.nan)
                if interrupted:
                    raise KeyboardInterrupt
        self.keep_final_weights()

    def progress(self, *, show: bool) -> Progress:
        """Return the progress of this stage, shown by the main process only."""
        n_processes = self.accelerator.num_processes
        name = self.title + (f" ({n_processes} processes)" if n_processes > 1 else "")
        show = show and self.accelerator.is_main_process
        long = None if self.stage.validation is None else self.plan.validates  # updates with a validation take longer
        return Progress(name, updates=self.plan.updates, done=self.state.update, show=show, long=long)

    def compute_gradient(self, rows: list[int], *, stop: bool) -> tuple[dict[str, float], float]:
        """Compute the clipped gradient of one update, in the attribute `grad` of each parameter.

        Args:
            rows: Numbers of the trials of the update, over all processes.
            stop: True to request a stop of all processes.

        Returns:
            The sums from which the loss is computed (see `sum_over_processes`), and the norm of the gradient before
            clipping.
        """
        self.optimizer.zero_grad()
        n_processes = self.accelerator.num_processes
        own_rows = rows[self.accelerator.process_index :: n_processes]  # trials of this process
        losses = []
        micro_batches = _pieces(own_rows, self.plan.micro or len(own_rows))
        for micro_batch in micro_batches:
            is_last = micro_batch is micro_batches[-1]
            # Processes exchange gradients once, at the last micro-batch.
            with contextlib.nullcontext() if is_last else self.accelerator.no_sync(self.loss):
                terms = self.evaluate_loss(self.loss, self.stage.data, micro_batch, Purpose.TRAIN, self.state.update)
                self.accelerator.backward(terms.total)
            parts = {name: value.detach() for name, value in terms.parts.items()}  # frees the memory of the graph
            losses.append(LossTerms(terms.total.detach(), terms.weight, parts))
        sums = self.sum_over_processes(losses, stop=stop)
        gradients = [value.grad for value in self.module.parameters() if value.grad is not None]
        # Each `grad` is a mean over processes. Multiplied by their number, it is the sum over all trials.
        scale = n_processes / sums["weight"] if sums["weight"] else math.nan
        norm = float(nn.utils.get_total_norm(gradients)) * scale
        scale *= min(1.0, self.plan.clip / (norm + 1e-6))  # 1e-6 as in PyTorch, against a norm of 0
        for value in gradients:
            value.mul_(scale)
        return sums, norm

    def update_weights(self, sums: Mapping[str, float], norm: float, rows: list[int]) -> None:
        """Update the weights and their moving average, or skip the update if loss or gradient are not finite.

        After ten skipped updates in succession, the run stops.

        Args:
            sums: Sums over the trials, from which the loss is computed (see `sum_over_processes`).
            norm: Norm of the gradient.
            rows: Numbers of the trials of the update, for the message of an error.
        """
        state = self.state
        if not (math.isfinite(sums["total"]) and math.isfinite(norm)):
            state.skipped += 1
            state.bad += 1
            if state.bad == BAD_IN_A_ROW:
                self.stop_training(sums, norm, rows)
            return
        state.bad = 0
        learning_rate = self.plan.learning_rate_at(state.update)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group["share"]  # see `adamw`
        self.optimizer.step()
        if self.average is not None:
            self.average.add(state.update)
        for name, value in sums.items():
            state.sums[name] = state.sums.get(name, 0.0) + value

    def log_update(self, norm: float) -> None:
        """Append a line to the history, with the validation loss if a validation is due."""
        state = self.state
        mean = means(state.sums)
        state.sums = {}
        line: Line = {
            "stage": self.stage.name,
            "update": state.update,
            "loss": mean.get("total"),
            "parts": parts_of(mean),
            "learning_rate": self.plan.learning_rate_at(state.update - 1),  # of the update that is just done
            "gradient_norm": finite(norm),
            "skipped": state.skipped,
            "seconds": round(state.seconds, 3),
            "memory_gb": round(peak_memory(), 3),
        }
        validation = self.stage.validation if self.plan.validates(state.update) else None
        if validation is not None:
            mean = self.validate(validation)
            line["validation"] = mean.get("total")
            line["validation_parts"] = parts_of(mean)
        self.history.append(line, write=self.accelerator.is_main_process)
        if self.after_validation is not None and validation is not None:
            with self.averaged_weights():
                self.after_validation(line, state.update / self.plan.updates)
            self.module.train()  # the function may have set another mode

    @torch.no_grad()
    @keep_kernels()
    def validate(self, validation: Mapping[str, Tensor]) -> dict[str, float | None]:
        """Return the mean loss and its parts on the validation trials, and keep the weights if they are the best.

        The averaged weights are used, if the plan averages. The noise is the same at every validation.
        """
        state = self.state
        n_trials = len(next(iter(validation.values())))
        own_rows = list(range(n_trials))[self.accelerator.process_index :: self.accelerator.num_processes]
        # Pieces as large as a training batch fit into memory.
        batches = _pieces(own_rows, self.plan.micro or self.batch)
        with self.averaged_weights():
            self.module.eval()
            # The random numbers are those of update 0, so that all validations can be compared.
            losses = [self.evaluate_loss(self.stage.loss, validation, rows, Purpose.VALIDATION, 0) for rows in batches]
            self.module.train()
            mean = means(self.sum_over_processes(losses, stop=False))
            loss = mean.get("total")
            if loss is not None and (state.best_loss is None or loss < state.best_loss):
                state.best_loss = loss
                state.best_update = state.update
                self.best = {name: value.detach().clone() for name, value in self.module.state_dict().items()}
        return mean

    def averaged_weights(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which the module holds the averaged weights, if the plan averages."""
        return contextlib.nullcontext() if self.average is None else self.average.applied()

    # --- parts of an update ------------------------------------------------------------------------------------------

    def evaluate_loss(
        self, loss: Callable[..., LossTerms], data: Mapping[str, Tensor], rows: list[int], purpose: Purpose, update: int
    ) -> LossTerms:
        """Return the loss terms of a batch, computed in the precision of the plan.

        Args:
            loss: Loss of the stage, or its module `_Loss`.
            data: Training or validation trials.
            rows: Numbers of the trials of the batch.
            purpose: Purpose of the random numbers.
            update: Number of the update, for the random numbers.
        """
        device = self.accelerator.device
        index = torch.tensor(rows)
        batch = {name: value[index].to(device) for name, value in data.items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=self.plan.precision == "bf16"):
            return loss(batch, Streams(self.seed, purpose, update, rows))

    def sum_over_processes(self, losses: list[LossTerms], *, stop: bool) -> dict[str, float]:
        """Add up losses over micro-batches and processes.

        Args:
            losses: Loss terms of each micro-batch of this process.
            stop: True if this process received a request to stop.

        Returns:
            The sums "total" and "weight", "part NAME" for each summand of the loss, and "stop", the number of processes
            with a request to stop.
        """
        device = self.accelerator.device
        dtype = torch.float32 if device.type == "mps" else torch.float64  # Apple's GPUs have no float64
        parts = sorted(losses[0].parts) if losses else []
        table = []  # one row of sums per micro-batch
        for number, terms in enumerate(losses):
            stops = float(stop and number == 0)  # counted once per process
            row = [terms.total, terms.weight, stops, *(terms.parts[name] for name in parts)]
            table.append(torch.stack([torch.as_tensor(value).detach().to(device, dtype) for value in row]))
        sums = self.accelerator.reduce(torch.stack(table).sum(0), "sum")
        names = ["total", "weight", "stop", *(f"part {name}" for name in parts)]
        return dict(zip(names, sums.tolist(), strict=True))

    def stop_training(self, sums: Mapping[str, float], norm: float, rows: list[int]) -> None:
        """Save the last good weights and raise an error that names the likely cause; arguments as `update_weights`."""
        state = self.state
        stage = self.stage
        plan = self.plan
        failed_update = state.update
        cause = likely_cause(stage, rows, sums["total"])
        state.update -= BAD_IN_A_ROW - 1  # the weights have not changed since the last good update
        state.skipped -= BAD_IN_A_ROW
        state.bad = 0
        location = "The module holds the last good weights."
        if self.checkpoints is not None:
            self.save_checkpoint()
            report = {
                "stage": stage.name,
                "update": failed_update,
                "loss": sums["total"],
                "gradient_norm": norm,
                "trials": rows,
                "cause": cause,
            }
            if self.accelerator.is_main_process:
                write_json(self.checkpoints.folder / f"{stage.name}-failure.json", report)
            location = f"The last good weights are in {self.checkpoints.folder}."
        raise TrainingError(
            "Loss and gradient must be finite.",
            f"In stage {stage.name!r} {BAD_IN_A_ROW} updates in a row were not finite, the last one was update "
            f"{failed_update}: {cause}.",
            f"Lower the learning rate (now {plan.learning_rate:g}) or clip (now {plan.clip:g}), or repair the data. "
            f"{location}",
        )

    # --- files -------------------------------------------------------------------------------------------------------

    def resume(self, finished: list[str]) -> bool:
        """Resume from the newest undamaged checkpoint, if there is one.

        Args:
            finished: Names of the stages that are finished, for the history.

        Returns:
            True if the stage is finished already.
        """
        newest = None if self.checkpoints is None else self.checkpoints.newest(self.stage.name, run=self.identity)
        done = False
        if newest is not None:
            done, checkpoint = newest
            # The entry "run" is the identity of the run, which `newest` has compared.
            values = {name: value for name, value in checkpoint.state.items() if name != "run"}
            self.state = TypeAdapter(_State).validate_python(values)
            tensors = checkpoint.tensors
            _load_weights(self.module, tensors["model"])
            if not done:
                self.best = tensors.get("best")
                if self.average is not None:
                    self.average.load(tensors["average"])
                load_optimizer(self.optimizer, self.module, tensors["optimizer"])
        if not done:  # later lines of this stage are written again; lines of finished stages are kept
            is_main = self.accelerator.is_main_process
            self.history.rewind(finished, self.stage.name, self.state.update, write=is_main)
        return done

    def save_checkpoint(self) -> None:
        """Write a checkpoint, if the run has a folder and this is the main process."""
        if self.checkpoints is None or not self.accelerator.is_main_process:
            return
        tensors = {"model": dict(self.module.state_dict()), "optimizer": optimizer_tensors(self.optimizer, self.module)}
        if self.average is not None:
            tensors["average"] = self.average.weights
        if self.best is not None:
            tensors["best"] = self.best
        checkpoint = Checkpoint({"run": self.identity} | asdict(self.state), tensors)
        self.checkpoints.save(self.stage.name, self.state.update, checkpoint, best=self.state.best_update)

    def keep_final_weights(self) -> None:
        """Put the final weights into the module, and write them as the checkpoint of the finished stage.

        They are the weights with the lowest validation loss. Without validations they are the averaged weights, or, if
        the plan does not average, the weights of the last update.
        """
        if self.best is not None:
            _load_weights(self.module, self.best)
        elif self.average is not None:
            self.average.copy_to_module()
        if self.checkpoints is not None and self.accelerator.is_main_process:
            state = {"run": self.identity} | asdict(self.state)
            self.checkpoints.finish(self.stage.name, Checkpoint(state, {"model": dict(self.module.state_dict())}))


def _pieces(rows: list[int], size: int) -> list[list[int]]:
    """Divide a list into pieces of this size; the last one may be shorter."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _load_weights(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load the weights of a checkpoint, with an error for users if they do not fit the module."""
    try:
        module.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise SettingError(
            "A run can only be resumed with the settings that it started with.",
            f"The weights in the checkpoint do not fit the module: {error}.",
            "Use the old settings, choose another --out folder, or delete the old folder.",
        ) from error
