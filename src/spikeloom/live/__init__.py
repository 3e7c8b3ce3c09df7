"""Live spikes over a network: clients send samples of a condition, and get the spikes of every bin when it ends.

`session` joins a trial of `Model.live` with the samples that arrive; `protocol` has the messages, `samples` the
resampling to bins, `statistics` the times of steps. `server` runs a session on `tcp`, `udp` or `lsl`. `simulator` makes
a model of the package neural-data-simulator.
"""

from spikeloom.live.server import Background, serve
from spikeloom.live.session import Session
from spikeloom.live.tcp import Tcp
from spikeloom.live.udp import Udp

__all__ = ["Background", "Session", "Tcp", "Udp", "serve"]
