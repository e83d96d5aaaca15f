"""A network that reads one sequence, or one vector, and writes another sequence."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._validation import as_array, as_tokens, check_lengths, check_rng, check_shape, check_size
from ..layers import CrossAttention, Sequential
from ..layers._composite import Composite
from ..layers._ragged import valid_steps
from ..layers.sequential import _lengths_behind
from ._encoder_decoder import arrays_of, as_states, check_parts, in_rows, shapes_of, side_by_side, width_of
from .stream import Stream

BOUNDARY = 0  # the token before the first one, and the class behind the last one


class Encoded(NamedTuple):
    """What a decoder knows of its sources.

    Attributes
    ----------
    states : list
        With which the decoder begins, one entry for each of its recurrent layers.
    memory : ndarray of shape (memory_len, batch_size, memory_size), or None without attention
    lengths : ndarray of int of shape (batch_size,), or None where all are memory_len
    batch_size : int
    """

    states: list
    memory: np.ndarray | None
    lengths: np.ndarray | None
    batch_size: int


class EncoderDecoder(Composite):
    """An encoder, bridges from its last states to the decoder's first ones, the decoder, attention, and a head.

    The decoder reads token after token, token 0 first, and the head says with which scores each class comes next, class
    0 being the end. In training it reads what it should have written (teacher forcing), all steps at once.

    Parameters
    ----------
    encoder : Sequential or None
        With recurrent layers and an output a step it hands on its last states, those of both directions side by side.
        Else it hands on its output, a vector (batch_size, output_size); None hands on the source itself.
    decoder : Sequential
        An Embedding, then recurrent layers of one direction, with dropout or normalisation between them.
    head : Sequential
        From the decoder's outputs, or those of the attention, to the scores of classes.
    bridges : sequence of Dense or None
        One for each array of the decoder's states (two of an LSTM, h and c): from the same array of the encoder's, or
        from its vector. None hands an array on as it is, where sizes fit.
    attention : CrossAttention, optional
        Over the encoder's outputs, behind the decoder's recurrent layers. Nothing is fed back from it, so that the
        recurrence runs over whole sequences.

    Attributes
    ----------
    layers : tuple of Layer
        All, in the order above; the bridges before the decoder.
    teacher_forcing : float
        Probability by which, in training, the decoder reads the right token instead of one that it would have written
        itself: 1 unless set. See `forward`.
    reads_vector : bool
        Whether the encoder hands on a vector.

    References
    ----------
    Sutskever, Vinyals and Le (2014), "Sequence to sequence learning with neural networks"; the bridge is the s_0 of
    Bahdanau, Cho and Bengio (2015), "Neural machine translation by jointly learning to align and translate", A.2.2.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.models import encoder_decoder
    >>> network = encoder_decoder(5, 4, embedding_dim=3, hidden_layer_sizes=(8,), cell="gru", random_state=0)
    >>> source = np.array([[3, 1], [4, 2], [1, 0]])  # three tokens of one row, two of the other
    >>> inputs = np.array([[0, 0], [2, 3]])
    >>> logits, _ = network((source, [3, 2], inputs))
    >>> logits.shape  # step, row, class
    (2, 2, 4)
    """

    consumes_time = False

    def __init__(self, encoder, decoder, head, *, bridges, attention=None):
        super().__init__(None)
        for name, part in (("encoder", encoder), ("decoder", decoder), ("head", head)):
            if not isinstance(part, Sequential) and not (name == "encoder" and part is None):
                raise TypeError(f"{name} is an object of type {type(part).__name__}, expected a Sequential")
        if attention is not None and not isinstance(attention, CrossAttention):
            raise TypeError(f"attention is an object of type {type(attention).__name__}, expected a CrossAttention")
        self.encoder, self.decoder, self.head, self.attention = encoder, decoder, head, attention
        self.bridges = tuple(bridges)
        self.teacher_forcing = 1.0
        self.reads_vector = encoder is None or encoder.consumes_time or not encoder._num_recurrent
        self._leaves = self._named_leaves()
        self.dtype = decoder.dtype
        check_parts(self)

    def __repr__(self):
        parts = [f"encoder={self.encoder!r}", f"bridges={self.bridges!r}", f"decoder={self.decoder!r}"]
        parts += [f"attention={self.attention!r}"] * (self.attention is not None) + [f"head={self.head!r}"]
        return f"EncoderDecoder({', '.join(parts)})"

    @property
    def layers(self):
        """Tuple of all layers, those of nested networks in their stead."""
        return tuple(layer for _, layer in self._leaves)

    @property
    def output_size(self):
        """Number of classes."""
        return width_of(self.head)

    def _named_leaves(self):
        parts = [("encoder", self.encoder), *((f"bridge.{k}", b) for k, b in enumerate(self.bridges))]
        parts += [("decoder", self.decoder), ("attention", self.attention), ("head", self.head)]
        leaves = []
        for place, part in parts:
            if isinstance(part, Sequential):
                leaves += [(f"{place}.{inner}", layer) for inner, layer in part._leaves]
            elif part is not None:
                leaves.append((place, part))
        return leaves

    # computing

    def __call__(self, x, states=None, lengths=None, *, n_threads=None):
        """Score the classes of every step, given the tokens before it.

        Parameters
        ----------
        x : tuple (source, source_lengths, inputs)
            What the encoder reads, time-major or (batch_size, n_features), its lengths or None, and tokens of shape
            (seq_len, batch_size) that begin with token 0.
        states : None
            States come from the encoder.
        lengths : array_like of int of shape (batch_size,), optional
            Of the inputs.
        n_threads : int, optional
            At most so many threads.

        Returns
        -------
        logits : ndarray of shape (seq_len, batch_size, output_size)
        states : list
            The decoder's last states.
        """
        hidden, states, encoded = self._decode(x, states, lengths, n_threads)
        if self.attention is not None:
            hidden = self.attention(hidden, encoded.memory, encoded.lengths, lengths, n_threads=n_threads)
        return self.head(hidden, lengths=lengths, n_threads=n_threads)[0], states

    def attend(self, x, lengths=None, *, n_threads=None):
        """Return the weights of the attention, of shape (seq_len, batch_size, memory_len); arguments as in a call."""
        if self.attention is None:
            raise ValueError("attention is None, expected a network with attention")
        hidden, _, encoded = self._decode(x, None, lengths, n_threads)
        options = {"return_weights": True, "n_threads": n_threads}
        return self.attention(hidden, encoded.memory, encoded.lengths, lengths, **options)[1]

    def _decode(self, x, states, lengths, n_threads):
        """Return the decoder's outputs, its last states, and what the encoder made of the source."""
        source, source_lengths, inputs = _checked(x, states)
        encoded = self.encode(source, source_lengths, n_threads=n_threads)
        check_shape("inputs", inputs, ("seq_len", "batch_size"), (None, encoded.batch_size))
        hidden, states = self.decoder(inputs, encoded.states, lengths, n_threads=n_threads)
        return hidden, states, encoded

    def encode(self, source, source_lengths=None, *, n_threads=None):
        """Read sources.

        Parameters
        ----------
        source : array_like of shape (source_len, batch_size, ...) or (batch_size, n_features)
        source_lengths : array_like of int of shape (batch_size,), optional
        n_threads : int, optional

        Returns
        -------
        Encoded
        """
        if self.encoder is None:
            output, states = as_array("source", source, self.dtype), []
        else:
            output, states = self.encoder(source, lengths=source_lengths, n_threads=n_threads)
        vectors = self._vectors(output, states)
        vectors = [v if bridge is None else bridge(v) for bridge, v in zip(self.bridges, vectors, strict=True)]
        return self._encoded(output, vectors, source_lengths)

    def _vectors(self, output, states):
        """What each bridge reads, (batch_size, size) each."""
        if self.reads_vector:
            return [output] * len(self.bridges)
        return [side_by_side(array) for array in arrays_of(states)]

    def _encoded(self, output, vectors, source_lengths):
        """The `Encoded` of the encoder's output and what the bridges give."""
        states = as_states(self.decoder, [in_rows(v, *shape) for v, shape in zip(vectors, shapes_of(self.decoder))])
        if self.attention is None:
            return Encoded(states, None, None, vectors[0].shape[0])
        for _, layer in self.encoder._leaves:
            source_lengths = _lengths_behind(layer, source_lengths)
        lengths = check_lengths(source_lengths, *output.shape[:2])
        return Encoded(states, output, lengths, output.shape[1])

    def forward(self, x, states=None, lengths=None, *, training=True, rng=None, n_threads=None):
        """Score the classes of every step, and keep what the gradients need.

        Where ``training`` and `teacher_forcing` is below 1, each input but the first is, with probability 1 -
        teacher_forcing, replaced by a token drawn from what the network itself says comes there (scheduled sampling,
        Bengio et al. 2015). Nothing flows back through what was drawn: a pass step by step draws, and one pass over the
        whole sequences has the gradients.

        Parameters
        ----------
        x, states, lengths, n_threads
            As in a call.
        training : bool, default=True
            False drops nothing and draws nothing.
        rng : numpy.random.Generator
            Where dropout masks and tokens come from; needed where any is drawn.

        Returns
        -------
        (logits, states) : (ndarray, list)
            Not to be changed before `backward`.
        backward : callable
            ``d_source, None = backward(d_logits, *, wants_x=False)``; adds the gradients of the parameters into
            `grads`. `d_source` is None unless it is wanted, and where the encoder begins with an Embedding. Works once.
        """
        source, source_lengths, inputs = _checked(x, states)
        options = {"training": training, "rng": rng, "n_threads": n_threads}
        if training and self.teacher_forcing < 1:
            rng = check_rng(rng, "a token where teacher_forcing < 1")
            inputs = self._mixed(source, source_lengths, inputs, lengths, rng, n_threads)
        chain = _Chain(self)
        encoded = chain.encode(source, source_lengths, options)
        check_shape("inputs", inputs, ("seq_len", "batch_size"), (None, encoded.batch_size))
        (hidden, states), chain.decoder = self.decoder.forward(inputs, encoded.states, lengths, **options)
        if self.attention is not None:
            hidden, chain.attention = self.attention.forward(
                hidden, encoded.memory, encoded.lengths, lengths, **options
            )
        (logits, _), chain.head = self.head.forward(hidden, lengths=lengths, **options)
        return (logits, states), chain.backward

    def _mixed(self, source, source_lengths, inputs, lengths, rng, n_threads):
        """Return inputs some of which are what the network would have written itself."""
        stepper = self.stepper(self.encode(source, source_lengths, n_threads=n_threads))
        mixed = as_tokens("inputs", inputs).copy()
        valid = valid_steps(mixed, lengths)
        if valid is not None:
            mixed[~valid] = BOUNDARY  # padding may be anything
        for t in range(len(mixed) - 1):
            logits = stepper.step(mixed[t])
            logits[:, BOUNDARY] = -np.inf  # the sequence goes on
            drawn = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)  # one from the softmax
            own = rng.random(mixed.shape[1]) >= self.teacher_forcing
            mixed[t + 1][own] = drawn[own]
        return mixed

    def stepper(self, encoded, n_beams=1):
        """Return an object that writes token after token.

        Parameters
        ----------
        encoded : Encoded
        n_beams : int, default=1
            How many sequences are written of each source.

        Returns
        -------
        DecoderStepper
        """
        return DecoderStepper(self, encoded, check_size("n_beams", n_beams))


