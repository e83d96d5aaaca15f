"""A stack of recurrent layers that reads a sequence and gives one output row."""

from ..init import as_generator
from ..layers import GRU, LSTM, RNN, Dense, Dropout, Pool, Sequential

# A new cell is one line here.
CELLS: dict[str, type] = {"lstm": LSTM, "gru": GRU, "rnn": RNN}


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
    dtype="float32",
    random_state=None,
):
    """Compose recurrent layers, a pool over time and a Dense layer without activation.

    Parameters
    ----------
    input_size, output_size : int
    cell : {"lstm", "gru", "rnn"}
    hidden_layer_sizes : sequence of int
        One recurrent layer each, the first reads the input.
    activation : {"tanh", "relu"}
        Of cell "rnn" alone.
    init : {"default", "glorot", "orthogonal", "identity"}
        Scheme of the recurrent layers, see :func:`fastrnn.init.initialise`.
    bidirectional : bool
    pooling : {"last", "mean", "max"}
    dropout : float
        Probability by which a feature is dropped between the layers, the output layer included.
    dtype : {"float32", "float64"}
    random_state : None, int, Generator or RandomState

    Returns
    -------
    network : Sequential
        (seq_len, batch_size, input_size) -> (batch_size, output_size)

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.models import many_to_one
    >>> network = many_to_one(12, 9, cell="gru", hidden_layer_sizes=(8, 4), bidirectional=True, random_state=0)
    >>> output, states = network(np.zeros((5, 2, 12), "float32"), lengths=[5, 3])
    >>> output.shape, len(states)
    ((2, 9), 2)
    """
    if cell not in CELLS:
        raise ValueError(f"cell is {cell!r}, expected one of {', '.join(map(repr, CELLS))}")
    rng = as_generator(random_state)
    options = {"bidirectional": bidirectional, "dtype": dtype, "random_state": rng, "init": init}
    if cell == "rnn":
        options["nonlinearity"] = activation
    layers = []
    for hidden_size in hidden_layer_sizes:
        if layers and dropout:
            layers.append(Dropout(dropout, dtype=dtype))
        layers.append(CELLS[cell](input_size, hidden_size, **options))
        input_size = layers[-1].output_size
    layers.append(Pool(pooling, dtype=dtype))
    if dropout:
        layers.append(Dropout(dropout, dtype=dtype))
    layers.append(Dense(input_size, output_size, dtype=dtype, random_state=rng))
    return Sequential(*layers)
