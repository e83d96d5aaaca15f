"""Layers one after another."""

from __future__ import annotations

import numpy as np

from .._validation import check_out, check_size, check_states
from ._base import Layer
from ._composite import Composite
from .activation import Activation
from .conv1d import Conv1d
from .dropout import Dropout
from .embedding import Embedding
from .layer_norm import LayerNorm
from .masking import Masking, Unmask
from .pool import Pool
from .tied_dense import TiedDense


class Sequential(Composite):
    """A network in which each layer takes what the one before it gives.

    `lengths` and `rng` go to every layer; behind a `Conv1d` they are its `output_lengths`, and behind a `Pool` or an
    `AttentionPool` there is no time axis and so no `lengths`. The layers own their parameters, which appear here with
    the layer's place before their name: ``0.weight_ih_l0``.

    Parameters
    ----------
    *layers : Layer
        Recurrent layers must be time-major (``batch_first=False``), an `Embedding` must come first, and a `TiedDense`
        must be tied to that one. A ``Pool("last")`` behind a bidirectional layer is read as ``Pool("last",
        bidirectional=True)``.

    Attributes
    ----------
    layers : tuple of Layer
    params : mapping
        Parameters of all layers, read-only.
    grads : dict
        Their gradients.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn
    >>> network = fastrnn.Sequential(
    ...     fastrnn.LSTM(12, 8, random_state=0), fastrnn.Pool("last"), fastrnn.Dense(8, 3, random_state=1)
    ... )
    >>> x = np.zeros((5, 2, 12))  # five steps of two sequences
    >>> output, states = network(x, lengths=[5, 3])
    >>> output.shape, len(states)
    ((2, 3), 1)
    >>> list(network.params)[-2:]
    ['2.weight', '2.bias']
    """

    def __init__(self, *layers):
        super().__init__(None)
        if not layers:
            raise ValueError("Sequential got no layers, expected at least one")
        for k, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                raise TypeError(f"layers[{k}] is an object of type {type(layer).__name__}, expected a fastrnn layer")
        self._adopt(layers)
        _check_chain(self._leaves)

    def _adopt(self, layers):
        self.layers = tuple(layers)
        self._leaves = _leaves(self.layers)  # [(place, layer)], nested networks opened
        self.dtype = next((layer.dtype for _, layer in self._leaves if layer.dtype is not None), None)
        self.consumes_time = any(layer.consumes_time for _, layer in self._leaves)
        self._num_recurrent = sum(layer.is_recurrent for _, layer in self._leaves)

    @classmethod
    def _part(cls, layers):
        """Return some layers of another network, in order, as a network that need not stand on its own."""
        part = cls.__new__(cls)
        Composite.__init__(part, None)
        part._adopt(layers)
        return part

    def __repr__(self):
        return f"Sequential({', '.join(repr(layer) for layer in self.layers)})"

    def __len__(self):
        return len(self.layers)

    def twin(self):
        """Return a network with the same parameters, not copied, and with gradients of its own; as `Layer.twin`."""
        twins = {}
        for _, layer in self._leaves:  # an Embedding, the first of them, before what is tied to it
            tied = isinstance(layer, TiedDense)
            twins[id(layer)] = layer.tied_again(twins[id(layer.tied_to)]) if tied else layer.twin()
        return self._of_twins(twins)

    def _of_twins(self, twins):
        """Return a network of {id of a layer: its twin}."""
        twin = super().twin()
        twin._leaves = [(place, twins.get(id(layer), layer)) for place, layer in self._leaves]
        twin.layers = tuple(
            layer._of_twins(twins) if isinstance(layer, Sequential) else twins.get(id(layer), layer)
            for layer in self.layers
        )
        return twin

    # computing

    def __call__(self, x, states=None, lengths=None, *, n_threads=None):
        """Apply all layers, without dropout.

        Parameters
        ----------
        x : array_like of shape (seq_len, batch_size, input_size), or of int (seq_len, batch_size) for an Embedding
        states : list, optional
            One entry for each recurrent layer, None for zeros: ``(h_0, c_0)`` of an LSTM, ``h_0`` of a GRU or RNN.
        lengths : array_like of int of shape (batch_size,), optional
            Steps of each row; what comes after is not read.
        n_threads : int, optional
            At most so many threads.

        Returns
        -------
        output : ndarray
            Of the last layer.
        states : list
            The last states, with one entry for each recurrent layer.
        """
        states = check_states("states", states, self._num_recurrent)
        states_n = []
        for _, layer in self._leaves:
            if layer.is_recurrent:
                x, state_n = layer(x, states[len(states_n)], lengths, n_threads=n_threads)
                states_n.append(state_n)
            else:
                x = layer(x, lengths, n_threads=n_threads)
            lengths = _lengths_behind(layer, lengths)
        return x, states_n

    def forward(self, x, states_0=None, lengths=None, *, training=True, rng=None, n_threads=None):
        """Apply all layers and keep what the gradients need.

        Parameters
        ----------
        x, states_0, lengths, n_threads
            As in a call. `x` must not be changed before `backward`.
        training : bool, default=True
            False drops nothing.
        rng : numpy.random.Generator
            Where dropout masks come from, layer after layer; needed where one is drawn.

        Returns
        -------
        (output, states_n) : (ndarray, list)
            Not to be changed before `backward`.
        backward : callable
            ``d_x, d_states_0 = backward(d_output, d_states_n=None, *, wants_x=True)``; adds the gradients of the
            parameters into `grads`. `d_x` is None where nobody wants it, which saves a first recurrent layer its work,
            and where the first layer is an Embedding. Works once.
        """
        states_0 = check_states("states_0", states_0, self._num_recurrent)
        states_n, chain = [], []
        keywords = {"training": training, "rng": rng, "n_threads": n_threads}
        for _, layer in self._leaves:
            if layer.is_recurrent:
                (x, state_n), backward = layer.forward(x, states_0[len(states_n)], lengths, **keywords)
                states_n.append(state_n)
            else:
                x, backward = layer.forward(x, lengths, **keywords)
            chain.append(backward)
            lengths = _lengths_behind(layer, lengths)
        return (x, states_n), self._chained(chain)

    def _chained(self, chain):
        """Return the backward of the whole network from those of its layers, which it empties."""
        updates = [layer._version for _, layer in self._leaves]

        def backward(d_output, d_states_n=None, *, wants_x=True):
            d_states_n = check_states("d_states_n", d_states_n, self._num_recurrent)
            if len(chain) < len(self._leaves):
                raise RuntimeError("this backward of a Sequential was used before; call forward again")
            for (_, layer), update in zip(self._leaves, updates, strict=True):
                if layer._version != update:  # before any gradient is added
                    layer._raise_changed()
            d_states_0, d = [], d_output
            for _, layer in reversed(self._leaves):
                if layer.is_recurrent:
                    wanted = wants_x or len(chain) > 1
                    d, d_state_0 = chain[-1](d, d_states_n[-1 - len(d_states_0)], wants_x=wanted)
                    d_states_0.append(d_state_0)
                else:
                    d = chain[-1](d)
                chain.pop()  # gives the layer's buffers back
            return d if wants_x else None, d_states_0[::-1]

        return backward

    def stepper(self, batch_size=1):
        """Return an object that takes one time step at a time.

        Parameters
        ----------
        batch_size : int, default=1

        Returns
        -------
        SequentialStepper

        Raises
        ------
        ValueError
            Where a layer needs more than one step: a bidirectional one, a Pool, an AttentionPool or a Conv1d.

        Examples
        --------
        >>> import numpy as np
        >>> import fastrnn
        >>> network = fastrnn.Sequential(fastrnn.GRU(3, 4, random_state=0), fastrnn.Dense(4, 2, random_state=1))
        >>> x = np.ones((6, 1, 3), np.float32)
        >>> output, _ = network(x)
        >>> stepper = network.stepper()
        >>> all((stepper.step(x[t]) == output[t]).all() for t in range(6))
        True
        """
        return SequentialStepper(self._leaves, check_size("batch_size", batch_size))


