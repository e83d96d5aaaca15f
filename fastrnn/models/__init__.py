"""Compositions of layers that have a name."""

from .recurrent import CELLS, many_to_one

__all__ = ["CELLS", "many_to_one"]
