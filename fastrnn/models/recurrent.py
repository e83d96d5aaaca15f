"""Stacks of recurrent layers that read a sequence and give one output row, or one a step."""

from .._validation import check_choice, check_size
from ..init import as_generator
from ..layers import GRU, LSTM, RNN, AttentionPool, Conv1d, Dense, Dropout, Embedding, Pool, Sequential

# A new cell is one line here.
CELLS: dict[str, type] = {"lstm": LSTM, "gru": GRU, "rnn": RNN}
POOLINGS = ("last", "mean", "max", "attention")
CONV_KERNEL_SIZE = 3


def many_to_one(
    input_size,
    output_size,
    *,
    cell="lstm",
    hidden_layer_sizes=(64,),
    activation="tanh",
    init="default",
    bidirectional=False,
    pooling="last",
    dropout=0.0,
    embedding_dim=None,
    conv_filters=None,
    recurrent_dropout=0.0,
    zoneout=0.0,
    layer_norm=False,
    learn_initial_state=False,
    proj_size=0,
    dtype="float32",
    random_state=None,
):
    """Compose recurrent layers, a pool over time and a Dense layer without activation.

    Parameters
    ----------
    input_size : int
        Features of a step; with `embedding_dim`, the number of tokens.
    output_size : int
    cell : {"lstm", "gru", "rnn"}
    hidden_layer_sizes : sequence of int
        One recurrent layer each, the first reads the input.
    activation : {"tanh", "relu"}
        Of cell "rnn" alone.
    init : {"default", "glorot", "orthogonal", "identity"}
        Scheme of the recurrent layers, see :func:`fastrnn.init.initialise`.
    bidirectional : bool
    pooling : {"last", "mean", "max", "attention"}
    dropout : float
        Probability by which a feature is dropped between the layers, the output layer included.
    embedding_dim : int, optional
        The input is tokens, 0 <= token < input_size, each of which stands for a trainable vector of this size.
    conv_filters : int or sequence of int, optional
        Sizes of convolutions over time in front of the recurrent layers, each a ``Conv1d(..., kernel_size=3,
        padding="same", activation="relu")``, so that no length changes.
    recurrent_dropout, zoneout : float
    layer_norm, learn_initial_state : bool
    proj_size : int
        Of each recurrent layer, see :class:`fastrnn.LSTM`; `proj_size` of cell "lstm" alone.
    dtype : {"float32", "float64"}
    random_state : None, int, Generator or RandomState

    Returns
    -------
    network : Sequential
        (seq_len, batch_size, input_size) -> (batch_size, output_size), from tokens (seq_len, batch_size)

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.models import many_to_one
    >>> network = many_to_one(12, 9, cell="gru", hidden_layer_sizes=(8, 4), bidirectional=True, random_state=0)
    >>> output, states = network(np.zeros((5, 2, 12), "float32"), lengths=[5, 3])
    >>> output.shape, len(states)
    ((2, 9), 2)
    >>> many_to_one(100, 2, embedding_dim=8, conv_filters=16, cell="gru", hidden_layer_sizes=(4,), pooling="attention")
    Sequential(Embedding(100, 8), Conv1d(8, 16, 3, activation='relu'), GRU(16, 4), AttentionPool(4, 4), Dense(4, 2))
    """
    check_choice("pooling", pooling, POOLINGS)
    rng = as_generator(random_state)
    layers = recurrent_layers(
        input_size,
        cell=cell,
        hidden_layer_sizes=hidden_layer_sizes,
        activation=activation,
        init=init,
        bidirectional=bidirectional,
        dropout=dropout,
        embedding_dim=embedding_dim,
        conv_filters=conv_filters,
        recurrent_dropout=recurrent_dropout,
        zoneout=zoneout,
        layer_norm=layer_norm,
        learn_initial_state=learn_initial_state,
        proj_size=proj_size,
        dtype=dtype,
        random_state=rng,
    )
    common = {"dtype": dtype, "random_state": rng}
    width = layers[-1].output_size if layers else input_size
    layers.append(AttentionPool(width, **common) if pooling == "attention" else Pool(pooling, dtype=dtype))
    if dropout:
        layers.append(Dropout(dropout, dtype=dtype))
    return Sequential(*layers, Dense(width, output_size, **common))


