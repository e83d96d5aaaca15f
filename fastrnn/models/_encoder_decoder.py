"""What the parts of an `EncoderDecoder` must be to fit each other, and the states that go between them."""

from __future__ import annotations

import numpy as np

from ..layers import Dense, Embedding
from ..layers._base import Layer


def check_parts(network):
    """Raise TypeError or ValueError where the parts of an `EncoderDecoder` do not fit."""
    for place, layer in network._leaves:
        if not isinstance(layer, Layer):
            raise TypeError(f"{place} is an object of type {type(layer).__name__}, expected a layer")
        if layer.dtype is not None and layer.dtype != network.dtype:
            raise ValueError(f"{place} has dtype {layer.dtype}, expected that of the decoder, {network.dtype}")
    if len({id(layer) for _, layer in network._leaves}) < len(network._leaves):
        raise ValueError("one layer stands in two places, expected another object in each")
    _check_decoder(network)
    _check_bridges(network)
    _check_attention(network)


def _check_decoder(network):
    decoder = [layer for _, layer in network.decoder._leaves]
    if not isinstance(decoder[0], Embedding):
        raise ValueError(f"decoder begins with {decoder[0]!r}, expected an Embedding: it reads tokens")
    if not any(layer.is_recurrent for layer in decoder):
        raise ValueError(f"decoder is {network.decoder!r}, expected one with a recurrent layer")
    for layer in decoder:
        if layer.consumes_time or getattr(layer, "bidirectional", False) or hasattr(layer, "output_lengths"):
            raise ValueError(f"decoder has {layer!r}, which does not work on one step after another")
        if getattr(layer, "learn_initial_state", False):
            raise ValueError(f"decoder has {layer!r}, which learns its initial state, expected bridges to give it")
    classes = width_of(network.head)
    if classes != decoder[0].num_embeddings:
        raise ValueError(
            f"head gives {classes} classes, expected num_embeddings of the decoder's Embedding = "
            f"{decoder[0].num_embeddings}: token 0 and class 0 are the boundary, others mean the same"
        )


def _check_bridges(network):
    targets = [rows * size for rows, size in shapes_of(network.decoder)]
    if len(network.bridges) != len(targets):
        raise ValueError(f"bridges has {len(network.bridges)} entries, expected one per array of a state: {targets}")
    if network.reads_vector:
        sources = [None if network.encoder is None else width_of(network.encoder)] * len(targets)
    else:
        sources = [rows * size for rows, size in shapes_of(network.encoder)]
    if len(sources) != len(targets):
        raise ValueError(
            f"the encoder has {len(sources)} arrays of states, expected as many as the decoder, {len(targets)}"
        )
    for k, (bridge, source, target) in enumerate(zip(network.bridges, sources, targets, strict=True)):
        if bridge is None and source != target:
            raise ValueError(f"bridges[{k}] is None, expected Dense({source}, {target}): sizes differ")
        if bridge is not None and (not isinstance(bridge, Dense) or bridge.output_size != target):
            raise ValueError(f"bridges[{k}] is {bridge!r}, expected a Dense with output_size = {target}")
        if bridge is not None and source not in (None, bridge.input_size):
            raise ValueError(f"bridges[{k}] is {bridge!r}, expected one with input_size = {source}")


def _check_attention(network):
    width, attention = width_of(network.decoder), network.attention
    if attention is not None:
        if network.reads_vector:
            raise ValueError("attention is given, but the encoder hands on a vector, expected outputs at each step")
        found, expected = (attention.query_size, attention.memory_size), (width, width_of(network.encoder))
        if found != expected:
            raise ValueError(f"attention has (query_size, memory_size) = {found}, expected {expected}")
        width = attention.output_size
    first = next(layer for _, layer in network.head._leaves if hasattr(layer, "input_size"))
    if first.input_size != width:
        raise ValueError(f"head begins with {first!r}, expected input_size = {width}")


def width_of(network):
    """Return the size of the outputs of a `Sequential`."""
    return next(layer.output_size for _, layer in reversed(network._leaves) if hasattr(layer, "output_size"))


# states: of each recurrent layer one or two arrays (rows, batch_size, size), a row for each direction of each layer


def shapes_of(network):
    """Return [(rows, size)] of all arrays of the states of a `Sequential`."""
    return [
        (layer.num_layers * layer._directions, size)
        for _, layer in network._leaves
        if layer.is_recurrent
        for _, size in layer._state_symbols()
    ]


def arrays_of(states):
    """Return all arrays of a list of states."""
    return [array for state in states for array in (state if isinstance(state, tuple) else (state,))]


def as_states(network, arrays):
    """Return arrays as the list of states of a `Sequential`."""
    arrays, states = list(arrays), []
    for _, layer in network._leaves:
        if layer.is_recurrent:
            state = tuple(arrays.pop(0) for _ in layer._state_symbols())
            states.append(layer._give_state(state, False))
    return states


def side_by_side(array):
    """Return an array of a state as vectors (batch_size, rows * size)."""
    return np.ascontiguousarray(array.swapaxes(0, 1)).reshape(array.shape[1], -1)


def in_rows(vectors, rows, size):
    """Return the way back, (rows, batch_size, size)."""
    return np.ascontiguousarray(vectors.reshape(len(vectors), rows, size).swapaxes(0, 1))
