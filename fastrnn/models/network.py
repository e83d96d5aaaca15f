"""`Network`: trained layers, to be run and no longer changed."""

from __future__ import annotations

import copy
from types import MappingProxyType

import numpy as np

from .._validation import as_array, as_tokens, check_shape, check_size
from ..layers import Embedding, Sequential
from ..layers._base import Layer
from ..storage import read_object, write_object
from . import _storage
from ._fold import folded
from ._masks import own_mask, read_mask, run_masked, split
from ._summary import summary
from ._trace import trace
from .stream import Stream

PREDICT_BYTES = 32 * 2**20  # of the input and the widest outputs of one batch of `predict`


class Network:
    """One layer, or layers one after another, with weights that stay as they are.

    Many threads may run one network at once: a call holds all that belongs to it, and gives the GIL free. Whoever
    feeds sequences piece by piece keeps their state in a `Stream`.

    Parameters
    ----------
    layer : Layer or Sequential
        Copied.
    batch_first : bool, optional
        Whether x, y and masks are (batch_size, seq_len, ...); else (seq_len, batch_size, ...). By default that of a
        recurrent layer, and False for all else.
    notes : sequence of str, default=()
        What the reader of a foreign file has to say about it; shown by `summary`.

    Attributes
    ----------
    batch_first : bool
    dtype : dtype
    layers : tuple of Layer
        In order, those of nested networks in their stead. Their weights are read-only.
    notes : tuple of str
    params : mapping
        The weights by name, read-only.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn
    >>> from fastrnn.models import Network
    >>> gru, dense = fastrnn.GRU(3, 4, random_state=0), fastrnn.Dense(4, 2, random_state=1)
    >>> net = Network(fastrnn.Sequential(gru, dense), batch_first=True)
    >>> x = np.ones((2, 5, 3))  # five steps of two sequences
    >>> y, state = net.run(x, lengths=[5, 3])
    >>> y.shape, [h_n.shape for h_n in state]
    ((2, 5, 2), [(1, 2, 4)])
    >>> print(net.summary())
    Network(batch_first=True), float32
    #      layer            output           parameters       MB
    0      GRU(3, 4)        (N, T, 4)               108     0.00
    1      Dense(4, 2)      (N, T, 2)                10     0.00
    total                                           118     0.00
    kernels: native ...
    threads for 1 x 100 steps: layer 0: 1
    """

    def __init__(self, layer, batch_first=None, notes=()):
        if not isinstance(layer, Layer):
            raise TypeError(f"layer is an object of type {type(layer).__name__}, expected a layer or a Sequential")
        self._adopt(copy.deepcopy(layer), batch_first, notes)

    @classmethod
    def _of(cls, layer, batch_first=None, notes=()):
        """A network of a layer that nobody else holds, without a copy."""
        network = cls.__new__(cls)
        network._adopt(layer, batch_first, notes)
        return network

    def _adopt(self, layer, batch_first, notes):
        if batch_first is None:
            batch_first = getattr(layer, "batch_first", False)
        if layer.is_recurrent:
            layer.batch_first = False  # axes are this class's business
        self._layer, self._batch_first, self._notes = layer, bool(batch_first), tuple(map(str, notes))
        self._chain = layer if isinstance(layer, Sequential) else Sequential(layer)
        for part in self.layers:
            for array in part._arrays.values():
                array.flags.writeable = False
        self._parts = split(self._chain)

    def __reduce__(self):
        return Network, (self._layer, self._batch_first, self._notes)

    def __deepcopy__(self, memo):
        return self

    def __repr__(self):
        return self.summary()

    @property
    def batch_first(self):
        """Whether x, y and masks are (batch_size, seq_len, ...)."""
        return self._batch_first

    @property
    def dtype(self):
        """Type of weights and outputs."""
        return self._chain.dtype

    @property
    def layers(self):
        """Tuple of the layers in order."""
        return tuple(layer for _, layer in self._chain._leaves)

    @property
    def notes(self):
        """Tuple of remarks of whoever read the file."""
        return self._notes

    @property
    def params(self):
        """Mapping of str to ndarray: the weights by name, read-only."""
        return MappingProxyType(dict(self._layer.params))

    def state_dict(self):
        """Return a dict of copies of all weights, under the names of `params`."""
        return self._layer.state_dict()

    # running

    def run(self, x, state=None, lengths=None, mask=None, n_threads=None):
        """Run whole sequences.

        Parameters
        ----------
        x : array_like of shape (seq_len, batch_size, input_size), or with `batch_first` (batch_size, seq_len, ...)
            Or (seq_len, input_size), one sequence. For an Embedding in front, tokens without the last axis.
        state : list, optional
            One entry for each recurrent layer, None for zeros: ``(h_0, c_0)`` of an LSTM, else ``h_0``, each of shape
            (num_layers * directions, batch_size, ...) whatever `batch_first` says, as in torch.
        lengths : array_like of int of shape (batch_size,), optional
            Steps of each row; what comes after is neither read nor worked on, and y is 0 there.
        mask : array_like of bool, optional
            The first two axes of x (of one sequence the first); False where a step is none, anywhere: Keras's masks.
            Such a step is neither read nor worked on: states stay, and the recurrent output is that of the step before,
            0 where there is none, and 0 of a bidirectional layer, as in Keras; layers behind see it. By default that of
            a `Masking` or of an `Embedding` with a `mask_token`, where the network begins with one.
        n_threads : int, optional
            At most so many; by default what the work is worth.

        Returns
        -------
        y : ndarray
            Of the last layer, with the axes of x; without the time axis where a layer consumes it.
        state : list
            The last states, in the form of the argument.

        Raises
        ------
        ValueError
            Where a shape, a length or a mask does not fit, or a mask meets a Conv1d.
        """
        x, turned = self._read(x)
        if mask is None:
            mask = own_mask(self.layers[0], x, lengths, turned, self._rank)
            lengths = lengths if mask is None else None
        if mask is None:
            y, state_n = self._chain(x, state, lengths, n_threads=n_threads)
        else:
            if lengths is not None:
                raise ValueError("lengths and mask are both given, expected one of them")
            x = np.asarray(x)
            mask = read_mask(mask, x, turned, self._rank)
            y, state_n = run_masked(self._chain, self._parts, x, state, mask, x.ndim < self._rank, n_threads)
        return self._turn(y) if turned and not self._chain.consumes_time else y, state_n

    def predict(self, x, lengths=None, mask=None, n_threads=None):
        """Return y of `run` alone, in batches that take about 32 MB however many rows there are.

        Parameters
        ----------
        x, lengths, mask, n_threads
            As in `run`.

        Returns
        -------
        ndarray
            A row has the bits that it has in any other batch.
        """
        x = np.asarray(x)
        axis = 0 if self._batch_first else 1
        if x.ndim != self._rank:
            return self.run(x, None, lengths, mask, n_threads)[0]
        size, steps = x.shape[axis], x.shape[1 - axis]
        rows = max(1, PREDICT_BYTES // max(1, steps * self._bytes_per_step()))
        if size <= rows:
            return self.run(x, None, lengths, mask, n_threads)[0]
        lengths = None if lengths is None else check_shape("lengths", np.asarray(lengths), ("batch_size",), (size,))
        mask = None if mask is None else check_shape("mask", np.asarray(mask), ("...",) * 2, x.shape[:2])
        parts = []
        for begin in range(0, size, rows):
            cut = slice(begin, begin + rows)
            own = (slice(None),) * axis + (cut,)
            own_lengths, own_mask = lengths if lengths is None else lengths[cut], mask if mask is None else mask[own]
            parts.append(self.run(x[own], None, own_lengths, own_mask, n_threads)[0])
        return np.concatenate(parts, axis=0 if self._chain.consumes_time else axis)

    def trace(self, x, state=None, lengths=None):
        """Return the gates, cells and outputs of every step of every recurrent layer.

        Computed by the equations in `fastrnn.reference`, in float64 and slowly: for looking, not for serving.

        Parameters
        ----------
        x, state, lengths
            As in `run`.

        Returns
        -------
        dict of str to dict of str to ndarray
            By place of the layer and direction, such as ``"0.l0"`` and ``"0.l0_reverse"``: ``h`` and, of an LSTM ``i``,
            ``f``, ``g``, ``o`` and ``c``, of a GRU ``r``, ``z`` and ``n``. Axes are those of x, and 0 stands past a
            row's length.

        Examples
        --------
        >>> import numpy as np
        >>> import fastrnn
        >>> from fastrnn.models import Network
        >>> gates = Network(fastrnn.LSTM(3, 4, random_state=0)).trace(np.ones((5, 2, 3)))
        >>> list(gates), sorted(gates["0.l0"]), gates["0.l0"]["f"].shape
        (['0.l0'], ['c', 'f', 'g', 'h', 'i', 'o'], (5, 2, 4))
        """
        x, turned = self._read(x)
        found = trace(self._chain, x, state, lengths)
        if turned:
            found = {place: {name: self._turn(a) for name, a in own.items()} for place, own in found.items()}
        return found

    def stream(self, n=1):
        """Return a `Stream` of n sequences that come piece by piece.

        Parameters
        ----------
        n : int, default=1

        Returns
        -------
        Stream

        Raises
        ------
        ValueError
            Where a layer needs the whole sequence: a bidirectional one, a Pool, an AttentionPool or a Conv1d.
        """
        return Stream(self._chain, check_size("n", n), self._batch_first)

    def folded(self):
        """Return a network that does the same with less work: an Embedding multiplied into the layer behind it.

        It pays where a recurrent layer reads an Embedding of fewer tokens than features, and changes rounding only.

        Returns
        -------
        Network
            This one where there is nothing to gain.

        Examples
        --------
        >>> import fastrnn
        >>> from fastrnn.models import Network
        >>> net = Network(fastrnn.Sequential(fastrnn.Embedding(29, 256), fastrnn.GRU(256, 64)))
        >>> net.folded().layers
        (Embedding(29, 29), GRU(29, 64))
        """
        layers = folded(self.layers)
        if layers == list(self.layers):
            return self
        return Network(Sequential(*layers), self._batch_first, self._notes)

    def summary(self, batch_size=1, seq_len=100):
        """Return a table of layers, shapes, parameters and megabytes, with kernels, threads and notes.

        Parameters
        ----------
        batch_size, seq_len : int
            For which the threads are told; N and T in the table.

        Returns
        -------
        str
        """
        return summary(self, check_size("batch_size", batch_size), check_size("seq_len", seq_len))

    # files

    def save(self, path):
        """Write the network to a file; as `fastrnn.save`.

        Parameters
        ----------
        path : str or path-like
        """
        arrays: dict = {}
        write_object(path, _storage.describe(self, arrays), arrays)

    @classmethod
    def load(cls, path):
        """Read a network from a file that `Network.save` or `fastrnn.save` wrote.

        Parameters
        ----------
        path : str or path-like
            Of a network, a layer, a `Sequential`, or an estimator, whose ``network_`` it is then, batch first; no
            scikit-learn is needed for that.

        Returns
        -------
        Network

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
        >>> from fastrnn.models import Network
        >>> path = os.path.join(tempfile.mkdtemp(), "net.safetensors")
        >>> Network(fastrnn.LSTM(3, 4)).save(path)
        >>> Network.load(path).layers
        (LSTM(3, 4),)
        """
        return read_object(path, _storage.restore_any)

    # axes

    @property
    def _rank(self):
        """Axes of a batch of x."""
        return 2 if isinstance(self.layers[0], Embedding) else 3

    def _read(self, x):
        """Return x time-major, and whether its first two axes were exchanged."""
        if not self._batch_first:
            return x, False
        tokens = self._rank == 2
        x = as_tokens("x", x) if tokens else as_array("x", x, self.dtype)
        if x.ndim != self._rank:
            return x, False
        if not tokens:
            size = getattr(self.layers[0], "input_size", None)
            check_shape("x", x, ("batch_size", "seq_len", "input_size"), (None, None, size))
        return self._turn(x), True

    @staticmethod
    def _turn(x):
        return np.ascontiguousarray(x.swapaxes(0, 1))

    def _bytes_per_step(self):
        """Of the input and two outputs of the widest layer, for one step of one sequence."""
        sizes = [layer.output_size for layer in self.layers if hasattr(layer, "output_size")]
        return (self.dtype or np.dtype(np.float64)).itemsize * (2 * max(sizes, default=1) + sizes[0] if sizes else 1)
