"""Small real data with their licences, seeded generators of classic tasks, and data frames as sequences."""

from ._adding import adding
from ._balls import bouncing_balls
from ._bunch import Bunch
from ._frames import from_frame, from_sktime, to_frame
from ._grammars import anbncn, embedded_reber
from ._japanese_vowels import load_japanese_vowels
from ._letters import hello, three_letter_words
from ._order import temporal_order
from ._signals import mackey_glass, timer

__all__ = [
    "Bunch",
    "adding",
    "anbncn",
    "bouncing_balls",
    "embedded_reber",
    "from_frame",
    "from_sktime",
    "hello",
    "load_japanese_vowels",
    "mackey_glass",
    "temporal_order",
    "three_letter_words",
    "timer",
    "to_frame",
]
