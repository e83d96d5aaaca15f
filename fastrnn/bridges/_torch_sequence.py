"""A call of a fastrnn layer on tensors, as a function that autograd can go back through."""

from __future__ import annotations

import numpy as np
import torch
from torch.autograd import forward_ad


def run(layer, x, states, weights, training, padding=None):
    """Apply `layer`.

    Parameters
    ----------
    layer : fastrnn layer
        With the values of `weights`; nobody else uses its gradients.
    x : Tensor of shape (seq_len, batch_size, input_size), or packed (steps, input_size)
    states : list of Tensor
        Initial states; empty for zeros.
    weights : list of Tensor
        In the order of ``layer.params``.
    training : bool
        Drop between layers, where the layer has dropout.
    padding : Padding or None
        Where `x` is packed.

    Returns
    -------
    output : Tensor
        Time-major or packed, as `x`.
    *states_n : Tensor
    """
    call = Call(layer, padding, training)
    needs_graph = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *states, *weights))
    if needs_graph or forward_ad._current_level >= 0:  # in forward mode, for autograd to say that there is none
        return Sequence.apply(call, len(states), x, *states, *weights)
    return tuple(torch.from_numpy(result) for result in call.infer(_array(x), [_array(state) for state in states]))


class Sequence(torch.autograd.Function):
    """A recurrent layer on a sequence."""

    @staticmethod
    def forward(ctx, call, n_states, x, *tensors):
        results = call.forward(_array(x), [_array(state) for state in tensors[:n_states]])
        results = tuple(torch.from_numpy(result) for result in results)
        ctx.call, ctx.n_states = call, n_states
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, *tensors, results[0])  # all: torch then notices when one is changed before backward
        return results

    @staticmethod
    def backward(ctx, *d_results):
        x, *tensors, output = ctx.saved_tensors
        n, call = ctx.n_states, ctx.call
        with torch.no_grad():
            d_output, *d_states_n = (None if d is None else _array(d) for d in d_results)
            states = [_array(state) for state in tensors[:n]]
            needed = ctx.needs_input_grad[2:]
            wanted = {"wants_x": needed[0], "wants_parameters": any(needed[1 + n :])}
            found = call.backward(_array(x), states, d_output, d_states_n, tuple(output.shape), wanted)
            grads = [torch.from_numpy(grad) if needs else None for grad, needs in zip(found, needed)]
        if torch.is_grad_enabled():  # create_graph=True
            grads = _without_derivative(type(call.layer).__name__, grads, [x, *tensors, *d_results])
        return None, None, *grads


class Underivable(torch.autograd.Function):
    """The first `n` tensors, as functions of all others that have no derivative."""

    @staticmethod
    def forward(ctx, name, n, *tensors):
        ctx.name = name
        return tensors[:n]

    @staticmethod
    def backward(ctx, *_):
        raise NotImplementedError(
            f"an accelerated {ctx.name} has no second derivatives; call fastrnn.accelerate(model, undo=True) "
            "to differentiate its gradients"
        )


def _without_derivative(name, grads, sources):
    given = [grad for grad in grads if grad is not None]
    sources = [tensor for tensor in sources if tensor is not None and tensor.requires_grad]
    marked = iter(Underivable.apply(name, len(given), *given, *sources))
    return [None if grad is None else next(marked) for grad in grads]