class _Chain:
    """The backward of an `EncoderDecoder`, from those of its parts."""

    def __init__(self, network):
        self._network, self._versions = network, [layer._version for _, layer in network._leaves]
        self.encoder = self.bridges = self.decoder = self.attention = self.head = None

    def encode(self, source, source_lengths, options):
        """As `EncoderDecoder.encode`, with gradients."""
        network = self._network
        if network.encoder is None:
            output, states = as_array("source", source, network.dtype), []
        else:
            (output, states), self.encoder = network.encoder.forward(source, lengths=source_lengths, **options)
        self._output, vectors, self.bridges = output, [], []
        for bridge, vector in zip(network.bridges, network._vectors(output, states), strict=True):
            vector, backward = (vector, None) if bridge is None else bridge.forward(vector, **options)
            vectors.append(vector)
            self.bridges.append(backward)
        return network._encoded(output, vectors, source_lengths)

    def backward(self, d_logits, *, wants_x=False):
        """See `EncoderDecoder.forward`."""
        if self.head is None:
            raise RuntimeError("this backward of an EncoderDecoder was used before; call forward again")
        for (_, layer), version in zip(self._network._leaves, self._versions, strict=True):
            if layer._version != version:  # before any gradient is added
                layer._raise_changed()
        d, _ = self.head(d_logits)
        self.head, d_memory = None, None
        if self.attention is not None:
            d, d_memory = self.attention(d)
        _, d_states = self.decoder(d, wants_x=False)
        d_vectors = [side_by_side(d) for d in arrays_of(d_states)]
        d_vectors = [d if back is None else back(d) for back, d in zip(self.bridges, d_vectors, strict=True)]
        return self._into_encoder(d_vectors, d_memory, wants_x), None

    def _into_encoder(self, d_vectors, d_memory, wants_x):
        """Return d_source."""
        network = self._network
        if network.reads_vector:
            d = sum(d_vectors[1:], d_vectors[0])
            return d if self.encoder is None else self.encoder(d, wants_x=wants_x)[0]
        d_states = [in_rows(d, *shape) for d, shape in zip(d_vectors, shapes_of(network.encoder), strict=True)]
        d_states = as_states(network.encoder, d_states)
        d_memory = np.zeros_like(self._output) if d_memory is None else d_memory
        return self.encoder(d_memory, d_states, wants_x=wants_x)[0]


