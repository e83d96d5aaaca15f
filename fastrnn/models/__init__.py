"""Compositions of layers that have a name."""

from .ctc import greedy_decode, prefix_beam_search
from .decoding import beam_search, greedy_search, sample_sequences
from .encoder_decoder import EncoderDecoder
from .hmm import HMMDecoder, viterbi
from .network import Network
from .recurrent import CELLS, many_to_many, many_to_one
from .sequence_to_sequence import encoder_decoder, vector_decoder
from .stream import Stream

__all__ = [
    "CELLS",
    "EncoderDecoder",
    "HMMDecoder",
    "Network",
    "Stream",
    "beam_search",
    "encoder_decoder",
    "greedy_decode",
    "greedy_search",
    "many_to_many",
    "many_to_one",
    "prefix_beam_search",
    "sample_sequences",
    "vector_decoder",
    "viterbi",
]
