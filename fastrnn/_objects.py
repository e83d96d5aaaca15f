"""`save` and `load`: which module knows the class of an object."""

from __future__ import annotations

from importlib import import_module

import fastrnn

from .storage import read_object, write_object

_KINDS = ("layers", "models", "estimators")  # the modules whose objects are saved; each has a `_storage`


def save(obj, path):
    """Write a layer, a `Sequential`, a `Network`, an `HMMDecoder` or an estimator to a file.

    Parameters
    ----------
    obj : layer, Sequential, Network, HMMDecoder or estimator
        Of fastrnn's own classes. An estimator is saved with its parameters and with what it learned.
    path : str or path-like
        Written atomically: at any moment it is the old file or the new one.

    Raises
    ------
    TypeError
        Where `obj` or something in it is of a kind that a file cannot hold; the message names it.
    OSError
        Where the file cannot be written; an old one is then still there.

    See Also
    --------
    load : The way back.

    Notes
    -----
    A safetensors file: weights under the names of the state dict, and in the metadata ``format``, ``format_version``,
    ``fastrnn_version``, ``config`` (JSON) and ``sha256``. No pickle, no code. The same object gives the same bytes.
    A layer's gradients are not kept, and what it is bound to is copied. An estimator keeps what ``partial_fit`` goes
    on from.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import fastrnn
    >>> path = os.path.join(tempfile.mkdtemp(), "gru.safetensors")
    >>> gru = fastrnn.GRU(3, 4, bidirectional=True, random_state=0)
    >>> fastrnn.save(gru, path)
    >>> same = fastrnn.load(path)
    >>> same
    GRU(3, 4, bidirectional=True)
    >>> bool((same(np.ones((5, 2, 3)))[0] == gru(np.ones((5, 2, 3)))[0]).all())
    True
    """
    arrays = {}
    description = _storage_of(type(obj).__name__, obj).describe(obj, arrays)
    write_object(path, description, arrays)


def load(path):
    """Read what `save` wrote.

    The file is checked in full, configuration, names, shapes, types and a SHA-256 of all, before anything is made of
    it, and nothing in it is executed: a file of unknown origin can hold wrong weights, and no more.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    layer, Sequential, Network, HMMDecoder or estimator
        Of the class that was saved. Layers and networks need NumPy and safetensors only.

    Raises
    ------
    fastrnn.storage.FileFormatError
        A ValueError that names the file and what is wrong with it.
    OSError
        Where there is no such file, or it may not be read.

    Examples
    --------
    >>> import os, tempfile
    >>> import fastrnn
    >>> path = os.path.join(tempfile.mkdtemp(), "dense.safetensors")
    >>> fastrnn.save(fastrnn.Dense(3, 2, activation="tanh"), path)
    >>> fastrnn.load(path)
    Dense(3, 2, activation='tanh')
    """
    return read_object(path, lambda description, arrays: _storage_of(description["class"]).restore(description, arrays))


def _storage_of(name, obj=None):
    """Return the module that saves and loads objects of the class `name`."""
    home = fastrnn._HOME_OF_NAME.get(name)
    if home not in _KINDS:
        if obj is not None:
            raise TypeError(
                f"obj is an object of type {name}, expected a layer, a Sequential, a Network, an HMMDecoder or an "
                "estimator of fastrnn"
            )
        raise ValueError(
            f"its class is {name[:80]!r}, expected that of a layer, a Sequential, a Network, an HMMDecoder or an "
            "estimator of fastrnn"
        )
    return import_module(f"fastrnn.{home}._storage")
