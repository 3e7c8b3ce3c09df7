"""spikeloom: generative models of neural population spiking.

The names below are all there is to know to begin. Each is imported when it is first used, so `import spikeloom` costs
nothing.
"""

from importlib import import_module, metadata
from typing import Any

__version__ = metadata.version("spikeloom")

_HOMES = {
    "load": "spikeloom.data.load",
    "Recording": "spikeloom.data.recording",
    "Trials": "spikeloom.trials",
    "LDNS": "spikeloom.models",
    "GNOCCHI": "spikeloom.models",
    "LFADS": "spikeloom.models",
    "load_model": "spikeloom.recipe",
    "read_recipe": "spikeloom.recipe",
    "recipes": "spikeloom.recipe",
    "spikes": "spikeloom.observation.spikes",
    "evaluate": "spikeloom.evaluation.evaluate",
    "compare": "spikeloom.evaluation.compare",
    "Report": "spikeloom.evaluation.report",
    "SpikeloomError": "spikeloom.errors",
}

_PACKAGES = ("simulate",)

__all__ = ["__version__", *_HOMES, *_PACKAGES]


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"spikeloom.{name}")
    if name not in _HOMES:
        raise AttributeError(f"spikeloom has no {name!r}; it has {', '.join(sorted(_HOMES))}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, *_PACKAGES])
