"""Truncated backpropagation through time: gradients that reach back a limited number of steps.

Of a network with an output a step, the sequences of a batch are cut into windows of so many steps. Each window goes
forward from the state at which the one before it ended and backward on its own (Williams and Peng 1990, "An efficient
gradient-based algorithm for on-line training of recurrent network trajectories", BPTT(h; h') with h = h').

A network whose output is that of the last step has one loss a sequence. Its gradient reaches back over the last steps
of each row, as many as the window has; the steps before go forward only, window by window.

Memory is that of one window in both cases.
"""

import numpy as np

from ..layers import (
    Activation,
    AdaptiveSoftmax,
    Conv2d,
    Dense,
    Dropout,
    Embedding,
    LayerNorm,
    Pool,
    Sequential,
    TiedDense,
)

# layers that see one step at a time
STEPWISE = (Activation, AdaptiveSoftmax, Conv2d, Dense, Dropout, Embedding, LayerNorm, TiedDense)


def check_windows(network):
    """Raise ValueError where windows of steps do not give the network's outputs."""
    for place, layer in _leaves(network):
        here = f"layer {place} ({layer!r})"
        if layer.is_recurrent:
            if layer.bidirectional:
                raise ValueError(f"bptt_window is set, but {here} is bidirectional: a window lacks the steps after it")
            if network.consumes_time and getattr(layer, "learn_initial_state", False):
                raise ValueError(f"bptt_window is set, but {here} learns its initial state, which gets no gradient")
        elif isinstance(layer, Pool):
            if layer.kind != "last":
                raise ValueError(
                    f"bptt_window is set, but {here} needs all steps at once, expected Pool('last') or no pooling"
                )
        elif not isinstance(layer, STEPWISE):
            raise ValueError(f"bptt_window is set, but {here} does not work on one step at a time")


def _leaves(network, prefix=""):
    for k, layer in enumerate(network.layers):
        if isinstance(layer, Sequential):
            yield from _leaves(layer, f"{prefix}{k}.")
        else:
            yield f"{prefix}{k}", layer


def forward_last(network, x, lengths, window, **options):
    """Apply a network whose output is that of the last step; its backward reaches back ``window`` steps of each row.

    Parameters
    ----------
    network : Sequential
    x : ndarray of shape (seq_len, batch_size, ...)
    lengths : ndarray of int64 of shape (batch_size,) or None
    window : int
    **options
        Of `Sequential.forward`.

    Returns
    -------
    output : ndarray of shape (batch_size, output_size)
    backward : callable
    """
    seq_len, batch_size = x.shape[:2]
    ends = np.full(batch_size, seq_len) if lengths is None else lengths
    cuts = np.maximum(ends - window, 0)  # (batch_size,): where the steps begin that get a gradient
    longest, states = int(cuts.max(initial=0)), None
    for start in range(0, longest, window):
        part = x[start : min(start + window, longest)]
        part_lengths = None if lengths is None else np.clip(cuts - start, 0, len(part))
        (_, states), _ = network.forward(part, states, lengths=part_lengths, **options)
    steps = np.minimum(cuts + np.arange(min(window, seq_len))[:, None], max(seq_len - 1, 0))
    last = x[steps, np.arange(batch_size)]  # (window, batch_size, ...): each row's last steps
    (output, _), backward = network.forward(
        last, states, lengths=None if lengths is None else lengths - cuts, **options
    )
    return output, backward
