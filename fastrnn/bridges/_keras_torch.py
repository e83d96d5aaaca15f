"""The loop of an accelerated Keras layer on tensors of torch, through which autograd can go back."""

from __future__ import annotations

import torch

from ._torch_sequence import run as run_sequence


def run(loop, sequences, states, steps):
    """Return (last output, outputs, states) as `keras.layers.RNN.inner_loop` does.

    Parameters
    ----------
    loop : fastrnn.bridges.keras.Loop
    sequences : Tensor of shape (batch_size, seq_len, input_size)
    states : list of Tensor of shape (batch_size, hidden_size)
    steps : Steps or None
    """
    layer = loop.layer
    x = sequences.flip(1) if layer.go_backwards else sequences
    x = x.transpose(0, 1)
    if steps is not None:
        x = steps.together(x, torch.take_along_dim, _index)
    weights = _weights(loop)
    ours = loop.fastrnn_layer([weight.detach().numpy(force=True) for weight in weights])
    states = [state.unsqueeze(0) for state in states]
    padding = None if steps is None else Lengths(steps.lengths)
    y, *states_n = run_sequence(ours, x, states, weights, False, padding)
    states_n = [state.squeeze(0) for state in states_n]
    if not layer.return_sequences:
        last = states_n[0] if steps is None else steps.last(states_n[0], torch.where, _index)
        return last, last.unsqueeze(1), states_n
    y = y if steps is None else steps.in_place(y, torch.take_along_dim, torch.where, _index)
    return y[-1], y.transpose(0, 1), states_n


def _weights(loop):
    """Return Keras's weights as those of our layer, as functions of Keras's."""
    cell, order = loop.layer.cell, torch.from_numpy(loop.order)
    found = [weight.value.index_select(1, order).t().contiguous() for weight in (cell.kernel, cell.recurrent_kernel)]
    if cell.bias is not None:
        rows = torch.atleast_2d(cell.bias.value).index_select(1, order)
        found += [rows[0], rows[1] if len(rows) == 2 else torch.zeros_like(rows[0])]
    return found


def _index(array):
    return torch.from_numpy(array.copy())  # torch has no negative strides


class Lengths:
    """Rows of different lengths in a padded tensor, in the place of a `_torch_sequence.Padding`."""

    def __init__(self, lengths):
        self.lengths = lengths

    def pad(self, padded):
        """Return it as it is."""
        return padded

    pack = pad
