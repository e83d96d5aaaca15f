"""The weights of a torch layer as a fastrnn layer, packed anew whenever they have changed."""

from __future__ import annotations

import numpy as np

from .. import layers

_BITS = {4: np.int32, 8: np.int64}


class Weights:
    """What an accelerated layer keeps between calls.

    Whether the weights have changed is found out by comparing them, bit for bit, with a copy. A tensor's version
    would be cheaper to ask for, but does not move when the weights are written through ``.data``, through NumPy or by
    another process that shares them: a network that learns so would go on with its first weights.

    Parameters
    ----------
    module : torch.nn.RNNBase
        Only its options are read.
    """

    def __init__(self, module):
        self._options = {
            "input_size": module.input_size,
            "hidden_size": module.hidden_size,
            "num_layers": module.num_layers,
            "bias": module.bias,
            "dropout": module.dropout,
            "bidirectional": module.bidirectional,
        }
        if module.mode == "LSTM":
            self._kind = layers.LSTM
            self._options["proj_size"] = module.proj_size
        elif module.mode == "GRU":
            self._kind = layers.GRU
        else:
            self._kind = layers.RNN
            self._options["nonlinearity"] = module.nonlinearity
        self._template = None
        self._present = None

    def layer(self, tensors):
        """Return a fastrnn layer with the values of `tensors`, whose gradients belong to the caller alone.

        Safe in concurrent calls: a snapshot of the weights is immutable and published by one assignment.
        """
        arrays = [tensor.detach().numpy(force=True) for tensor in tensors]
        present = self._present
        if present is None or not present.holds(arrays):
            present = self._present = Snapshot(self._layer_of(arrays[0].dtype), arrays)
        return present.layer.twin()

    def _layer_of(self, dtype):
        template = self._template
        if template is None or template.dtype != dtype:
            template = self._template = self._kind(dtype=dtype.name, random_state=0, **self._options)
        return template


class Snapshot:
    """The weights at one moment, copied and packed."""

    def __init__(self, template, arrays):
        self.arrays = [np.array(array, order="C") for array in arrays]
        self.layer = template.twin()
        self.layer.bind(dict(zip(template.params, self.arrays)), version=int)  # 0: the copies never change
        self.layer._pack()

    def holds(self, arrays):
        """Whether `arrays` are the same bits."""
        return all(_same(mine, theirs) for mine, theirs in zip(self.arrays, arrays))


def _same(a, b):
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    bits = _BITS[a.itemsize]
    return bool((a.view(bits) == b.view(bits)).all())
