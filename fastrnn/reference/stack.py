"""Layers on layers, two directions and ragged batches, out of one cell.

A ragged batch is computed in the plainest way: the rows of each length are taken out, run as a batch of their own that
has no padding, and put back. The second direction runs over every row turned back to front, from that row's own end.
The outputs of both directions stand side by side and are the input of the next layer.

Sources: M. Schuster and K. K. Paliwal, "Bidirectional Recurrent Neural Networks", IEEE Trans. Signal Processing 45
(1997), and A. Graves, A. Mohamed and G. Hinton, "Speech Recognition with Deep Recurrent Neural Networks", ICASSP 2013,
equations (8) and (9) for the directions, equation (11) for the layers.
"""

from types import SimpleNamespace

import numpy as np

from . import gru, lstm, rnn

CELLS = {"rnn": rnn, "lstm": lstm, "gru": gru}
KINDS = "weight_ih weight_hh bias_ih bias_hh weight_hr peephole norm_ih norm_hh norm_c norm_c_bias".split()
INITIAL = ("h_0", "c_0")


def forward(params, x, state_0=None, lengths=None, *, cell, masks=None, dtype=np.float64, **options):
    """Run a stack of recurrent layers.

    Parameters
    ----------
    params : dict of str to ndarray
        Parameters under the names of torch.nn, such as ``weight_ih_l0`` and ``weight_hh_l1_reverse``. Their names
        say how many layers and directions there are, and whether there are peepholes (``peephole_l0``), a norm
        (``norm_ih_l0``, ...) and learned initial states (``h_0_l0``, of an LSTM ``c_0_l0``).
    x : array_like of shape (seq_len, batch_size, input_size)
        Steps past a row's length are never read.
    state_0 : array_like or pair of array_like, optional
        h_0 of shape (num_directions * num_layers, batch_size, output_size); for an LSTM ``(h_0, c_0)``, c_0 with
        hidden_size in the last place. If not given, the learned states for every row, or zeros.
    lengths : array_like of int of shape (batch_size,), optional
        Length of each row, from 0 to seq_len, in any order; seq_len if not given.
    cell : {"rnn", "lstm", "gru"}
    masks : list of objects with attributes recurrent, zone_h, zone_c, optional
        What training has drawn for each layer and direction, layer by layer: factors of shape (batch_size,
        output_size), (seq_len, batch_size, output_size) and (seq_len, batch_size, hidden_size), or None. Time is that
        of `x`, in the second direction too. Without them the layer infers.
    dtype : dtype, default float64
        In which everything is computed.
    **options
        ``nonlinearity`` of the rnn, ``reset_after`` of the gru, ``coupled_gates`` of the lstm; ``activations``,
        ``clip`` and ``zoneout`` of all three.

    Returns
    -------
    result : tuple ``(output, state_n, cells)``
        ``output`` (seq_len, batch_size, num_directions * output_size) and ``cells`` (seq_len, batch_size,
        num_directions * hidden_size), the last layer's c of each step (None without memory cells), are 0 past a
        row's length. ``state_n`` has the form of `state_0` and holds each row's own last state.
    tape : dict
        What `backward` needs.

    Examples
    --------
    >>> import numpy as np
    >>> params = {"weight_ih_l0": np.ones((1, 2)), "weight_hh_l0": np.ones((1, 1))}
    >>> x = np.ones((2, 1, 2))
    >>> (output, h_n, cells), tape = forward(params, x, cell="rnn", nonlinearity="relu")
    >>> output[:, 0, 0]
    array([2., 4.])
    """
    module = CELLS[cell]
    params = {name: np.array(value, dtype=dtype) for name, value in params.items()}
    x = np.array(x, dtype=dtype)
    seq_len, batch_size, _ = x.shape
    lengths = np.full(batch_size, seq_len) if lengths is None else np.asarray(lengths)
    suffixes = _suffixes(params)
    learned = _learned(params, suffixes) if state_0 is None else ()
    if state_0 is None:
        state_0 = _initial_state(params, learned, suffixes, batch_size, cell, options)
    state_0 = tuple(np.array(s, dtype=dtype) for s in (state_0 if isinstance(state_0, tuple) else (state_0,)))
    state_n = tuple(s.copy() for s in state_0)

    runs, layer_input = [], x
    for layer in suffixes:
        outputs, cells = [], []
        for suffix, reverse in layer:
            k = len(runs)
            run = {
                "weights": _weights(params, suffix),
                "suffix": suffix,
                "reverse": reverse,
                "x": layer_input,
                "masks": None if masks is None else masks[k],
            }
            result = _run_forward(module, run, tuple(s[k] for s in state_0), lengths, options)
            for s, last in zip(state_n, result["state_n"], strict=True):
                s[k] = last
            outputs.append(result["history"][0])
            cells.append(result["history"][-1])
            runs.append(run)
        layer_input = np.concatenate(outputs, axis=2)
    tape = {"module": module, "suffixes": suffixes, "runs": runs, "params": params}
    tape["learned"] = learned
    cells = np.concatenate(cells, axis=2) if cell == "lstm" else None
    return (layer_input, _state(state_n), cells), tape


