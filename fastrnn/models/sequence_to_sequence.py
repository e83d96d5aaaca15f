"""Encoder-decoders by their sizes."""

from __future__ import annotations

from .._validation import check_choice, check_size
from ..init import as_generator
from ..layers import CrossAttention, Dense, Dropout, Embedding, Sequential
from .encoder_decoder import EncoderDecoder
from .recurrent import CELLS

ATTENTIONS = (None, "additive", "multiplicative")


def encoder_decoder(
    input_size,
    output_size,
    *,
    cell="lstm",
    hidden_layer_sizes=(64,),
    activation="tanh",
    init="default",
    bidirectional=False,
    attention=None,
    embedding_dim=None,
    output_embedding_dim=None,
    dropout=0.0,
    recurrent_dropout=0.0,
    zoneout=0.0,
    layer_norm=False,
    dtype="float32",
    random_state=None,
):
    """Compose an encoder, a decoder of the same sizes, and what stands between them.

    Parameters
    ----------
    input_size : int
        Features of a step of the source; with `embedding_dim`, the number of tokens.
    output_size : int
        Classes, the end of a sequence (class 0) included.
    cell : {"lstm", "gru", "rnn"}
    hidden_layer_sizes : sequence of int
        One recurrent layer each in the encoder, and one in the decoder.
    activation : {"tanh", "relu"}
        Of cell "rnn" alone.
    init : {"default", "glorot", "orthogonal", "identity"}
    bidirectional : bool
        Of the encoder. Dense layers then make the decoder's first states of both directions' last ones; else a
        state is handed on as it is.
    attention : {None, "additive", "multiplicative"}
    embedding_dim : int, optional
        The source is tokens, 0 <= token < input_size.
    output_embedding_dim : int, optional
        Of the tokens that the decoder reads; by default the first of `hidden_layer_sizes`.
    dropout : float
        Probability by which a feature is dropped between the layers, the head included.
    recurrent_dropout, zoneout : float
    layer_norm : bool
    dtype : {"float32", "float64"}
    random_state : None, int, Generator or RandomState

    Returns
    -------
    EncoderDecoder

    Examples
    --------
    >>> from fastrnn.models import encoder_decoder
    >>> encoder_decoder(30, 40, embedding_dim=8, cell="gru", hidden_layer_sizes=(16,), attention="additive").layers
    (Embedding(30, 8), GRU(8, 16), Embedding(40, 16), GRU(16, 16), CrossAttention(16, 16, 'additive'), Dense(16, 40))
    """
    check_choice("attention", attention, ATTENTIONS)
    make = _Maker(cell, activation, init, dropout, dtype, random_state, recurrent_dropout, zoneout, layer_norm)
    sizes = tuple(hidden_layer_sizes)
    check_size("input_size", input_size)
    table = None if embedding_dim is None else (input_size, check_size("embedding_dim", embedding_dim))
    encoder = make.stack(table, input_size, sizes, bidirectional)
    bridges = [None] * (make.n_states * len(sizes))
    if bidirectional:
        bridges = [bridge for size in sizes for bridge in make.bridges(2 * size, size)]
    width = sizes[-1] * (1 + bool(bidirectional))
    look = None if attention is None else CrossAttention(sizes[-1], width, attention, **make.common)
    return make.whole(encoder, bridges, sizes, output_size, output_embedding_dim, look)


def vector_decoder(
    input_size,
    output_size,
    *,
    cell="lstm",
    hidden_layer_sizes=(64,),
    activation="tanh",
    init="default",
    input_layer_sizes=(),
    output_embedding_dim=None,
    dropout=0.0,
    recurrent_dropout=0.0,
    zoneout=0.0,
    layer_norm=False,
    dtype="float32",
    random_state=None,
):
    """Compose a decoder that starts from a vector.

    Parameters
    ----------
    input_size : int
        Of the vector.
    input_layer_sizes : sequence of int, default=()
        Dense layers with relu in front, by their sizes.
    output_size, cell, hidden_layer_sizes, activation, init, output_embedding_dim
        As in `encoder_decoder`.
    dropout, recurrent_dropout, zoneout, layer_norm, dtype, random_state
        As in `encoder_decoder`.

    Returns
    -------
    EncoderDecoder

    Examples
    --------
    >>> from fastrnn.models import vector_decoder
    >>> vector_decoder(10, 40, cell="gru", hidden_layer_sizes=(16,)).layers
    (Dense(10, 16, activation='tanh'), Embedding(40, 16), GRU(16, 16), Dense(16, 40))
    """
    make = _Maker(cell, activation, init, dropout, dtype, random_state, recurrent_dropout, zoneout, layer_norm)
    sizes, front, width = tuple(hidden_layer_sizes), [], check_size("input_size", input_size)
    for k, size in enumerate(input_layer_sizes):
        front.append(Dense(width, check_size(f"input_layer_sizes[{k}]", size), activation="relu", **make.common))
        width = size
    encoder = make.with_dropout(front) if front else None
    bridges = [bridge for size in sizes for bridge in make.bridges(width, size)]
    return make.whole(encoder, bridges, sizes, output_size, output_embedding_dim, None)


class _Maker:
    """What the parts of a network have in common; parts are made in the order in which they stand."""

    def __init__(self, cell, activation, init, dropout, dtype, random_state, recurrent_dropout, zoneout, layer_norm):
        self.cell, self.dropout = CELLS[check_choice("cell", cell, tuple(CELLS))], dropout
        self.common = {"dtype": dtype, "random_state": as_generator(random_state)}
        self.options = {"init": init, **self.common}
        if cell == "rnn":
            self.options["nonlinearity"] = activation
        variants = {"recurrent_dropout": recurrent_dropout, "zoneout": zoneout, "layer_norm": layer_norm}
        self.options |= {name: value for name, value in variants.items() if value}
        self.n_states = 2 if cell == "lstm" else 1

    def stack(self, table, width, sizes, bidirectional=False):
        """A `Sequential` of recurrent layers, of a table of tokens in front where there is one."""
        layers = [] if table is None else [Embedding(*table, **self.common)]
        width = width if table is None else table[1]
        for size in sizes:
            layers.append(self.cell(width, size, bidirectional=bool(bidirectional), **self.options))
            width = layers[-1].output_size
        return self.with_dropout(layers)

    def with_dropout(self, layers):
        """The layers, each but the last followed by dropout."""
        if self.dropout:
            layers = [p for layer in layers for p in (layer, Dropout(self.dropout, dtype=self.common["dtype"]))][:-1]
        return Sequential(*layers)

    def bridges(self, source, target):
        """Dense layers to h, between -1 and 1 as h is, and, of an LSTM, to c."""
        return [Dense(source, target, activation=a, **self.common) for a in ("tanh", None)[: self.n_states]]

    def whole(self, encoder, bridges, sizes, output_size, output_embedding_dim, attention):
        """The network."""
        dim = sizes[0] if output_embedding_dim is None else check_size("output_embedding_dim", output_embedding_dim)
        decoder = self.stack((check_size("output_size", output_size), dim), None, sizes)
        head = [Dropout(self.dropout, dtype=self.common["dtype"])] if self.dropout else []
        head = Sequential(*head, Dense(sizes[-1], output_size, **self.common))
        return EncoderDecoder(encoder, decoder, head, bridges=bridges, attention=attention)
