r"""Training of the network that moves the simulated arm (`simulate.arm`), with gradients through complete movements.

Start and target of a movement are uniform in a square of 24 cm. The go cue comes in one of the bins 10 to 24 of 60. The
loss is the mean absolute distance (m, along x and y) of the hand from its goal. Before the go cue the goal is the
start, with weight 10; afterwards it is the target. A penalty on activity is added,
:math:`5 \cdot 10^{-3}\,\overline{a^2} + 10^{-3}\,\overline{h^2}`, with a the muscles' activity and h the hidden units.
The optimiser is Adam, with 64 movements per update.
"""

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from spikeloom.seeds import Purpose, generator
from spikeloom.simulate import arm

BINS = 60
"""Number of bins of a movement."""

UPDATES = 600
"""Steps of the optimiser."""

SLOWER_FROM = 415
"""First step with the smaller learning rate."""

LEARNING_RATES = (3e-3, 1e-3)
"""Learning rate of the first and of the later steps."""

BATCH = 64
"""Number of movements per step."""

BOX = 0.12
"""Half the side of the square in which movements begin and end, m."""

HOLD = 10.0
"""Weight of bins before the go cue. With 1, as in METHODS 1.2, the hand leaves as soon as the target is shown."""

EFFORT = 5e-3
"""Weight of the squared activity of the muscles."""

QUIET = 1e-3
"""Weight of the squared activity of the hidden units."""


def train_controller(*, seed: int = 0, updates: int = UPDATES, progress: bool | None = None) -> dict[str, Tensor]:
    """Return the weights of a trained controller, named and shaped as in `arm.SHAPES`.

    Args:
        seed: Random seed of the initial weights and of the movements.
        updates: Number of steps of the optimiser. The last three tenths have a smaller learning rate.
        progress: True to show progress. `None` shows it on a terminal.
    """
    weights = _first_weights(seed)
    optimizer = torch.optim.Adam(list(weights.values()), lr=LEARNING_RATES[0])
    hide = None if progress is None else not progress
    for update in tqdm(range(updates), desc="controller", unit="update", disable=hide, delay=2):
        is_late = update * UPDATES >= SLOWER_FROM * updates  # the fraction of late steps is the same for any `updates`
        optimizer.param_groups[0]["lr"] = LEARNING_RATES[int(is_late)]
        optimizer.zero_grad()
        _loss(weights, generator(seed, Purpose.TRAIN, update)).backward()
        torch.nn.utils.clip_grad_norm_(list(weights.values()), 1.0)  # limits the effect of rare large gradients
        optimizer.step()
    return {name: value.detach() for name, value in weights.items()}


def _first_weights(seed: int) -> dict[str, Tensor]:
    """Return random initial weights, uniform within 1 / sqrt(units) as usual for a GRU."""
    rng = generator(seed, Purpose.INIT)
    bound = arm.UNITS**-0.5
    weights = {
        name: torch.tensor(rng.uniform(-bound, bound, shape), dtype=torch.float32) for name, shape in arm.SHAPES.items()
    }
    weights["output_bias"].fill_(-3.0)  # the muscles are almost inactive at first
    return {name: value.requires_grad_() for name, value in weights.items()}


def _loss(weights: dict[str, Tensor], rng: np.random.Generator) -> Tensor:
    """Return the loss of one batch of movements."""
    start = torch.tensor(rng.uniform(-BOX, BOX, (BATCH, 2)), dtype=torch.float32)
    target = torch.tensor(rng.uniform(-BOX, BOX, (BATCH, 2)), dtype=torch.float32)
    first_go_bin = torch.tensor(rng.integers(10, 25, (BATCH, 1)))
    noise = torch.tensor(rng.standard_normal((BINS, BATCH, arm.INPUTS + arm.UNITS)), dtype=torch.float32)
    state = arm.rest(start, xp=torch)
    total = torch.zeros(())
    for time in range(BINS):
        go = (time >= first_go_bin).float()
        state = arm.step(weights, state, target * (time >= arm.TARGET_AT), go, noise[time], xp=torch)
        goal = torch.where(go > 0, target, start)
        weight = torch.where(go > 0, 1.0, HOLD)
        total = total + (weight * (arm.hand(state.angle, xp=torch) - goal).abs()).mean()
        total = total + EFFORT * state.activity.square().mean() + QUIET * state.hidden.square().mean()
    return total / BINS
