"""Compositions of layers that have a name."""

from .network import Network
from .recurrent import CELLS, many_to_one
from .stream import Stream

__all__ = ["CELLS", "Network", "Stream", "many_to_one"]
