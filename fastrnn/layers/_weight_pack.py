"""The packed weights of layers that multiply by one matrix."""

from __future__ import annotations

import numpy as np

from .._core import native


class WeightPack:
    """Copies of the weights of one version, laid out for y = x W^T + b and, when first asked for, for d_x = d_y W."""

    __slots__ = ("_weight_for_d_x", "bias", "version", "weight")

    def __init__(self, params):
        self.weight = native.pack(self.matrix(params).T)
        self.bias = np.array(params["bias"], order="C") if "bias" in params else None
        self._weight_for_d_x = None

    @staticmethod
    def matrix(params):
        """Return W (output_size, columns)."""
        return params["weight"]

    def weight_for_d_x(self, params):
        """Return the pack of d_x = d_y W; `params` are those of the pack's version."""
        if self._weight_for_d_x is None:
            self._weight_for_d_x = native.pack(self.matrix(params))
        return self._weight_for_d_x
