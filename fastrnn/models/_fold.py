"""An Embedding multiplied into the layer behind it: W_ih E becomes the input weights, a token one of its columns."""

from __future__ import annotations

import copy

import numpy as np

from ..layers import Dense, Embedding, TiedDense


def folded(layers):
    """Return layers that compute the same with less work, or the same list where there is nothing to gain.

    Parameters
    ----------
    layers : sequence of Layer
        Where an Embedding with fewer tokens than features stands before a recurrent layer, W_ih (G, E) times the table
        (V, E) transposed, in float64, becomes a W_ih of V columns, and the Embedding gives unit vectors.
    """
    first, second = layers[0], layers[1] if len(layers) > 1 else None
    is_pair = isinstance(first, Embedding) and second is not None and second.is_recurrent
    if not is_pair or first.num_embeddings >= first.embedding_dim:
        return list(layers)
    size = first.num_embeddings
    units = Embedding(size, size, dtype=first.dtype, random_state=0, mask_token=first.mask_token)
    units.load_state_dict({"weight": np.eye(size)})
    table = first.params["weight"].astype(np.float64)
    behind = copy.deepcopy(second)
    for name, weight in second.params.items():
        if name.startswith("weight_ih_l0"):
            product = (weight.astype(np.float64) @ table.T).astype(second.dtype)
            behind._arrays[name] = product
            behind._views[name] = product.view()
            behind._views[name].flags.writeable = False
    behind.input_size = size
    return [units, behind, *(_untied(layer) for layer in layers[2:])]


def _untied(layer):
    """Return a `TiedDense` as a Dense with the table for its own; any other layer as it is."""
    if not isinstance(layer, TiedDense):
        return layer
    dense = Dense(layer.input_size, layer.output_size, dtype=layer.dtype, random_state=0)
    dense.load_state_dict({"weight": layer.tied_to.params["weight"], "bias": layer.params["bias"]})
    return dense
