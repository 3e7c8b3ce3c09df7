"""The training of a student (`diffusion.student`): samples are drawn from its teacher, then the student learns them.

Each sample of the teacher has the length and the condition of a training trial. The condition is withheld from the same
share of the samples as in the training of the diffusion, so that the student also samples without conditions.
"""

import math
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from spikeloom.diffusion.guidance import Guided
from spikeloom.diffusion.student import Student
from spikeloom.nn.condition import Condition
from spikeloom.nn.ssm import keep_kernels
from spikeloom.seeds import Purpose, Streams, generator
from spikeloom.training.plan import Plan
from spikeloom.training.stage import Calculation, LossTerms, Stage

SEED = int(generator(0, Purpose.CALIBRATE, 4).integers(2**31))
"""Random seed of the teacher's samples. It is a large number, which users are unlikely to choose for their own."""

BATCH = 64
"""Number of samples of the teacher that are drawn together."""

PARTS = 10
"""Number of parts in which the teacher's samples are drawn. The progress bar advances after each part."""

VALIDATION = 20
"""One in 20 samples is used for validation of the student instead of training."""


def student_stages(
    student: Student,
    teacher: Guided,
    data: Mapping[str, Tensor],
    plan: Plan,
    *,
    n_samples: int,
    drop: float,
    bf16: bool,
) -> Iterator[Stage | Calculation]:
    """Draw samples of the teacher, and train the student on them, beginning with the weights of the teacher's network.

    Args:
        student: The student.
        teacher: Trained denoiser of the teacher with its guidance.
        data: Data on which the teacher was trained: latents, mask and conditions of trials.
        plan: Optimisation of the student.
        n_samples: Number of samples of the teacher.
        drop: Fraction of samples without their condition.
        bf16: Whether the teacher runs in bfloat16.
    """
    # number of the training trial that gives each sample its length and condition
    trial_of_sample = torch.from_numpy(generator(SEED, Purpose.ORDER).permutation(n_samples) % len(data["mask"]))
    samples = {name: value[trial_of_sample] for name, value in data.items() if name != "latents"}
    # 1 distinguishes this use of random numbers from others
    samples["present"] = torch.from_numpy(Streams(SEED, Purpose.ORDER, 1, range(n_samples)).uniform() >= drop)
    pieces: list[Tensor] = []

    def draw(first: int, last: int) -> None:
        """Draw the samples from `first` up to `last` - 1, and append them to `pieces`."""
        for start in range(first, last, BATCH):
            rows = range(start, min(start + BATCH, last))
            batch = {name: value[rows.start : rows.stop] for name, value in samples.items()}
            noise = Streams(SEED, Purpose.SAMPLE, 0, rows)
            pieces.append(_points_of_teacher(student, teacher, batch, noise, data["latents"].shape[2], bf16))

    edges = np.linspace(0, n_samples, PARTS + 1).astype(int).tolist()
    parts = {f"{last} of {n_samples}": partial(draw, first, last) for first, last in pairwise(edges)}
    yield Calculation("samples_of_teacher", parts, equal=True)
    samples["points"] = torch.cat(pieces)
    student.denoiser.load_state_dict(teacher.denoiser.state_dict())
    n_training = n_samples - math.ceil(n_samples / VALIDATION)
    training = {name: value[:n_training] for name, value in samples.items()}
    validation = {name: value[n_training:] for name, value in samples.items()}
    yield Stage("student", student, partial(distillation_loss, student), training, plan, validation)


def distillation_loss(student: Student, batch: Mapping[str, Tensor], _: Streams) -> LossTerms:
    """Return the squared error of the student's samples against the teacher's samples, summed over valid entries.

    The error is averaged over the levels of the student. The error of the final sample, at the last level, is also
    returned as the part "result". The loss draws no random numbers, because the student starts from the noise of the
    teacher.
    """
    mask = batch["mask"]
    expected = batch["points"]  # (trial, point, time, latent); the first point is the noise
    points = student(expected[:, 0], _condition(batch), None if mask.all() else mask)
    errors = (points - expected)[:, 1:].square().sum((0, 2, 3))  # of each point (point,)
    return LossTerms(errors.mean(), mask.sum() * expected.shape[-1], {"result": errors[-1].detach()})


@torch.no_grad()
def _points_of_teacher(
    student: Student, teacher: Guided, batch: Mapping[str, Tensor], streams: Streams, n_latents: int, bf16: bool
) -> Tensor:
    """Return the teacher's samples at the levels of the student (trial, point, time, latent), on the CPU.

    Args:
        student: The student, which knows its levels.
        teacher: Denoiser of the teacher with its guidance.
        batch: Mask and conditions of the samples, and whether each has its condition ("present").
        streams: Random streams of the noise from which the samples are drawn.
        n_latents: Latents per bin.
        bf16: Whether the teacher runs in bfloat16.
    """
    device = next(teacher.parameters()).device
    batch = {name: value.to(device) for name, value in batch.items()}
    mask = batch["mask"]
    noise = torch.from_numpy(streams.series(mask.sum(1).tolist(), n_latents))
    noise = nn.functional.pad(noise, (0, 0, 0, mask.shape[1] - noise.shape[1])).to(device)
    with keep_kernels(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        points = student.points_of_teacher(teacher, noise, _condition(batch), None if mask.all() else mask)
    return points.float().cpu()


def _condition(batch: Mapping[str, Tensor]) -> Condition | None:
    """Return the condition of a batch of samples."""
    vector = batch.get("vector")
    sequence = batch.get("sequence")
    return None if vector is None and sequence is None else Condition(vector, sequence, batch["present"])
