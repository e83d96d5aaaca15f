"""Small real data with their licences, seeded generators of classic tasks, and data frames as sequences."""

from ._bunch import Bunch
from ._frames import from_frame, from_sktime, to_frame
from ._generators import adding
from ._japanese_vowels import load_japanese_vowels

__all__ = ["Bunch", "adding", "from_frame", "from_sktime", "load_japanese_vowels", "to_frame"]
