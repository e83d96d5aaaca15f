"""What the tests of `save` and `load` share: an example of each layer, comparisons bit for bit, forged files."""

import json

import numpy as np

import fastrnn
from fastrnn import layers
from fastrnn.storage import write_arrays

LAYERS = {
    "RNN": lambda dtype: fastrnn.RNN(3, 4, nonlinearity="relu", bias=False, dtype=dtype),
    "LSTM": lambda dtype: fastrnn.LSTM(3, 5, 2, bidirectional=True, proj_size=2, dropout=0.25, dtype=dtype),
    "LSTM-batch-first": lambda dtype: fastrnn.LSTM(3, 4, batch_first=True, dtype=dtype),
    "GRU": lambda dtype: fastrnn.GRU(3, 4, 3, dtype=dtype, random_state=1),
    "GRU-reset-before": lambda dtype: fastrnn.GRU(3, 4, bidirectional=True, reset_after=False, dtype=dtype),
    "Activation": lambda dtype: layers.Activation("elu", alpha=0.5, dtype=dtype),
    "AdaptiveSoftmax": lambda dtype: layers.AdaptiveSoftmax(9, 7, [2, 4], div_value=2.5, bias=True, dtype=dtype),
    "AdaptiveSoftmax-no-bias": lambda dtype: layers.AdaptiveSoftmax(4, 7, (3,), dtype=dtype),
    "AttentionPool": lambda dtype: layers.AttentionPool(3, 2, dtype=dtype),
    "Conv1d": lambda dtype: layers.Conv1d(3, 4, 2, stride=2, padding=1, bias=False, dtype=dtype),
    "Conv2d": lambda dtype: layers.Conv2d((2, 5, 4), 3, (3, 2), stride=(2, 1), padding=(1, 0), dtype=dtype),
    "Conv2d-no-bias": lambda dtype: layers.Conv2d([1, 3, 3], 2, 2, bias=False, activation="tanh", dtype=dtype),
    "CrossAttention": lambda dtype: layers.CrossAttention(3, 4, output_size=5, dtype=dtype),
    "CrossAttention-additive": lambda dtype: layers.CrossAttention(3, 4, "additive", 2, dtype=dtype),
    "Dense": lambda dtype: fastrnn.Dense(3, 4, activation="relu", dtype=dtype),
    "Dense-no-bias": lambda dtype: fastrnn.Dense(3, 4, bias=False, dtype=dtype),
    "Dropout": lambda dtype: fastrnn.Dropout(0.25, dtype=dtype),
    "Embedding": lambda dtype: fastrnn.Embedding(5, 3, dtype=dtype, mask_token=0),
    "LayerNorm": lambda dtype: layers.LayerNorm(3, eps=1e-3, dtype=dtype),
    "Masking": lambda dtype: layers.Masking(-1.5, dtype=dtype),
    "Pool": lambda dtype: fastrnn.Pool("max", bidirectional=True, dtype=dtype),
    "Reverse": lambda dtype: layers.Reverse(dtype=dtype),
    "Unmask": lambda dtype: layers.Unmask(dtype=dtype),
    "Sequential": lambda dtype: fastrnn.Sequential(
        fastrnn.Embedding(7, 3, dtype=dtype),
        fastrnn.Sequential(fastrnn.Dropout(0.1), layers.LayerNorm(3, dtype=dtype)),
        fastrnn.GRU(3, 4, bidirectional=True, dtype=dtype),
        fastrnn.Pool("last"),
        fastrnn.Dense(8, 2, dtype=dtype),
    ),
    "TiedDense": lambda dtype: tied(dtype),
    "TiedDense-nested": lambda dtype: tied(dtype, nested=True),
}


def tied(dtype, nested=False):
    """A network that reads and writes tokens by one table."""
    embedding = fastrnn.Embedding(7, 3, dtype=dtype)
    front = [embedding, fastrnn.LSTM(3, 3, dtype=dtype)]
    front = [fastrnn.Sequential(fastrnn.Sequential(*front), layers.LayerNorm(3, dtype=dtype))] if nested else front
    return fastrnn.Sequential(*front, layers.TiedDense(embedding))


LEFT_BY_USE = ("_version", "_grads", "_packed")  # a count of updates, gradients and a copy of the weights: not saved


def scrambled(layer):
    """The layer with weights that no initialisation draws, zeros of both signs and a NaN among them."""
    rng = np.random.default_rng(5)
    with layer.updating() as params:
        for values in params.values():
            values[...] = rng.standard_normal(values.shape)
            values.flat[0], values.flat[-1] = -0.0, np.nan
    return layer


def assert_same_layer(found, layer):
    assert type(found) is type(layer)
    assert constructor_arguments(found) == constructor_arguments(layer)
    assert list(found.params) == list(layer.params)
    for name, values in layer.params.items():
        assert found.params[name].dtype == values.dtype
        assert found.params[name].tobytes() == values.tobytes()


def constructor_arguments(layer):
    """What a layer's `__dict__` holds in plain values; of a Sequential that of its layers."""
    if isinstance(layer, fastrnn.Sequential):
        return [constructor_arguments(inner) for inner in layer.layers]
    plain = (bool, int, float, str, np.dtype, type(None))
    return {key: v for key, v in vars(layer).items() if isinstance(v, plain) and key not in LEFT_BY_USE}


def assert_same_value(found, value):
    assert type(found) is type(value)
    if isinstance(value, layers.Sequential):
        assert_same_layer(found, value)
    elif isinstance(value, np.random.Generator):
        assert found.bit_generator.state == value.bit_generator.state
    elif isinstance(value, np.ndarray):
        assert found.dtype == value.dtype
        assert found.tolist() == value.tolist()
        assert [type(v) for v in found.tolist()] == [type(v) for v in value.tolist()]
    elif isinstance(value, dict):
        assert list(found) == list(value)
        assert_same_value(list(found.values()), list(value.values()))
    elif isinstance(value, list | tuple):
        assert len(found) == len(value)
        for one, other in zip(found, value, strict=True):
            assert_same_value(one, other)
    else:
        assert found == value or (found != found and value != value)


def forge(path, config, arrays=None, **metadata):
    """Write a file of the right form around any configuration."""
    config = config if isinstance(config, str) else json.dumps(config)
    plain = {"format": "fastrnn", "format_version": "1", "fastrnn_version": "9.9", "config": config}
    write_arrays(path, arrays or {}, plain | metadata)
