"""Live spikes over a network: clients send samples of a condition, and get the spikes of every bin when it ends.

`session` passes the samples that arrive to a trial of `Model.live`. `protocol` defines the messages, `samples` averages
samples over bins, and `statistics` measures the time of each step. `server` runs a session on `tcp`, `udp` or `lsl`.
`simulator` makes a model for the package neural-data-simulator.
"""

from spikeloom.live.server import Background, serve
from spikeloom.live.session import Session
from spikeloom.live.tcp import Tcp
from spikeloom.live.udp import Udp

__all__ = ["Background", "Session", "Tcp", "Udp", "serve"]
