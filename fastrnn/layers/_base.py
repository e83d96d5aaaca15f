"""What all layers share: parameters, gradients, versions, packs and bindings."""

from __future__ import annotations

from contextlib import contextmanager
from types import MappingProxyType

import numpy as np

from .._validation import check_dtype, check_parameters


class Layer:
    """Parameters with a version, their gradients, and a pack of each version.

    A layer holds nothing about a call: `forward` returns the output together with a function that, called once
    with the gradient of the output, returns the gradient of the input and adds those of the parameters into
    `grads`.

    Parameters
    ----------
    dtype : {"float32", "float64"}, default="float32"
        Type of parameters, gradients and outputs. A layer without parameters may have None: it then works in the
        type of its input.

    Notes
    -----
    A subclass registers its parameters with `_parameter` and builds in `_make_pack` whatever its kernels read.
    A pack is made of copies: updates happen in place, and whoever still holds an older pack keeps its weights.
    """

    consumes_time = False  # True where the output has no time axis
    is_recurrent = False

    def __init__(self, dtype="float32"):
        self.dtype = None if dtype is None else check_dtype(dtype)
        self._arrays = {}  # ours, or in other hands after bind
        self._views = {}  # the same, read-only
        self._grads = None  # made when first asked for: serving needs none
        self._version = 0
        self._foreign_version = None
        self._repacks_always = False
        self._open_updates = 0
        self._packed = None

    # parameters and gradients

    @property
    def params(self):
        """Mapping of str to ndarray: the parameters by name, read-only."""
        return MappingProxyType(self._views)

    @property
    def grads(self):
        """Dict of str to ndarray: what backward adds into, with the names and shapes of `params`."""
        if self._grads is None:
            self._grads = {name: np.zeros(array.shape, self.dtype) for name, array in self._arrays.items()}
        return self._grads

    @property
    def version(self):
        """Moves with every change of the parameters: an int; where bound, a pair of it and the owner's version."""
        if self._foreign_version is None:
            return self._version
        return self._version, self._foreign_version()

    def zero_grad(self):
        """Set all gradients to zero, in place."""
        if self._grads is not None:
            for grad in self._grads.values():
                grad.fill(0)

    def state_dict(self):
        """Return a dict of copies of all parameters.

        Returns
        -------
        dict of str to ndarray
        """
        return {name: np.array(array) for name, array in self.params.items()}

    def load_state_dict(self, state_dict):
        """Take over the values of all parameters.

        Parameters
        ----------
        state_dict : mapping of str to array_like
            Exactly the names of `params`, each with its shape; values are converted to the layer's dtype.

        Raises
        ------
        ValueError
            Where names are missing or unexpected, or shapes differ; the layer is left as it was.
        TypeError
            Where an array is complex, of objects or of text; the layer is left as it was.
        """
        values = check_parameters("state_dict", state_dict, self.params)
        with self.updating() as parameters:
            for name, value in values.items():
                _assign(parameters[name], value)

    @contextmanager
    def updating(self):
        """Open the parameters for writing.

        Yields
        ------
        dict of str to ndarray
            Writable views, to be changed in place; an array set under a name is copied in at the end of the
            block. They turn read-only when the block is left, by an exception too, which makes a new version:
            later calls use the new values, and a backward made before raises RuntimeError.
        """
        for name, array in self._arrays.items():
            if not array.flags.writeable:
                raise ValueError(f"{name} is bound to a read-only array, expected a writable one to update")
        views = {name: array.view() for name, array in self._arrays.items()}
        given = dict(views)
        self._version += 1  # nothing made before is used inside the block
        self._open_updates += 1
        try:
            yield given
            settle(given, views)
        finally:
            for view in views.values():
                view.flags.writeable = False
            self._open_updates -= 1
            self._version += 1

    def bind(self, arrays, version=None):
        """Use weights that live elsewhere (tensors of another library, memory maps) without copying them.

        Parameters
        ----------
        arrays : mapping of str to ndarray
            Exactly the names and shapes of `params`, in the layer's dtype; any strides, read-only or not.
        version : callable, optional
            Called without arguments once in each call of the layer; whenever it returns something else than
            before, the weights are packed anew. Without it every call packs them.

        Raises
        ------
        TypeError
            Where an array has another dtype than the layer.
        ValueError
            Where names are missing or unexpected, or shapes differ.
        """
        if version is not None and not callable(version):
            raise TypeError(f"version is {version!r}, expected a callable without arguments, or None")
        found = check_parameters("arrays", arrays, self.params, dtype=self.dtype)
        self._version += 1
        self._arrays, self._views = found, {name: _read_only(array) for name, array in found.items()}
        self._foreign_version, self._repacks_always = version, version is None
        self._packed = None

    def twin(self):
        """Return a layer with the same parameters and packed weights, not copied, and with gradients of its own.

        So that threads may call `backward` at once. A twin is for the present version: make one for each pass, since
        neither of the two learns of a version that the other makes.
        """
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__, _grads=None)
        return twin

    # for subclasses

    def _parameter(self, name, array):
        """Register a parameter: a copy of `array` in the layer's dtype."""
        self._arrays[name] = np.array(array, dtype=self.dtype, order="C")
        self._views[name] = _read_only(self._arrays[name])

    def _make_pack(self):
        """Return a new object with an attribute `version` to be set, built of copies of the parameters."""
        raise NotImplementedError

    def _pack(self):
        """Return the pack of the present version. To be asked once a call; safe in concurrent calls."""
        version = self.version
        unstable = self._repacks_always or self._open_updates > 0
        pack = self._packed
        if pack is None or pack.version != version or unstable:
            pack = self._make_pack()
            pack.version = version
            if not unstable:
                self._packed = pack  # the one assignment by which it is published
        return pack

    def _check_version(self, version):
        """Raise RuntimeError where the parameters are no longer those of `version`."""
        if self.version != version:
            self._raise_changed()

    def _raise_changed(self):
        raise RuntimeError(
            f"the parameters of this {type(self).__name__} have changed since the forward "
            "that made this backward; call forward again"
        )

    def _single_use(self, version):
        """Return a function for a backward to call between checking its arguments and adding gradients.

        It raises RuntimeError when called a second time, or after a change of the parameters.
        """
        used = False

        def spend():
            nonlocal used
            if used:
                raise RuntimeError(f"this backward of a {type(self).__name__} was used before; call forward again")
            self._check_version(version)
            used = True

        return spend

    def _step_function(self, batch_size):
        """Return a function of one time step, from x_t to y_t, that keeps the present weights."""
        raise ValueError(f"{type(self).__name__} has no stepper: it needs the whole sequence")

    # copies and pickles own their weights; gradients and packs are made anew

    def __getstate__(self):
        arrays = {name: np.array(array) for name, array in self._arrays.items()}
        unset = dict.fromkeys(("_views", "_grads", "_packed", "_foreign_version"))
        unset |= {"_repacks_always": False, "_open_updates": 0}
        return {**self.__dict__, **unset, "_arrays": arrays}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._views = {name: _read_only(array) for name, array in self._arrays.items()}


def settle(given, views):
    """Copy into `views` what was set anew in the dict `given` that an update handed out."""
    if all(given.get(name) is view for name, view in views.items()) and len(given) == len(views):
        return
    values = check_parameters("the updated parameters", given, views)
    for name, value in values.items():
        if value is not views[name]:
            _assign(views[name], value)


def _assign(target, value):
    """Copy `value` into the array `target` of the same shape, whatever their real dtypes."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        np.copyto(target, value, casting="unsafe")


def _read_only(array):
    view = array.view()
    view.flags.writeable = False
    return view
