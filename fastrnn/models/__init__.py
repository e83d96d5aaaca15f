"""Compositions of layers that have a name."""

from .ctc import greedy_decode, prefix_beam_search
from .hmm import HMMDecoder, viterbi
from .network import Network
from .recurrent import CELLS, many_to_many, many_to_one
from .stream import Stream

__all__ = [
    "CELLS",
    "HMMDecoder",
    "Network",
    "Stream",
    "greedy_decode",
    "many_to_many",
    "many_to_one",
    "prefix_beam_search",
    "viterbi",
]
