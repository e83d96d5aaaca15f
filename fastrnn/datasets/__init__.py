"""Small real data with their licences, and seeded generators of classic tasks."""

from ._bunch import Bunch
from ._generators import adding
from ._japanese_vowels import load_japanese_vowels

__all__ = ["Bunch", "adding", "load_japanese_vowels"]
