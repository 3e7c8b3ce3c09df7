"""S4D: convolution = recurrence = dense system, any length, causality, and a kernel that depends on parameters only."""

import copy

import numpy as np
import pytest
import scipy.linalg
import torch

from spikeloom.nn import portions, ssm
from spikeloom.nn.ssm import S4D, keep_kernels, legs


def layer(bidirectional: bool = False, channels: int = 3) -> S4D:
    torch.manual_seed(0)
    return S4D(channels, modes=8, bidirectional=bidirectional)


def direct(layer: S4D, x: torch.Tensor) -> np.ndarray:
    """The definition, in double precision and complex arithmetic: lags >= 0 of the past, lags >= 1 of the future."""
    step = layer.log_step.detach().double().exp()
    pole = torch.complex(-layer.log_decay.detach().double().exp(), layer.frequency.detach().double())
    turn = (1 + step * pole / 2) / (1 - step * pole / 2)
    weight = torch.view_as_complex(layer.output.detach().double()) * step / (1 - step * pole / 2)
    time = x.shape[-1]
    lags = torch.arange(time)
    kernel = 2 * (weight[..., None] * turn[..., None] ** lags).sum(-2).real.numpy()
    y = layer.skip.detach().double().numpy()[:, None, None] * x.double().numpy()
    for t in range(time):
        for s in range(time):
            if s <= t:
                y[:, :, t] += kernel[0, :, [t - s]].T * x[:, :, s].double().numpy()
            elif layer.bidirectional:
                y[:, :, t] += kernel[1, :, [s - t]].T * x[:, :, s].double().numpy()
    return y


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("longest", [0, 1000])
def test_the_layer_is_its_definition(bidirectional, longest, monkeypatch):
    monkeypatch.setattr(ssm, "LONGEST_MATRIX", longest)  # 0: by FFT, 1000: by matrix
    net, x = layer(bidirectional), torch.randn(3, 2, 37)
    np.testing.assert_allclose(net(x).detach(), direct(net, x), atol=1e-4)


def test_steps_give_the_numbers_of_the_convolution():
    net, x = layer(), torch.randn(3, 4, 50)
    state, rows = net.start(4), []
    for t in range(50):
        y, state = net.step(x[:, :, t], state)
        rows.append(y)
    torch.testing.assert_close(torch.stack(rows, -1), net(x), atol=1e-4, rtol=1e-4)


def test_a_bidirectional_layer_refuses_to_step():
    net = layer(bidirectional=True)
    with pytest.raises(ValueError, match="future"):
        net.step(torch.zeros(3, 1), net.start(1))


@pytest.mark.parametrize("size", [1, 100, 10**6])
def test_the_convolution_by_matrix_has_the_gradient_of_its_definition(size, monkeypatch):
    monkeypatch.setattr(portions, "IN_CACHE", size)  # of three channels with 7 x 7 matrices: one, two, all at once
    x, kernel = (torch.randn(3, *shape, dtype=torch.float64, requires_grad=True) for shape in ((2, 7), (13,)))
    assert torch.autograd.gradcheck(ssm._ByMatrix.apply, (x, kernel))


def test_kernels_of_different_length_agree():
    net = layer(bidirectional=True)
    short, long = net.kernel(20), net.kernel(300)
    torch.testing.assert_close(long[:, 299 - 19 : 299 + 20], short, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("time", [1, 2, 15, 16, 17, 33])
def test_matrix_and_fft_have_the_same_values_and_gradients(time, monkeypatch):
    net, x = layer(bidirectional=True), torch.randn(3, 2, time)
    weight = torch.randn(3, 2, time)
    result = []
    for longest in (0, 1000):
        monkeypatch.setattr(ssm, "LONGEST_MATRIX", longest)
        net.zero_grad()
        y = net(x.requires_grad_(True))
        (y * weight).sum().backward()
        result.append([y.detach(), x.grad, *(p.grad.clone() for p in net.parameters())])
        x = x.detach()
    for by_fft, by_matrix in zip(*result, strict=True):
        torch.testing.assert_close(by_fft, by_matrix, atol=1e-3, rtol=1e-3)


def test_legs_is_the_normal_part_of_hippo():
    """Its eigenvalues are those of the dense matrix, from an independent solver."""
    n = np.arange(16)
    full = -np.tril(np.outer(np.sqrt(2 * n + 1), np.sqrt(2 * n + 1)), -1) - np.diag(n + 1.0)
    values = scipy.linalg.eigvals(full + np.outer(np.sqrt(n + 0.5), np.sqrt(n + 0.5)))
    expected = np.sort(values.imag[values.imag > 0])
    poles, weights = legs(8)
    np.testing.assert_allclose(np.sort(poles.imag), expected, rtol=1e-8)
    np.testing.assert_allclose(values.real, -0.5, atol=1e-8)
    np.testing.assert_allclose(
        2 * (np.abs(weights) ** 2).sum(), (2 * n + 1).sum(), rtol=1e-8
    )  # unitary change of basis


def test_every_parameter_gets_a_gradient_and_time_constants_are_known():
    net = layer(bidirectional=True)
    net(torch.randn(3, 2, 20)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
    slow = {id(value) for value in net.time_constants()}
    assert {name for name, value in net.named_parameters() if id(value) in slow} == {
        "log_step",
        "log_decay",
        "frequency",
    }


def test_a_sampling_run_builds_a_kernel_once():
    net = layer().eval()
    with torch.no_grad(), keep_kernels():
        first = net.kernel(10)
        assert net.kernel(10) is first
        with keep_kernels():
            assert net.kernel(10) is first  # nested contexts belong to the same run
        assert net.kernel(12).shape == (3, 23)
    kernels = {}
    with torch.no_grad(), keep_kernels(kernels):
        second = net.kernel(10)
    with torch.no_grad(), keep_kernels(kernels):
        assert net.kernel(10) is second  # a run may have several contexts


def test_the_next_run_takes_the_kernel_of_the_same_parameters():
    net = layer().eval()
    kernels = []
    for change in (0.0, 0.0, 1.0):
        with torch.inference_mode(), keep_kernels():
            kernels.append(net.kernel(10))
        with torch.no_grad():
            net.skip.add_(change)
    assert kernels[1] is kernels[0]
    again = copy.deepcopy(net).double()
    with torch.no_grad(), keep_kernels():
        changed = net.kernel(10)
        assert not torch.allclose(changed, kernels[2])
        assert again.kernel(10).dtype == torch.float64
        assert torch.equal(net.kernel(10), net._kernel(10))


@pytest.mark.parametrize("update", ["in place", "optimizer", "load"])
def test_a_kernel_follows_the_parameters_of_an_update(update):
    net, x = layer(), torch.randn(3, 2, 20)
    with torch.no_grad(), keep_kernels():
        before = net(x)
    if update == "in place":
        with torch.no_grad():
            net.skip.add_(1)
    elif update == "optimizer":
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, fused=True)
        net(x).square().sum().backward()
        optimizer.step()
    else:
        net.load_state_dict({name: value + 0.1 for name, value in net.state_dict().items()})
    with torch.no_grad():
        fresh = net(x)
        with keep_kernels():
            assert torch.equal(net(x), fresh)
    assert not torch.allclose(fresh, before)


def test_a_long_call_does_not_change_a_short_one():
    net, x = layer().eval(), torch.randn(3, 1, 16)
    with torch.no_grad():
        before = net(x)
        net(torch.randn(3, 1, 2000))
        assert torch.equal(net(x), before)
