"""What `RNN`, `LSTM` and `GRU` share: parameters, the reading of arguments, forward and backward."""

from __future__ import annotations

import os
from dataclasses import fields

import numpy as np

from .. import init as initialisers
from .._core import native
from .._core.recurrent import accepts
from .._validation import (
    as_array,
    as_gradient,
    check_choice,
    check_dtype,
    check_fraction,
    check_lengths,
    check_pair,
    check_rng,
    check_shape,
    check_size,
)
from ._base import Layer
from ._masks import draw, keep_or_scale
from ._stack import Call, Stack
from ._stepper import Stepper
from .cells import CELLS, DirectionPack
from .variants import Variant, first_values, parameter_shapes


def _engine(name):
    """Return the module of the engine `name`; None means FASTRNN_ENGINE, or the native one."""
    source = "engine"
    if name is None:
        name, source = os.environ.get("FASTRNN_ENGINE") or "native", "FASTRNN_ENGINE"
    if check_choice(source, name, ("native", "blas")) == "native":
        return native
    try:
        from .._core import _blas
    except ImportError as error:
        raise ImportError("engine='blas' needs SciPy: pip install scipy") from error
    return _blas


class Recurrent(Layer):
    """What the three layers share; see `LSTM`."""

    is_recurrent = True
    proj_size = 0
    roles: tuple[str, ...] = ("the gates", "the candidate")  # what the activations are of

    def __init__(
        self, cell, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size, dtype,
        random_state, engine, init, **variant,
    ):  # fmt: skip
        super().__init__(check_dtype(dtype))
        self._cell = CELLS[cell]
        self._variant = Variant.checked(self.roles, **variant)
        for name in variant:
            setattr(self, name, getattr(self._variant, name))
        self.input_size, self.hidden_size = check_size("input_size", input_size), check_size("hidden_size", hidden_size)
        self.num_layers, self.proj_size = check_size("num_layers", num_layers), check_size("proj_size", proj_size, 0)
        if self.proj_size >= self.hidden_size:
            raise ValueError(
                f"proj_size is {self.proj_size}, expected proj_size < hidden_size = {self.hidden_size}, or 0 for none"
            )
        self.bias, self.batch_first, self.bidirectional = bool(bias), bool(batch_first), bool(bidirectional)
        self.dropout = check_fraction("dropout", dropout)
        self.engine = _engine(engine).name
        self._create_parameters(init, random_state)

    @property
    def output_size(self):
        """Features of the output: both directions of the (projected) hidden state."""
        return self._directions * self._state_size

    @property
    def _directions(self):
        return 2 if self.bidirectional else 1

    @property
    def _state_size(self):
        return self.proj_size or self.hidden_size

    def _names(self, layer, direction):
        """Return {plain name: name in the state dict} of one direction of one layer."""
        suffix = f"_l{layer}" + ("_reverse" if direction else "")
        return {name: name + suffix for name in self._shapes(layer)}

    def _all_names(self):
        """Return the names of every direction of every layer, in the order of the states."""
        return [self._names(k, d) for k in range(self.num_layers) for d in range(self._directions)]

    def _shapes(self, layer):
        return parameter_shapes(
            self._cell.n_gates,
            self._cell.has_cell,
            self._variant,
            input_size=self.output_size if layer else self.input_size,
            hidden_size=self.hidden_size,
            proj_size=self.proj_size,
            bias=self.bias,
        )

    def _create_parameters(self, scheme, random_state):
        rng = initialisers.as_generator(random_state)
        for layer in range(self.num_layers):
            shapes = self._shapes(layer)
            for direction in range(self._directions):
                names = self._names(layer, direction)
                usual = {n: np.empty(shapes[p]) for p, n in names.items() if p.startswith(("weight", "bias"))}
                initialisers.initialise(usual, scheme, rng, gates=self._cell.n_gates)
                for plain, name in names.items():
                    if name not in usual:
                        usual[name] = first_values(plain, shapes[plain], scheme, rng, self.hidden_size)
                    self._parameter(name, usual[name])

    def _make_pack(self):
        engine, params = _engine(self.engine), self.params
        variant = None if self._variant.is_plain else self._variant
        layers = [
            [
                DirectionPack(
                    self._cell,
                    engine,
                    variant=variant,
                    **{f"{_short(p)}": np.ascontiguousarray(params[n]) for p, n in self._names(k, d).items()},
                )
                for d in range(self._directions)
            ]
            for k in range(self.num_layers)
        ]
        return Stack(layers)

    def _learned_states(self, batch_size):
        """Return copies of the learned initial states for so many rows."""
        states = []
        for plain in ("h_0", "c_0")[: 1 + self._cell.has_cell]:
            rows = [self.params[names[plain]] for names in self._all_names()]
            states.append(np.repeat(np.stack(rows)[:, None], batch_size, axis=1))
        return tuple(states)

    def _add_to_learned_states(self, d_states_0):
        for plain, d_state in zip(("h_0", "c_0"), d_states_0, strict=False):
            for names, d_rows in zip(self._all_names(), d_state, strict=True):
                self.grads[names[plain]] += d_rows.sum(axis=0)

    def __repr__(self):
        options = [f"num_layers={self.num_layers}"] if self.num_layers > 1 else []
        options += ["bidirectional=True"] if self.bidirectional else []
        options += [f"proj_size={self.proj_size}"] if self.proj_size else []
        options += [f"{f.name}={value!r}" for f in fields(Variant) if (value := getattr(self._variant, f.name))]
        return f"{type(self).__name__}({', '.join([str(self.input_size), str(self.hidden_size), *options])})"

    # reading arguments

    def _read_x(self, x):
        """Return x as (seq_len, batch_size, input_size), and whether it came without a batch axis."""
        x = as_array("x", x, self.dtype)
        if x.ndim == 2:
            check_shape("x", x, ("seq_len", "input_size"), (None, self.input_size))
            return x[:, None], True
        symbols = ("batch_size", "seq_len") if self.batch_first else ("seq_len", "batch_size")
        check_shape("x", x, (*symbols, "input_size"), (None, None, self.input_size))
        return (np.ascontiguousarray(x.swapaxes(0, 1)) if self.batch_first else x), False

    def _state_symbols(self):
        """Return [(symbol, size)] of the last axis of each array of a state."""
        symbols = [("proj_size", self.proj_size) if self.proj_size else ("hidden_size", self.hidden_size)]
        return symbols + [("hidden_size", self.hidden_size)] * self._cell.has_cell

    def _initial_states(self, state_0, batch_size, unbatched):
        """Return the arrays of `state_0`, or of what stands for None: the learned states or zeros."""
        if state_0 is None and self.learn_initial_state:
            return self._learned_states(batch_size)
        return self._state_arrays("state_0", state_0, batch_size, unbatched)

    def _state_arrays(self, name, state, batch_size, unbatched):
        """Return the state's arrays, (num_layers * directions, batch_size, ...) each; zeros where it is None."""
        rows = self.num_layers * self._directions
        axes = self._state_symbols()
        if state is None:
            return tuple(np.zeros((rows, batch_size, size), self.dtype) for _, size in axes)
        names = (name.replace("state", "h"), name.replace("state", "c"))
        if self._cell.has_cell:
            parts = check_pair(name, state, names)
        elif isinstance(state, tuple):
            raise TypeError(f"{names[0]} is a tuple, expected one array: a {type(self).__name__} has no cell state")
        else:
            parts = (state,)
        first = "num_layers * 2" if self.bidirectional else "num_layers"
        arrays = []
        for part_name, part, (symbol, size) in zip(names, parts, axes, strict=False):
            array = as_array(part_name, part, self.dtype)
            if unbatched:
                array = check_shape(part_name, array, (first, symbol), (rows, size))[:, None]
            else:
                check_shape(part_name, array, (first, "batch_size", symbol), (rows, batch_size, size))
            arrays.append(array)
        return tuple(arrays)

    def _give_sequence(self, x, unbatched):
        if unbatched:
            return x[:, 0]
        return np.ascontiguousarray(x.swapaxes(0, 1)) if self.batch_first else x

    def _give_state(self, states, unbatched):
        if unbatched:
            states = tuple(state[:, 0] for state in states)
        return states if self._cell.has_cell else states[0]

    # computing

    def __call__(self, x, state_0=None, lengths=None, *, return_cells=False, n_threads=None):
        """Apply the layer, without dropout.

        Parameters
        ----------
        x : array_like of shape (seq_len, batch_size, input_size)
            (batch_size, seq_len, input_size) where `batch_first`; or (seq_len, input_size), one sequence.
        state_0 : array_like of shape (num_layers * directions, batch_size, hidden_size), optional
            h_0; of an LSTM the pair (h_0, c_0), where h_0 has proj_size features if that is set. Zeros by default.
            Without the axis of the batch where x is one sequence.
        lengths : array_like of int of shape (batch_size,), optional
            Steps of each row, in any order, 0 <= length <= seq_len. What comes after is neither read nor worked on;
            the output there is 0.
        return_cells : bool, default=False
            Return all cells c_t of the last layer as a third result; LSTM only.
        n_threads : int, optional
            At most so many threads.

        Returns
        -------
        output : ndarray of shape (seq_len, batch_size, output_size)
            h_t of the last layer; both directions side by side. Axes as in x.
        state_n : ndarray, or pair of ndarray
            Each row's state after its own last step, in the shapes of `state_0`.
        cells : ndarray of shape (seq_len, batch_size, directions * hidden_size)
            Only with `return_cells`.

        Raises
        ------
        ValueError
            Where a shape or a length does not fit.
        TypeError
            Where something is complex, of objects or text, or a state is no pair where one is due.
        """
        if return_cells and not self._cell.has_cell:
            raise ValueError(f"return_cells is True, expected False: a {type(self).__name__} has no cells")
        stack = self._pack()
        if lengths is None and not return_cells:
            return self._infer(stack, x, state_0, n_threads)
        call, unbatched = self._start(x, state_0, lengths, n_threads, stack, keep_cells=return_cells)
        output, state_n = self._give_sequence(call.output, unbatched), self._give_state(call.states, unbatched)
        if return_cells:
            return output, state_n, self._give_sequence(call.cells, unbatched)
        return output, state_n

    def _infer(self, stack, x, state_0, n_threads):
        unbatched = False
        if self.batch_first or not accepts(x, stack.first):
            x, unbatched = self._read_x(x)
        states = None
        if state_0 is not None or self.learn_initial_state:
            states = self._initial_states(state_0, x.shape[1], unbatched)
        output, h_n, c_n = stack.infer(x, states, n_threads)
        if unbatched or self.batch_first:
            output = self._give_sequence(output, unbatched)
            return output, self._give_state((h_n, c_n)[: 1 + self._cell.has_cell], unbatched)
        return output, h_n if c_n is None else (h_n, c_n)

    def _start(self, x, state_0, lengths, n_threads, pack, **keywords):
        x, unbatched = self._read_x(x)
        lengths = check_lengths(lengths, *x.shape[:2])
        states = self._initial_states(state_0, x.shape[1], unbatched)
        return Call(pack, x, states, lengths, n_threads=n_threads, **keywords), unbatched

    def forward(self, x, state_0=None, lengths=None, *, training=True, rng=None, n_threads=None, checkpoint_every=None):
        """Apply the layer and keep what the gradients need.

        Parameters
        ----------
        x, state_0, lengths, n_threads
            As in a call. `x` must not be changed before `backward`.
        training : bool, default=True
            False drops nothing.
        rng : numpy.random.Generator
            Where the masks of dropout between layers, recurrent dropout and zoneout come from; needed where one is
            drawn.
        checkpoint_every : int, optional
            Keep the states of every so many steps only, and compute what lies between anew in `backward`: gates take
            the memory of so many steps instead of all, for the time of one more forward pass. The results are the
            same bits but for the gradients of parameters, whose sums are taken segment by segment.

        Returns
        -------
        (output, state_n) : (ndarray, ndarray or pair)
            As in a call. The output must not be changed before `backward`.
        backward : callable
            ``d_x, d_state_0 = backward(d_output, d_state_n=None, *, wants_x=True, wants_parameters=True)``; adds the
            gradients of the parameters into `grads`. What nobody wants costs nothing: d_x is then None, and `grads`
            stays as it is. Works once, and not after an update: RuntimeError.
        """
        dropout, draws = self._drops(rng) if training else (None, None)
        if checkpoint_every is not None:
            checkpoint_every = check_size("checkpoint_every", checkpoint_every)
        pack = self._pack()
        call, unbatched = self._start(
            x,
            state_0,
            lengths,
            n_threads,
            pack,
            keep=True,
            dropout=dropout,
            draws=draws,
            checkpoint_every=checkpoint_every,
        )
        output, state_n = self._give_sequence(call.output, unbatched), self._give_state(call.states, unbatched)
        spend = self._single_use(pack.version)

        def backward(d_output, d_state_n=None, *, wants_x=True, wants_parameters=True):
            d_output = as_gradient("d_output", d_output, self.dtype, output.shape)
            d_states_n = self._state_arrays("d_state_n", d_state_n, call.x_shape[1], unbatched)
            spend()
            if unbatched:
                d_output = d_output[:, None]
            elif self.batch_first:
                d_output = np.ascontiguousarray(d_output.swapaxes(0, 1))
            grads = None
            if wants_parameters:
                grads = [
                    [{p: self.grads[n] for p, n in self._names(k, d).items()} for d in range(self._directions)]
                    for k in range(self.num_layers)
                ]
            d_x, d_states_0 = call.backward(d_output, d_states_n, grads, wants_x)
            if wants_parameters and state_0 is None and self.learn_initial_state:
                self._add_to_learned_states(d_states_0)
            d_x = self._give_sequence(d_x, unbatched) if wants_x else None
            return d_x, self._give_state(d_states_0, unbatched)

        return (output, state_n), backward

    def _drops(self, rng):
        """Return what draws the factors between layers, given a shape, and within them, given (T, N); or None."""
        between, within = self.dropout and self.num_layers > 1, self._variant.draws
        for name in ("dropout",) * bool(between) + ("recurrent_dropout", "zoneout") * bool(within):
            if getattr(self, name):
                check_rng(rng, f"the mask of {name}={getattr(self, name)}")
        cell_size = self.hidden_size if self._cell.has_cell else None

        def draw_between(shape):
            return keep_or_scale(rng, shape, self.dropout, self.dtype)

        def draw_within(seq_len, batch_size):
            sizes = seq_len, batch_size, self._state_size, cell_size
            return draw(rng, self.dtype, *sizes, self.recurrent_dropout, self.zoneout)

        return draw_between if between else None, draw_within if within else None

    def stepper(self, batch_size=1):
        """Return an object that takes one time step at a time and keeps the state; see `Stepper`.

        Parameters
        ----------
        batch_size : int, default=1

        Returns
        -------
        Stepper

        Raises
        ------
        ValueError
            Where the layer is bidirectional: the second direction starts at the end.
        """
        if self.bidirectional:
            raise ValueError(f"a bidirectional {type(self).__name__} has no stepper: it needs the whole sequence")
        return Stepper(self, self._pack(), check_size("batch_size", batch_size))


def _short(plain):
    """weight_ih -> w_ih, bias_ih -> b_ih; others stay."""
    kind, _, rest = plain.partition("_")
    return f"{kind[0]}_{rest}" if kind in ("weight", "bias") else plain