class DecoderStepper:
    """The decoder, attention and head one step after another, of ``n_beams`` sequences for each source.

    Row ``b * batch_size + n`` writes the b-th sequence of source n. Belongs to one thread at a time. Made by
    ``network.stepper(encoded, n_beams)``.
    """

    def __init__(self, network, encoded, n_beams):
        self._n_beams, self._batch_size = n_beams, encoded.batch_size
        rows = n_beams * encoded.batch_size
        self._stream = Stream(network.decoder, rows)
        self._stream.state = as_states(
            network.decoder, [np.tile(a, (1, n_beams, 1)) for a in arrays_of(encoded.states)]
        )
        self._head = network.head.stepper(rows)
        self._look = None
        if network.attention is not None:
            self._look = network.attention.over(encoded.memory, encoded.lengths, n_threads=1)

    def step(self, tokens):
        """Read the tokens (rows,), and return the scores (rows, output_size) of what follows."""
        hidden = self._stream.step(tokens)
        if self._look is not None:
            hidden = self._look(hidden.reshape(self._n_beams, self._batch_size, -1)).reshape(len(hidden), -1)
        return self._head.step(hidden)

    def select(self, rows):
        """Let each row go on from where another one, of the same source, stands."""
        states = self._stream.state
        self._stream.state = [tuple(a[:, rows] for a in s) if isinstance(s, tuple) else s[:, rows] for s in states]


def _checked(x, states):
    """The three parts of `x`."""
    if not isinstance(x, tuple) or len(x) != 3:
        raise TypeError(f"x is an object of type {type(x).__name__}, expected (source, source_lengths, inputs)")
    if states is not None:
        raise ValueError("states is given, expected None: they come from the encoder")
    return x
