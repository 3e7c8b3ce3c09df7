"""Measure how right the time left is that `fit` shows.

    python benchmarks/time_left.py ldns-small --data train.h5 --set autoencoder_plan.updates=300

For each stage with updates, the table compares the time left that was shown after a tenth and after half of the updates
with the time that the stage then took.
"""

import argparse
import math
import time
from dataclasses import dataclass, field
from unittest import mock

from spikeloom.recipe import fit
from spikeloom.training import stage_run
from spikeloom.training.progress import Progress
from spikeloom.trials import Trials

SHARES = (0.1, 0.5)
"""Shares of the updates after which the time left is compared."""


@dataclass
class Shown:
    """Times left of one stage, by the number of updates that are done.

    Args:
        updates: Number of updates.
        left: Seconds left that were shown.
        at: Time at which they were shown, s.
    """

    updates: int
    left: dict[int, float | None] = field(default_factory=dict)
    at: dict[int, float] = field(default_factory=dict)


STAGES: dict[str, Shown] = {}
"""Times left of each stage."""


class Recorded(Progress):
    """Progress that keeps the time left of each update."""

    def show_update(self, done: int, loss: float) -> None:
        """See `Progress.show_update`."""
        shown = STAGES.setdefault(self.stage, Shown(self.updates))
        after = self.left.after

        def kept(done: int) -> float | None:
            shown.left[done] = after(done)
            shown.at[done] = time.monotonic()
            return shown.left[done]

        with mock.patch.object(self.left, "after", kept):
            super().show_update(done, loss)


def main() -> None:
    """Train a model, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="recipe to train")
    parser.add_argument("--data", required=True, help="training trials")
    parser.add_argument("--set", action="append", default=[], dest="changes", help="change of the recipe, key=value")
    options = parser.parse_args()
    with mock.patch.object(stage_run, "Progress", Recorded):
        fit(options.recipe, Trials.load(options.data), changes=options.changes, progress=True)
    for stage, shown in STAGES.items():
        for share in SHARES:
            done = math.ceil(share * shown.updates)
            estimate = shown.left[done]
            took = shown.at[shown.updates] - shown.at[done]
            assert estimate is not None
            print(f"{stage}: after {share:.0%}, {estimate:.1f} s left, took {took:.1f} s ({estimate / took - 1:+.0%})")


if __name__ == "__main__":
    main()