def many_to_many(input_size, output_size, *, dropout=0.0, dtype="float32", random_state=None, **options):
    """Compose recurrent layers and a Dense layer without activation, which gives an output a step.

    Parameters
    ----------
    input_size, output_size : int
    dropout : float
        Probability by which a feature is dropped between the layers, the output layer included.
    dtype : {"float32", "float64"}
    random_state : None, int, Generator or RandomState
    **options
        The others of :func:`many_to_one`, `pooling` excepted.

    Returns
    -------
    network : Sequential
        (seq_len, batch_size, input_size) -> (seq_len, batch_size, output_size), from tokens (seq_len, batch_size)

    Examples
    --------
    >>> from fastrnn.models import many_to_many
    >>> many_to_many(12, 3, cell="gru", hidden_layer_sizes=(8,), bidirectional=True, random_state=0)
    Sequential(GRU(12, 8, bidirectional=True), Dense(16, 3))
    """
    rng = as_generator(random_state)
    layers = recurrent_layers(input_size, dropout=dropout, dtype=dtype, random_state=rng, **options)
    width = layers[-1].output_size if layers else input_size
    if dropout:
        layers.append(Dropout(dropout, dtype=dtype))
    return Sequential(*layers, Dense(width, output_size, dtype=dtype, random_state=rng))


def recurrent_layers(
    input_size,
    *,
    cell="lstm",
    hidden_layer_sizes=(64,),
    activation="tanh",
    init="default",
    bidirectional=False,
    dropout=0.0,
    embedding_dim=None,
    conv_filters=None,
    recurrent_dropout=0.0,
    zoneout=0.0,
    layer_norm=False,
    learn_initial_state=False,
    proj_size=0,
    dtype="float32",
    random_state=None,
):
    """Return what stands in front of the output: an embedding, convolutions and recurrent layers.

    Parameters
    ----------
    input_size, cell, hidden_layer_sizes, activation, init, bidirectional, dropout, embedding_dim, conv_filters, \
recurrent_dropout, zoneout, layer_norm, learn_initial_state, proj_size, dtype, random_state
        As of :func:`many_to_one`; `dropout` is between these layers only.

    Returns
    -------
    layers : list of Layer
        The last one is recurrent, where there is any.

    Examples
    --------
    >>> from fastrnn.models.recurrent import recurrent_layers
    >>> recurrent_layers(30, embedding_dim=4, cell="rnn", hidden_layer_sizes=(8,), dropout=0.5)
    [Embedding(30, 4), Dropout(0.5), RNN(4, 8)]
    """
    check_choice("cell", cell, tuple(CELLS))
    common = {"dtype": dtype, "random_state": as_generator(random_state)}
    options = {"bidirectional": bidirectional, "init": init, **common}
    if cell == "rnn":
        options["nonlinearity"] = activation
    if check_size("proj_size", proj_size, 0) and cell != "lstm":
        raise ValueError(f"proj_size is {proj_size}, which cell 'lstm' has and {cell!r} has not")
    variants = {"recurrent_dropout": recurrent_dropout, "zoneout": zoneout, "layer_norm": layer_norm}
    variants |= {"learn_initial_state": learn_initial_state, "proj_size": proj_size}
    options |= {name: value for name, value in variants.items() if value}
    layers = _front_end(check_size("input_size", input_size), embedding_dim, conv_filters, common)
    width = layers[-1].output_size if layers else input_size
    for hidden_size in hidden_layer_sizes:
        layers.append(CELLS[cell](width, hidden_size, **options))
        width = layers[-1].output_size
    if dropout:
        layers = [piece for layer in layers for piece in (layer, Dropout(dropout, dtype=dtype))][:-1]
    return layers


def _front_end(input_size, embedding_dim, conv_filters, common):
    """Return the layers in front of the recurrent ones: an Embedding, convolutions, either or none."""
    layers = []
    if embedding_dim is not None:
        layers.append(Embedding(input_size, check_size("embedding_dim", embedding_dim), **common))
    if conv_filters is None:
        conv_filters = ()
    elif not isinstance(conv_filters, tuple | list):
        conv_filters = (check_size("conv_filters", conv_filters),)
    for k, filters in enumerate(conv_filters):
        check_size(f"conv_filters[{k}]", filters)
        width = layers[-1].output_size if layers else input_size
        layers.append(Conv1d(width, filters, CONV_KERNEL_SIZE, activation="relu", **common))
    return layers
