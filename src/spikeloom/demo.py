"""The main job on simulated data: simulate, split, fit, sample, evaluate.

Neurons are driven by a Lorenz system, so the true rates are known and the data need no download. Each step does what
the command it names does, and leaves the files that command would; the sizes are chosen so that two cores need a few
minutes.
"""

from collections.abc import Callable
from pathlib import Path

from spikeloom.data.lorenz import lorenz
from spikeloom.files import ensure_folder
from spikeloom.recipe import read_recipe
from spikeloom.report.evaluate import evaluate

TRIALS = 700
NEURONS = 64
BINS = 128
RECIPE = "ldns-demo"


def demo(out: Path, *, seed: int, say: Callable[[str], object]) -> Path:
    """Run the whole chain and leave data, run and report in a folder.

    Args:
        out: The folder. A demo that was stopped goes on where it was.
        seed: Of the simulation, the split, the training and the samples.
        say: Called with each line that the user should read.

    Returns:
        Path of the report.
    """
    folder = ensure_folder(out)
    data, train, test, run, fake = (folder / name for name in ("lorenz.h5", "train.h5", "test.h5", "run", "fake.h5"))

    say(f"$ spikeloom simulate lorenz --trials {TRIALS} --neurons {NEURONS} --bins {BINS} --seed {seed} --out {data}")
    trials = lorenz(TRIALS, neurons=NEURONS, bins=BINS, seed=seed)
    trials.save(data)

    say(f"$ spikeloom split {data} --fraction 0.7 --seed {seed} --out {train} {test}")
    seen, unseen = trials.split(0.7, seed=seed)
    seen.save(train)
    unseen.save(test)

    say(f"$ spikeloom fit {RECIPE} --data {train} --seed {seed} --out {run}")
    model = read_recipe(RECIPE).build(NEURONS).fit(seen, seed=seed, out=run)

    say(f"$ spikeloom sample {run} --trials {len(unseen)} --seed {seed} --out {fake}")
    generated = model.sample(len(unseen), seed=seed)
    generated.save(fake)

    say(f"$ spikeloom evaluate --real {test} --fake {fake} --reference {train} --seed {seed} --out {folder}")
    judged = evaluate(unseen, generated, reference=seen, seed=seed)
    judged.save(folder)
    say(judged.summary)
    return folder / "report.html"