class Call:
    """One run of a layer, and its backward, which torch may ask for more than once.

    Parameters
    ----------
    layer, padding, training
        As in `run`.
    """

    def __init__(self, layer, padding, training):
        self.layer, self.padding = layer, padding
        self.drops = bool(training and layer.dropout and layer.num_layers > 1)
        self.draws = Draws(layer) if self.drops else None
        self._backward = None

    def infer(self, x, states):
        """Return (output, *states_n) as arrays, keeping nothing."""
        if self.drops:
            (output, state_n), _ = self._forward(x, states)
        else:
            x, lengths = self._sequence(x)
            output, state_n = self.layer(x, _state(states), lengths, n_threads=torch.get_num_threads())
        return self._results(output, state_n)

    def forward(self, x, states):
        """Return (output, *states_n) as arrays, and keep what backward needs."""
        (output, state_n), self._backward = self._forward(x, states)
        return self._results(output, state_n)

    def backward(self, x, states, d_output, d_states_n, output_shape, wanted):
        """Return d_x, the gradients of `states` and those of the weights; None for what is not `wanted`.

        The first time uses up what `forward` kept; after that (``retain_graph=True``) it is made anew.
        """
        backward, self._backward = self._backward, None
        if backward is None:
            _, backward = self._forward(x, states)
        if d_output is None:
            d_output = np.zeros(output_shape, self.layer.dtype)
        d_x, d_state_0 = backward(self._pad(d_output), self._d_state_n(d_states_n), **wanted)
        d_weights = [None] * len(self.layer.params)
        if wanted["wants_parameters"]:
            d_weights = list(self.layer.grads.values())
            self.layer._grads = None  # in torch's hands now
        return [None if d_x is None else self._unpad(d_x), *_parts(d_state_0)[: len(states)], *d_weights]

    def _forward(self, x, states):
        x, lengths = self._sequence(x)
        if self.drops:
            self.draws.rewind()
        n_threads = torch.get_num_threads()
        return self.layer.forward(x, _state(states), lengths, training=self.drops, rng=self.draws, n_threads=n_threads)

    def _d_state_n(self, d_states_n):
        """Return the gradient of the last state, with zeros for a missing part of a pair; None where all is missing."""
        if all(d is None for d in d_states_n):
            return None
        like = next(d for d in d_states_n if d is not None)
        sizes = (self.layer.proj_size or self.layer.hidden_size, self.layer.hidden_size)
        pairs = zip(d_states_n, sizes)
        return _state([np.zeros((*like.shape[:2], size), like.dtype) if d is None else d for d, size in pairs])

    def _sequence(self, x):
        return (x, None) if self.padding is None else (self.padding.pad(x), self.padding.lengths)

    def _pad(self, rows):
        return rows if self.padding is None else self.padding.pad(rows)

    def _unpad(self, x):
        return x if self.padding is None else self.padding.pack(x)

    def _results(self, output, state_n):
        return self._unpad(output), *_parts(state_n)


class Draws(np.random.Generator):
    """The numbers of which a layer makes its dropout masks: such that they are the masks of torch.

    They come from torch's generator, by the call and in the order of torch's own layers: the same seed drops the same.
    What was drawn is kept, for a backward that has to make the forward pass anew.

    Parameters
    ----------
    layer : fastrnn layer
    """

    def __init__(self, layer):
        super().__init__(np.random.PCG64(0))
        self._keep, self._like = 1.0 - layer.dropout, torch.empty(0, dtype=_torch_dtype(layer.dtype))
        self._drawn, self._next = [], 0

    def rewind(self):
        """Give the same numbers again."""
        self._next = 0

    def random(self, size):
        """Return 0 where torch keeps and 1 where it drops; anything below the fraction that is kept counts as kept."""
        if self._next == len(self._drawn):
            self._drawn.append(self._dropped(size))
        self._next += 1
        return self._drawn[self._next - 1]

    def _dropped(self, size):
        if self._keep == 0.0:  # torch draws nothing then
            return np.ones(size, bool)
        return (self._like.new_empty(size).bernoulli_(self._keep) == 0).numpy()


class Padding:
    """Where the rows of a PackedSequence stand in a padded array.

    Parameters
    ----------
    batch_sizes : int64 ndarray of shape (seq_len,)
        Falling.
    """

    def __init__(self, batch_sizes):
        self.shape = len(batch_sizes), int(batch_sizes[0])
        seq_len, batch_size = self.shape
        self.lengths = self._index = None
        if batch_sizes[-1] < batch_size:
            self.lengths = np.searchsorted(-batch_sizes, -np.arange(batch_size))
            step = np.repeat(np.arange(seq_len), batch_sizes)
            first = np.cumsum(batch_sizes) - batch_sizes
            self._index = step * batch_size + np.arange(len(step)) - first[step]

    def pad(self, rows):
        """Return rows (steps, features) as (seq_len, batch_size, features); padding is left as it comes."""
        if self._index is None:
            return rows.reshape(*self.shape, rows.shape[1])
        padded = np.empty((self.shape[0] * self.shape[1], rows.shape[1]), rows.dtype)
        padded[self._index] = rows
        return padded.reshape(*self.shape, rows.shape[1])

    def pack(self, padded):
        """Return the steps of (seq_len, batch_size, features) as rows; the inverse of `pad`."""
        flat = padded.reshape(-1, padded.shape[2])
        return flat if self._index is None else flat.take(self._index, axis=0)


def _array(tensor):
    """Return a tensor's values, contiguous; shared where they are so already."""
    return tensor.detach().contiguous().numpy(force=True)


def _torch_dtype(dtype):
    return torch.float32 if dtype == np.float32 else torch.float64


def _state(states):
    """[] -> None, [h] -> h, [h, c] -> (h, c)."""
    return tuple(states) if len(states) > 1 else (states[0] if states else None)


def _parts(state):
    return state if isinstance(state, tuple) else (state,)
