"""The network of an estimator: composed by its parameters, or a copy of the one it was given."""

import copy
import inspect

import numpy as np

from ..layers import Embedding, Pool, Sequential
from ..models import many_to_many, many_to_one
from ..training.windows import STEPWISE

# what describes a network; a `network` stands instead of all of it
ARCHITECTURE = (
    *("hidden_layer_sizes", "activation", "cell", "init", "bidirectional", "pooling", "embedding_dim", "conv_filters"),
    *("dropout", "recurrent_dropout", "zoneout", "layer_norm", "learn_initial_state", "proj_size"),
)


def check_network(estimator):
    """Check the parameter ``network``, and that nothing else describes a network beside it."""
    network = estimator.network
    if network is None:
        return
    if not isinstance(network, Sequential):
        raise TypeError(f"network is an object of type {type(network).__name__}, expected a fastrnn.Sequential or None")
    parameters = inspect.signature(type(estimator).__init__).parameters
    for name in (name for name in ARCHITECTURE if name in parameters):
        value, default = getattr(estimator, name), parameters[name].default
        if value is not default and not np.array_equal(value, default):
            raise ValueError(f"{name} is {value!r}, expected {default!r} where network is given: it says all of that")
    if not network.params:
        raise ValueError(f"network is {network!r}, expected one with parameters to train")
    if network.consumes_time and estimator._per_step:
        raise ValueError(f"network is {network!r}, which has one output a sequence, expected an output a step")
    if not (network.consumes_time or estimator._per_step or reads_vectors(network)):
        raise ValueError(
            f"network is {network!r}, which has an output a step, expected one output a sequence: a Pool or an "
            "AttentionPool behind the recurrent layers"
        )
    check_dtype(estimator.dtype, network, "network")


def check_dtype(dtype, network, what):
    """Check that a parameter ``dtype`` is that of a network, or "auto"."""
    if not (isinstance(dtype, str) and dtype == "auto") and dtype != network.dtype:
        raise ValueError(f"dtype is {dtype!r}, expected 'auto' or that of {what}, {network.dtype.name!r}")


def reads_vectors(network):
    """Whether a network has no layer that sees more than one step: it maps a vector to a vector, one to one."""
    return table_of(network) is None and all(isinstance(layer, STEPWISE) for _, layer in network._leaves)


def table_of(network):
    """The `Embedding` with which a network begins, or None."""
    first = network._leaves[0][1]
    return first if isinstance(first, Embedding) else None


def make_network(estimator, sizes, rng):
    """The network to train, for the sizes of X and y that the estimator has read.

    Parameters
    ----------
    estimator : RNNClassifier or RNNRegressor
    sizes : tuple of int
        Of the hidden layers.
    rng : numpy.random.Generator
        Of initial weights.
    """
    if estimator.network is not None:
        _check_sizes(estimator)
        own = copy.deepcopy(estimator.network)
        one_to_one = reads_vectors(own) and not estimator._per_step
        return Sequential(*own.layers, Pool("last")) if one_to_one else own
    network = estimator._compose(sizes, rng)
    if estimator.embedding_dim is not None:
        with network.updating() as params:
            params[next(iter(params))][0] = 0.0  # the unknown token
    return network


def composed(estimator, sizes, rng):
    """The network that the parameters describe."""
    own = [name for name in ARCHITECTURE if name not in ("hidden_layer_sizes", "pooling")]
    options = {"pooling": estimator.pooling} if estimator.pooling is not None else {}
    compose = many_to_one if options else many_to_many
    return compose(
        estimator._input_size,
        estimator.n_outputs_,
        hidden_layer_sizes=sizes,
        **{name: getattr(estimator, name) for name in own},
        **options,
        dtype=estimator._dtype,
        random_state=rng,
    )


def _check_sizes(estimator):
    """Check that the given network reads X and gives what y needs."""
    network = estimator.network
    leaves = [layer for _, layer in network._leaves]
    reads = next((layer.input_size for layer in leaves if hasattr(layer, "input_size")), None)
    if table_of(network) is None and reads not in (None, estimator._input_size):
        raise ValueError(
            f"network reads input_size = {reads} features a step, expected those of X, {estimator._input_size}"
        )
    gives = next((layer.output_size for layer in reversed(leaves) if hasattr(layer, "output_size")), reads)
    if gives != estimator.n_outputs_:
        each = "step" if estimator._per_step else "sequence"
        raise ValueError(
            f"network gives output_size = {gives} numbers a {each}, expected {estimator.n_outputs_}: "
            f"{estimator._outputs_are}"
        )


def check_same(described, present):
    """Check that two networks have the same layers; weights may be any."""
    expected, found = _arguments(described), _arguments(present)
    if expected == found:
        return
    differences = [
        f"{name} = {value!r} and {other.get(name)!r}"
        for (_, one), (_, other) in zip(expected, found)
        for name, value in one.items()
        if value != other.get(name)
    ]
    shown = repr(described) != repr(present)
    raise ValueError(
        f"the parameters describe {described!r}, but training goes on with {present!r}"
        f"{'' if shown else f' ({differences[0]})'}: expected fit with warm_start=False, which starts anew"
    )


def _arguments(network):
    """For each layer its class and the arguments of its constructor, but for those that say how weights start."""
    found = []
    for _, layer in network._leaves:
        names = [name for name in inspect.signature(type(layer)).parameters if name not in ("random_state", "init")]
        found.append((type(layer), {name: getattr(layer, name, None) for name in names}))
    return found