class SequentialStepper:
    """One time step after another through the layers of a `Sequential`, with the weights that it was made with.

    A stepper belongs to one thread at a time.
    """

    def __init__(self, leaves, batch_size):
        self._recurrent, self._steps = [], []
        for place, layer in leaves:
            if layer.is_recurrent and layer.bidirectional:
                raise ValueError(f"{_label(place, layer)} has no stepper: it is bidirectional")
            if layer.is_recurrent:
                self._recurrent.append(layer.stepper(batch_size))
                self._steps.append(self._recurrent[-1].step)
            elif layer.consumes_time:
                raise ValueError(f"{_label(place, layer)} has no stepper: it needs the whole sequence")
            else:
                self._steps.append(layer._step_function(batch_size))

    def step(self, x_t, out=None):
        """Take one step.

        Parameters
        ----------
        x_t : array_like of shape (batch_size, input_size), or of int (batch_size,) for an Embedding
        out : ndarray of shape (batch_size, output_size), optional
            To be filled with the result, in the network's dtype.

        Returns
        -------
        ndarray of shape (batch_size, output_size)
            `out` where it is given, else a new array.
        """
        y = x_t
        for step in self._steps:
            y = step(y)
        if out is None:
            return y
        np.copyto(check_out(out, y.shape, y.dtype), y)
        return out

    @property
    def state(self):
        """List of copies of the present states, with one entry for each recurrent layer."""
        return [stepper.state for stepper in self._recurrent]

    def reset(self):
        """Go back to states of zero."""
        for stepper in self._recurrent:
            stepper.reset()


