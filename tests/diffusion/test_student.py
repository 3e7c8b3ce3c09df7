"""Students against teachers whose result is known."""

import pytest
import torch
from torch import nn

from spikeloom.diffusion.denoiser import ExactGaussian, NetworkDenoiser
from spikeloom.diffusion.sampler import DDIM, DDPM, Heun, SDEDPMSolver2M, UniPC
from spikeloom.diffusion.schedule import LinearBeta
from spikeloom.diffusion.student import Student
from spikeloom.errors import SettingError
from spikeloom.nn.condition import Condition
from spikeloom.nn.stack import Backbone

SDS = [0.1, 0.5, 1.0, 2.0]


class Gains(nn.Module):
    """A backbone that multiplies each channel, with a different gain above and below level 0.5."""

    def __init__(self, channels):
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(2, channels))

    def forward(self, x, level, condition, mask):
        del condition, mask
        return x * self.gain[(level > 0.5).long()][:, None]


def untrained(**words):
    """A network whose output depends on the noise, the level and the condition."""
    torch.manual_seed(0)
    backbone = Backbone(3, width=6, blocks=1, vector=2, **words)
    for value in backbone.parameters():
        nn.init.normal_(value, std=0.3)
    return NetworkDenoiser(backbone, schedule=LinearBeta(), prediction="velocity").eval()


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("teacher", [UniPC(20), Heun(20)])
def test_the_student_of_an_exact_gaussian_learns_its_standard_deviation(steps, teacher):
    """The teacher's map is noise -> s x noise, so the student's must be, too."""
    network = NetworkDenoiser(Gains(len(SDS)), schedule=LinearBeta(), prediction="velocity")
    student = Student(network, teacher=teacher, steps=steps)
    noise = torch.randn(16, 5, len(SDS), generator=torch.Generator().manual_seed(0))
    expected = student.points_of_teacher(ExactGaussian(SDS, LinearBeta()), noise)
    optimizer = torch.optim.LBFGS(student.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = (student(noise) - expected).square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    with torch.no_grad():
        result = student(noise)[:, -1]
    torch.testing.assert_close(result / noise, torch.tensor(SDS).expand_as(noise), rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("steps", [1, 4])
def test_a_student_with_all_steps_of_a_first_order_teacher_is_the_teacher(steps):
    network = untrained()
    student = Student(network, teacher=DDIM(steps), steps=steps)
    noise = torch.randn(3, 7, 3)
    condition = Condition(torch.randn(3, 2))
    mask = torch.arange(7) < torch.tensor([7, 4, 6])[:, None]
    with torch.no_grad():
        points = student(noise, condition, mask)
    torch.testing.assert_close(points, student.points_of_teacher(network, noise, condition, mask))
    torch.testing.assert_close(points[:, -1], DDIM(steps).draw(network, lambda: noise, condition=condition, mask=mask))
    assert points.shape == (3, steps + 1, 7, 3)


def test_points_of_the_teacher_lie_on_its_path():
    network = untrained()
    noise = torch.randn(2, 7, 3)
    points = Student(network, teacher=UniPC(20), steps=2).points_of_teacher(network, noise)
    path = list(UniPC(20).points(network, lambda: noise))
    torch.testing.assert_close(points, torch.stack([path[0], path[10], path[20]], 1))
    torch.testing.assert_close(path[-1], UniPC(20).draw(network, lambda: noise))


def test_padding_changes_nothing_and_stays_zero():
    student = Student(untrained(), teacher=UniPC(20), steps=2)
    noise = torch.randn(2, 9, 3)
    mask = torch.arange(9) < torch.tensor([9, 5])[:, None]
    with torch.no_grad():
        together, alone = student(noise, None, mask), student(noise[1:, :5])
    assert (together[1, :, 5:] == 0).all()
    torch.testing.assert_close(together[1:, :, :5], alone)


@pytest.mark.parametrize("teacher", [DDPM(20), SDEDPMSolver2M(20), UniPC(2)])
def test_a_student_of_an_impossible_teacher_is_refused(teacher):
    with pytest.raises(SettingError, match="draws no fresh noise and has at least 3 steps"):
        Student(untrained(), teacher=teacher, steps=3)
