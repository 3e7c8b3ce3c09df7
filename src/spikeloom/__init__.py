"""spikeloom: generative models of neural population spiking.

    import spikeloom as sl

    model = sl.fit("ldns-small", train, validation=valid, seed=0, out="runs/reach")
    fake = model.sample(500, seed=1)

`dir(spikeloom)` lists the names a user needs. Each is imported when it is first used, so `import spikeloom` is quick
and does not import torch.
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spikeloom import diffusion, metrics, observation, simulate, training
    from spikeloom.data.load import load
    from spikeloom.data.recording import Recording
    from spikeloom.distributed import sample_distributed
    from spikeloom.errors import SpikeloomError
    from spikeloom.evaluation.compare import compare
    from spikeloom.evaluation.evaluate import evaluate
    from spikeloom.models import GNOCCHI, LDNS, LFADS, AutoregressiveLDNS
    from spikeloom.observation.spikes import spikes
    from spikeloom.recipe import fit, load_model, read_recipe, recipes
    from spikeloom.report import plot
    from spikeloom.report.report import Report
    from spikeloom.trials import Trials

__version__ = metadata.version("spikeloom")

_NAMES = {
    "load": "spikeloom.data.load",
    "Recording": "spikeloom.data.recording",
    "Trials": "spikeloom.trials",
    "fit": "spikeloom.recipe",
    "LDNS": "spikeloom.models",
    "AutoregressiveLDNS": "spikeloom.models",
    "GNOCCHI": "spikeloom.models",
    "LFADS": "spikeloom.models",
    "load_model": "spikeloom.recipe",
    "read_recipe": "spikeloom.recipe",
    "recipes": "spikeloom.recipe",
    "sample_distributed": "spikeloom.distributed",
    "spikes": "spikeloom.observation.spikes",
    "evaluate": "spikeloom.evaluation.evaluate",
    "compare": "spikeloom.evaluation.compare",
    "Report": "spikeloom.report.report",
    "SpikeloomError": "spikeloom.errors",
}
"""Public name -> module that defines it."""

_MODULES = {
    "diffusion": "spikeloom.diffusion",
    "metrics": "spikeloom.metrics",
    "observation": "spikeloom.observation",
    "plot": "spikeloom.report.plot",
    "simulate": "spikeloom.simulate",
    "training": "spikeloom.training",
}
"""Public name -> module that it is."""

__all__ = [
    "AutoregressiveLDNS",
    "GNOCCHI",
    "LDNS",
    "LFADS",
    "Recording",
    "Report",
    "SpikeloomError",
    "Trials",
    "__version__",
    "compare",
    "diffusion",
    "evaluate",
    "fit",
    "load",
    "load_model",
    "metrics",
    "observation",
    "plot",
    "read_recipe",
    "recipes",
    "sample_distributed",
    "simulate",
    "spikes",
    "training",
]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    raise AttributeError(f"spikeloom has no {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
