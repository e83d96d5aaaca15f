"""Weights under torch's names, where torch.nn has layers that do with them what ours do."""

from __future__ import annotations

from ..layers import Sequential
from ..layers._base import Layer
from ..models import Network

# What the recurrent layers of torch.nn lack: attribute, its value there, and how it is called.
_PLAIN = (
    ("peepholes", False, "peepholes"),
    ("coupled_gates", False, "coupled gates"),
    ("activations", None, "other activations"),
    ("clip", None, "clip"),
    ("layer_norm", False, "layer normalisation of the gates"),
    ("zoneout", 0.0, "zoneout"),
    ("learn_initial_state", False, "a learned initial state"),
    ("reset_after", True, "the reset gate before the product"),
)
_WITHOUT_TWIN = ("AttentionPool", "TiedDense")


def state_dict(obj):
    """Return the weights of a layer, a network or a fitted estimator for ``load_state_dict`` of torch modules.

    Parameters
    ----------
    obj : layer, Sequential, Network, or fitted RNNClassifier or RNNRegressor

    Returns
    -------
    dict of str to ndarray
        Copies, named as by ``nn.LSTM``, ``nn.Linear``, ``nn.Embedding``, ``nn.Conv1d`` and ``nn.LayerNorm``, those of a
        network behind the layer's place: ``"0.weight_ih_l0"``.

    Raises
    ------
    ValueError
        Where torch.nn has no layer that computes the same: peepholes, coupled gates, a reset gate before the product,
        other activations, clip, layer normalisation or zoneout within a cell, a learned initial state, AttentionPool;
        the message names the layer and what it has. Dropout of any kind is at work in training only, and passes.
    TypeError
        Where `obj` is something else.

    Examples
    --------
    >>> import fastrnn
    >>> sorted(fastrnn.state_dict(fastrnn.GRU(3, 4)))
    ['bias_hh_l0', 'bias_ih_l0', 'weight_hh_l0', 'weight_ih_l0']

    In torch: ``nn.GRU(3, 4).load_state_dict({k: torch.from_numpy(v) for k, v in fastrnn.state_dict(gru).items()})``
    """
    source = obj if isinstance(obj, Layer | Network) else getattr(obj, "network_", None)
    if isinstance(source, Network):
        leaves = source._chain._leaves
    elif isinstance(source, Layer):
        leaves = source._leaves if isinstance(source, Sequential) else [("", source)]
    else:
        raise TypeError(
            f"obj is an object of type {type(obj).__name__}, expected a layer, a Sequential, a Network or a fitted "
            "estimator"
        )
    for place, layer in leaves:
        _check(f"layer {place} ({layer!r})" if place else repr(layer), layer)
    return source.state_dict()


def _check(where, layer):
    kind = type(layer).__name__
    if kind in _WITHOUT_TWIN:
        raise ValueError(f"{where} is of a kind that torch.nn does not have")
    if layer.is_recurrent:
        for attribute, plain, called in _PLAIN:
            if getattr(layer, attribute, plain) != plain:
                raise ValueError(f"{where} has {called}, which torch.nn.{kind} does not have")
