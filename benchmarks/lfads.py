"""Time three forms of LFADS's recurrent networks, beside matrix products of the same floating-point work.

    OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive python benchmarks/lfads.py

Forward and backward pass of encoder and generator, and of the controller's loop, medians of interleaved repeats:

* *cells*: one `nn.GRUCell` per bin and direction, which projects its input in each bin;
* *hoisted*: inputs of all bins projected by one product, both directions as one batch, `gru_step` per bin;
* *fused*: `nn.GRU`, which spikeloom uses if inputs do not depend on earlier states; the controller's loop uses cells.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from spikeloom.nn.generator import Controller, Generator

SIZES = dict(batch=64, time=140, neurons=97, encoder=64, generator=100, factors=40, inputs=2, controller=64)


def gru_step(drive: Tensor, state: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Compute one bin of a gated recurrent unit as torch does, from the projected input (`drive`, bias included)."""
    reset_in, keep_in, new_in = drive.chunk(3, -1)
    reset_by, keep_by, new_by = functional.linear(state, weight, bias).chunk(3, -1)
    new = torch.tanh(new_in + torch.sigmoid(reset_in + reset_by) * new_by)
    return new + torch.sigmoid(keep_in + keep_by) * (state - new)


def reader_cells(gru: nn.GRU, x: Tensor) -> Tensor:
    """Return the last states of both directions; the input of each bin is projected in its step."""
    last = []
    for suffix, order in (("", range(x.shape[1])), ("_reverse", reversed(range(x.shape[1])))):
        weights = [getattr(gru, f"{name}_l0{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        state = x.new_zeros(len(x), gru.hidden_size)
        for time_ in order:
            state = gru_step(functional.linear(x[:, time_], weights[0], weights[2]), state, weights[1], weights[3])
        last.append(state)
    return torch.cat(last, -1)


def reader_hoisted(gru: nn.GRU, x: Tensor) -> Tensor:
    """Return the last states with all bins projected in advance and both directions as one batch."""
    ends = ("", "_reverse")
    weight_in, weight, bias_in, bias = (
        torch.stack([getattr(gru, f"{name}_l0{end}") for end in ends])
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    both = torch.stack((x, x.flip(1))).flatten(1, 2)
    drive = torch.baddbmm(bias_in[:, None], both, weight_in.transpose(1, 2)).unflatten(1, x.shape[:2])
    state = x.new_zeros(2, len(x), gru.hidden_size)
    for drive_of_bin in drive.unbind(2):
        reset_in, keep_in, new_in = drive_of_bin.chunk(3, -1)
        reset_by, keep_by, new_by = torch.baddbmm(bias[:, None], state, weight.transpose(1, 2)).chunk(3, -1)
        new = torch.tanh(new_in + torch.sigmoid(reset_in + reset_by) * new_by)
        state = new + torch.sigmoid(keep_in + keep_by) * (state - new)
    return torch.cat((state[0], state[1]), -1)


def reader_fused(gru: nn.GRU, x: Tensor) -> Tensor:
    """Return the last states as `nn.recurrent.TrialEncoder` computes them."""
    _, last = gru(x)
    return torch.cat((last[0], last[1]), -1)


def generator_cells(generator: Generator, start: Tensor, bins: int) -> Tensor:
    """Return the states of a generator without inputs, one cell per bin."""
    gates = generator.units
    state = start
    rows = []
    nothing = start.new_zeros(len(start), 1)
    for _ in range(bins):
        drive = functional.linear(nothing, gates.weight_ih_l0, gates.bias_ih_l0)
        state = gru_step(drive, state, gates.weight_hh_l0, gates.bias_hh_l0)
        rows.append(state)
    return torch.stack(rows, 1)


def controlled_hoisted(controller: Controller, generator: Generator, x: Tensor, start: Tensor, noise: Tensor) -> Tensor:
    """Return the states under the controller; the encoder's output is projected for all bins at once."""
    read = controller.encoder(x)[0]
    cell = controller.units
    gates = generator.units
    seen = read.shape[-1]
    driven = functional.linear(read, cell.weight_ih[:, :seen], cell.bias_ih)
    state = start
    control = controller.start.expand(len(x), -1)
    rows = []
    factors = generator.factors(start)
    for drive, fresh in zip(driven.unbind(1), noise.unbind(1), strict=True):
        drive = drive + functional.linear(factors, cell.weight_ih[:, seen:])
        control = gru_step(drive, control, cell.weight_hh, cell.bias_hh)
        mean, log_variance = controller.leave(control).chunk(2, -1)
        value = mean + torch.exp(0.5 * log_variance) * fresh
        drive = functional.linear(value, gates.weight_ih_l0, gates.bias_ih_l0)
        state = gru_step(drive, state, gates.weight_hh_l0, gates.bias_hh_l0)
        factors = generator.factors(state)
        rows.append(state)
    return torch.stack(rows, 1)


def medians(forms: dict[str, Callable[[], Tensor]], repeats: int) -> dict[str, float]:
    """Return the median seconds of forward and backward pass; the repeats of the forms alternate."""
    taken: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(repeats):
        for name, form in forms.items():
            began = time.perf_counter()
            out = form()
            if out.requires_grad:
                out.square().sum().backward()
            taken[name].append(time.perf_counter() - began)
    return {name: float(np.median(each[1:] or each)) for name, each in taken.items()}


def product(flop: float) -> Callable[[], Tensor]:
    """Return a function of matrix products with this floating-point work, forward and backward pass together."""
    a = torch.randn(1024, 1024)
    times = max(1, round(3 * flop / (2 * 1024**3)))

    def run() -> Tensor:
        for _ in range(times):
            out = a @ a
        return out

    return run


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    torch.manual_seed(0)
    size = SIZES
    batch = size["batch"]
    bins = size["time"]
    neurons = size["neurons"]
    units = size["generator"]
    x = torch.rand(batch, bins, neurons)
    start = torch.randn(batch, units)
    gru = nn.GRU(neurons, size["encoder"], batch_first=True, bidirectional=True)
    alone = Generator(0, units, size["factors"])
    driven = Generator(size["inputs"], units, size["factors"])
    controller = Controller(
        neurons, size["inputs"], reader=size["encoder"], width=size["controller"], factors=size["factors"]
    )
    noise = torch.randn(batch, bins, size["inputs"])
    mask = torch.ones(batch, bins, dtype=torch.bool)
    torch.testing.assert_close(reader_cells(gru, x), reader_fused(gru, x), atol=1e-4, rtol=1e-4)
    wanted = controller(controller.read(x, mask), start, driven, noise=noise)[0]
    torch.testing.assert_close(controlled_hoisted(controller, driven, x, start, noise), wanted, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(reader_hoisted(gru, x), reader_fused(gru, x), atol=1e-4, rtol=1e-4)
    per_bin = 2 * batch * bins
    read = per_bin * 2 * 3 * size["encoder"] * (neurons + size["encoder"])
    run = per_bin * 3 * units * units
    control = (
        read
        + run
        + per_bin * 3 * size["controller"] * (2 * size["encoder"] + size["factors"] + size["controller"])
        + per_bin * units * size["factors"]
    )
    tables: dict[str, tuple[float, dict[str, Callable[[], Tensor]]]] = {
        "encoder of the trial": (
            read,
            {
                "cells": lambda: reader_cells(gru, x),
                "hoisted": lambda: reader_hoisted(gru, x),
                "fused": lambda: reader_fused(gru, x),
            },
        ),
        "generator alone": (
            run,
            {
                "cells": lambda: generator_cells(alone, start, bins),
                "fused": lambda: alone(start, x[..., :0]),
            },
        ),
        "encoder, controller, generator": (
            control,
            {
                "cells": lambda: controller(controller.read(x, mask), start, driven, noise=noise)[0],
                "hoisted": lambda: controlled_hoisted(controller, driven, x, start, noise),
            },
        ),
    }
    print(", ".join(f"{name} {value}" for name, value in size.items()), f"; {torch.get_num_threads()} thread(s)")
    for title, (flop, forms) in tables.items():
        result = medians({**forms, "matrix product": product(flop)}, repeats)
        limit = result.pop("matrix product")
        print(f"{title}: {3 * flop / 1e9:.2f} GFLOP, as matrix products {1000 * limit:.1f} ms")
        for name, seconds in result.items():
            print(f"  {name:<10s}{1000 * seconds:8.1f} ms  {seconds / limit:5.1f} x the products")


if __name__ == "__main__":
    main()
