"""What is made of several layers: their parameters as one, under prefixed names."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from types import MappingProxyType

from .._validation import check_parameters
from ._base import Layer, settle


class Composite(Layer):
    """Layers that are trained and saved as one; the parameters are the layers' own.

    A subclass says in ``_leaves``, a list of (place, layer), which layers there are and what stands before the names of
    their parameters, and sets ``dtype``.
    """

    _leaves: list

    @property
    def params(self):
        """Mapping of str to ndarray: the parameters of all layers, read-only."""
        return MappingProxyType({f"{p}.{name}": a for p, layer in self._leaves for name, a in layer.params.items()})

    @property
    def grads(self):
        """Dict of str to ndarray: what backward adds into, with the names and shapes of `params`."""
        return {f"{place}.{name}": a for place, layer in self._leaves for name, a in layer.grads.items()}

    @property
    def version(self):
        """Tuple of the layers' versions."""
        return tuple(layer.version for _, layer in self._leaves)

    def zero_grad(self):
        """Set all gradients to zero, in place."""
        for _, layer in self._leaves:
            layer.zero_grad()

    @contextmanager
    def updating(self):
        """Open the parameters of all layers for writing.

        Yields
        ------
        dict of str to ndarray
            Writable views under prefixed names, as `Layer.updating` describes.
        """
        with ExitStack() as stack:
            opened = [(p, stack.enter_context(layer.updating())) for p, layer in self._leaves if layer.params]
            views = {f"{place}.{name}": view for place, own in opened for name, view in own.items()}
            given = dict(views)
            yield given
            settle(given, views)

    def bind(self, arrays, version=None):
        """Use weights that live elsewhere; as `Layer.bind`, `version` being asked once by each layer of a call."""
        found = check_parameters("arrays", arrays, self.params, dtype=self.dtype)
        for place, layer in self._leaves:
            if layer.params:
                layer.bind({name: found[f"{place}.{name}"] for name in layer.params}, version)