def backward(tape, d_output, d_state_n=None):
    """Derivatives of one scalar by everything that `forward` took.

    Parameters
    ----------
    tape : dict
        The second result of `forward`.
    d_output : array_like, the shape of ``output``
        Ignored past a row's length.
    d_state_n : the form and shapes of ``state_n``, optional
        Zeros if not given.

    Returns
    -------
    d_x : ndarray, the shape of ``x``
        0 past a row's length.
    d_state_0 : the form and shapes of ``state_0``
    grads : dict of str to ndarray
        The keys and shapes of ``params``.
    """
    runs, module = tape["runs"], tape["module"]
    n_states = len(runs[0]["state_0"])
    if d_state_n is None:
        d_state_n = tuple(np.stack([np.zeros_like(run["state_0"][j]) for run in runs]) for j in range(n_states))
    elif n_states == 1:
        d_state_n = (d_state_n,)
    d_state_0 = tuple(np.array(d, dtype=runs[0]["x"].dtype) for d in d_state_n)
    grads = {name: np.zeros_like(value) for name, value in tape["params"].items()}

    d_layer = np.array(d_output, dtype=runs[0]["x"].dtype)
    k = len(runs)
    for layer in reversed(tape["suffixes"]):
        k -= len(layer)
        d_input = np.zeros_like(runs[k]["x"])
        for d_half, direction in zip(np.split(d_layer, len(layer), axis=2), range(len(layer)), strict=True):
            run = runs[k + direction]
            d_final = tuple(d[k + direction] for d in d_state_0)  # d_state_n until it is replaced here
            d_weights, d_x, d_initial = _run_backward(module, run, d_half, d_final)
            d_input += d_x
            for d, value in zip(d_state_0, d_initial, strict=True):
                d[k + direction] = value
            for kind, value in d_weights.items():
                grads[kind + run["suffix"]] += value
        d_layer = d_input
    for names, d in zip(tape["learned"], d_state_0, strict=False):
        for name, value in zip(names, d, strict=True):
            grads[name] += value.sum(axis=0)
    return d_layer, _state(d_state_0), grads


def _run_forward(module, run, state_0, lengths, options):
    """One direction of one layer over a ragged batch; adds to `run` what its backward pass needs."""
    x = run["x"]
    run["state_0"], run["groups"] = state_0, []
    history = tuple(np.zeros((len(x), *s.shape), dtype=x.dtype) for s in state_0)
    state_n = tuple(s.copy() for s in state_0)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        x_rows = _turn(x[:length, rows], run["reverse"])
        own = options | {"masks": _masks_of(run["masks"], rows, length, run["reverse"])}
        states, saved = module.forward(run["weights"], x_rows, tuple(s[rows] for s in state_0), **own)
        for j, s in enumerate(states):
            history[j][:length, rows] = _turn(s[1:], run["reverse"])
            state_n[j][rows] = s[-1]
        run["groups"].append((length, rows, x_rows, states, saved, own))
    return {"history": history, "state_n": state_n}


def _run_backward(module, run, d_output, d_state_n):
    """The derivatives of `_run_forward`."""
    d_weights = {kind: np.zeros_like(w) for kind, w in run["weights"].items()}
    d_x = np.zeros_like(run["x"])
    d_state_0 = tuple(np.zeros_like(s) for s in run["state_0"])
    for length, rows, x_rows, states, saved, own in run["groups"]:
        d_rows = _turn(d_output[:length, rows], run["reverse"])
        d_final = tuple(d[rows] for d in d_state_n)
        d_w, d_x_rows, d_initial = module.backward(run["weights"], x_rows, states, saved, d_rows, d_final, **own)
        d_x[:length, rows] = _turn(d_x_rows, run["reverse"])
        for d, value in zip(d_state_0, d_initial, strict=True):
            d[rows] = value
        for kind, value in d_w.items():
            d_weights[kind] += value
    return d_weights, d_x, d_state_0


def _masks_of(masks, rows, length, reverse):
    """What of one direction's masks belongs to `rows`, in the order in which the direction takes its steps."""
    if masks is None:
        return None
    zones = (None if zone is None else _turn(zone[:length, rows], reverse) for zone in (masks.zone_h, masks.zone_c))
    recurrent = None if masks.recurrent is None else masks.recurrent[rows]
    return SimpleNamespace(recurrent=recurrent, **dict(zip(("zone_h", "zone_c"), zones, strict=True)))


def _turn(steps, reverse):
    """`steps` back to front if `reverse`."""
    return steps[::-1] if reverse else steps


def _state(arrays):
    """A pair for an LSTM, one array otherwise."""
    return arrays if len(arrays) > 1 else arrays[0]


def _suffixes(params):
    """For each layer, the endings of its parameter names with the direction: ``[[("_l0", False), ...], ...]``."""
    num_layers = sum(name.startswith("weight_ih_l") and not name.endswith("_reverse") for name in params)
    directions = [("", False)] + ([("_reverse", True)] if "weight_ih_l0_reverse" in params else [])
    return [[(f"_l{k}{ending}", reverse) for ending, reverse in directions] for k in range(num_layers)]


def _weights(params, suffix):
    """The parameters of one direction of one layer, without the ending of their names."""
    return {kind: params[kind + suffix] for kind in KINDS if kind + suffix in params}


def _learned(params, suffixes):
    """The names of the learned initial states: those of h_0 by layer and direction, then those of c_0."""
    names = [[kind + suffix for layer in suffixes for suffix, _ in layer] for kind in INITIAL]
    return [row for row in names if row[0] in params]


def _initial_state(params, learned, suffixes, batch_size, cell, options):
    """The initial state that stands for none: the learned one for every row, or zeros."""
    if learned:
        rows = (np.stack([params[name] for name in names])[:, None] for names in learned)
        return _state(tuple(np.repeat(state, batch_size, axis=1) for state in rows))
    n_runs = sum(len(layer) for layer in suffixes)
    rows, output_size = params["weight_hh_l0"].shape
    h_0 = np.zeros((n_runs, batch_size, output_size))
    hidden_size = rows // (3 if options.get("coupled_gates") else 4)
    return (h_0, np.zeros((n_runs, batch_size, hidden_size))) if cell == "lstm" else h_0
