"""Models, one file for each paper. The code that they share is in `common`."""

from spikeloom.models.autoregressive_ldns import AutoregressiveLDNS
from spikeloom.models.gnocchi import GNOCCHI
from spikeloom.models.ldns import LDNS
from spikeloom.models.lfads import LFADS

__all__ = ["AutoregressiveLDNS", "GNOCCHI", "LDNS", "LFADS"]