def _lengths_behind(layer, lengths):
    """Return the lengths of the rows of what `layer` gives; None where it has no time axis or lengths is None."""
    if lengths is None or layer.consumes_time:
        return None
    return layer.output_lengths(lengths) if isinstance(layer, Conv1d) else lengths


def _label(place, layer):
    return f"layer {place} ({type(layer).__name__})"


def _leaves(layers, prefix=""):
    """Return [(place, layer)] in order, with the layers of nested networks in their stead."""
    leaves = []
    for k, layer in enumerate(layers):
        if isinstance(layer, Sequential):
            leaves += _leaves(layer.layers, f"{prefix}{k}.")
        else:
            leaves.append((f"{prefix}{k}", layer))
    return _with_pools_told(leaves)


def _with_pools_told(leaves):
    """Put ``Pool("last", bidirectional=True)`` behind bidirectional layers; the given Pool stays as it was."""
    told, bidirectional = [], False
    for place, layer in leaves:
        if isinstance(layer, Pool) and layer.kind == "last" and bidirectional and not layer.bidirectional:
            layer = Pool("last", bidirectional=True, dtype=layer.dtype)
        if not isinstance(layer, Activation | Dropout | LayerNorm | Unmask):
            bidirectional = layer.is_recurrent and layer.bidirectional
        told.append((place, layer))
    return told


def _check_chain(leaves):
    """Raise where one layer cannot follow the others."""
    with_parameters, before, dtype_of, time_consumed_by = {}, None, None, None
    for place, layer in leaves:
        here = _label(place, layer)
        if getattr(layer, "batch_first", False):
            raise ValueError(f"{here} has batch_first=True, expected False: a Sequential is time-major")
        if isinstance(layer, Embedding) and layer is not leaves[0][1]:
            raise ValueError(f"{here} takes tokens, expected it to be the first layer")
        if isinstance(layer, TiedDense) and layer.tied_to is not leaves[0][1]:
            raise ValueError(
                f"{here} is tied to {layer.tied_to!r}, expected that to be the first layer, not {_label(*leaves[0])}"
            )
        if isinstance(layer, Masking) and layer is not leaves[0][1]:
            raise ValueError(f"{here} masks the input, expected it to be the first layer")
        if time_consumed_by and (layer.is_recurrent or layer.consumes_time):
            raise ValueError(f"{here} needs a time axis, which {time_consumed_by} has consumed")
        if layer.params and id(layer) in with_parameters:
            raise ValueError(f"{here} is the same object as {with_parameters[id(layer)]}, expected another layer")
        with_parameters[id(layer)] = here
        size = getattr(layer, "input_size", None)
        if before and size is not None and size != before[1]:
            raise ValueError(f"{here} has input_size = {size}, expected output_size of {before[0]} = {before[1]}")
        if hasattr(layer, "output_size"):
            before = here, layer.output_size
        if layer.dtype is not None:
            if dtype_of and layer.dtype != dtype_of[1]:
                raise ValueError(f"{here} has dtype {layer.dtype}, expected that of {dtype_of[0]}, {dtype_of[1]}")
            dtype_of = dtype_of or (here, layer.dtype)
        if layer.consumes_time:
            time_consumed_by = here
