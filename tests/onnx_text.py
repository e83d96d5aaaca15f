"""The text of the ONNX operators LSTM, GRU and RNN, read out in NumPy float64: one step of one row at a time."""

import numpy as np

DEFAULT_PARAMETERS = {
    "Affine": (1.0, 0.0), "LeakyRelu": (0.01,), "ThresholdedRelu": (1.0,), "ScaledTanh": (1.0, 1.0),
    "HardSigmoid": (0.2, 0.5), "Elu": (1.0,),
}  # fmt: skip

FUNCTIONS = {
    "Relu": lambda x: np.maximum(0, x),
    "Tanh": np.tanh,
    "Sigmoid": lambda x: 0.5 * (1 + np.tanh(0.5 * x)),
    "Affine": lambda x, alpha, beta: alpha * x + beta,
    "LeakyRelu": lambda x, alpha: np.where(x >= 0, x, alpha * x),
    "ThresholdedRelu": lambda x, alpha: np.where(x >= alpha, x, 0),
    "ScaledTanh": lambda x, alpha, beta: alpha * np.tanh(beta * x),
    "HardSigmoid": lambda x, alpha, beta: np.minimum(np.maximum(alpha * x + beta, 0), 1),
    "Elu": lambda x, alpha: np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0))),
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "Softplus": lambda x: np.logaddexp(0, x),
}

DEFAULTS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}


def functions_of(kind, directions, attributes):
    """For each direction its functions f, g and h; alphas and betas are consumed in their order."""
    names = attributes.get("activations", DEFAULTS[kind] * directions)
    alphas = iter(attributes.get("activation_alpha", ()))
    betas = iter(attributes.get("activation_beta", ()))
    found = []
    for name in names:
        values = list(DEFAULT_PARAMETERS.get(name, ()))
        if values:
            values[0] = next(alphas, values[0])
        if len(values) > 1:
            values[1] = next(betas, values[1])
        found.append(lambda x, f=FUNCTIONS[name], v=tuple(values): f(x, *v))
    per_direction = len(DEFAULTS[kind])
    return [found[d * per_direction : (d + 1) * per_direction] for d in range(directions)]


def run(kind, attributes, inputs):
    """The outputs of a node, in float64.

    Parameters
    ----------
    kind : {"LSTM", "GRU", "RNN"}
    attributes : dict
        As of the operator.
    inputs : dict of str to array
        X, W, R and any of B, sequence_lens, initial_h, initial_c, P.

    Returns
    -------
    dict of str to ndarray
        Y, Y_h and of an LSTM Y_c.
    """
    inputs = {name: np.asarray(a, np.int64 if name == "sequence_lens" else np.float64) for name, a in inputs.items()}
    layout, direction = attributes.get("layout", 0), attributes.get("direction", "forward")
    x, w, r = inputs["X"], inputs["W"], inputs["R"]
    states = [inputs.get("initial_h"), inputs.get("initial_c")]
    if layout:
        x, states = x.swapaxes(0, 1), [s if s is None else s.swapaxes(0, 1) for s in states]
    (steps, rows, _), (directions, _, hidden) = x.shape, r.shape
    lengths = inputs.get("sequence_lens", np.full(rows, steps))
    bias = inputs.get("B", np.zeros((directions, 2 * r.shape[1])))
    peepholes = inputs.get("P", np.zeros((directions, 3 * hidden)))
    states = [np.zeros((directions, rows, hidden)) if s is None else s for s in states]
    y, y_h, y_c = np.zeros((steps, directions, rows, hidden)), *(s.copy() for s in states)
    functions = functions_of(kind, directions, attributes)
    for d in range(directions):
        step = STEPS[kind](w[d], r[d], bias[d], peepholes[d], functions[d], attributes)
        from_end = direction == "reverse" or d == 1
        for n in range(rows):
            times = range(lengths[n])
            for t in reversed(times) if from_end else times:
                y_h[d, n], y_c[d, n] = step(x[t, n], y_h[d, n], y_c[d, n])
                y[t, d, n] = y_h[d, n]
    if layout:
        y, y_h, y_c = y.transpose(2, 0, 1, 3), y_h.swapaxes(0, 1), y_c.swapaxes(0, 1)
    return {"Y": y, "Y_h": y_h} | ({"Y_c": y_c} if kind == "LSTM" else {})


def _clipped(attributes):
    clip = attributes.get("clip", np.inf)
    return lambda x: np.clip(x, -clip, clip)


def _lstm(w, r, bias, peepholes, functions, attributes):
    wi, wo, wf, wc = np.split(w, 4)
    ri, ro, rf, rc = np.split(r, 4)
    wbi, wbo, wbf, wbc, rbi, rbo, rbf, rbc = np.split(bias, 8)
    pi, po, pf = np.split(peepholes, 3)
    f, g, h = functions
    clip = _clipped(attributes)

    def step(x, hidden, cell):
        it = f(clip(wi @ x + ri @ hidden + pi * cell + wbi + rbi))
        if attributes.get("input_forget", 0):
            ft = 1 - it
        else:
            ft = f(clip(wf @ x + rf @ hidden + pf * cell + wbf + rbf))
        ct = g(clip(wc @ x + rc @ hidden + wbc + rbc))
        cell = ft * cell + it * ct
        ot = f(clip(wo @ x + ro @ hidden + po * cell + wbo + rbo))
        return ot * h(cell), cell

    return step


def _gru(w, r, bias, peepholes, functions, attributes):
    wz, wr, wh = np.split(w, 3)
    rz, rr, rh = np.split(r, 3)
    wbz, wbr, wbh, rbz, rbr, rbh = np.split(bias, 6)
    f, g = functions
    clip = _clipped(attributes)

    def step(x, hidden, cell):
        zt = f(clip(wz @ x + rz @ hidden + wbz + rbz))
        rt = f(clip(wr @ x + rr @ hidden + wbr + rbr))
        if attributes.get("linear_before_reset", 0):
            ht = g(clip(wh @ x + rt * (rh @ hidden + rbh) + wbh))
        else:
            ht = g(clip(wh @ x + rh @ (rt * hidden) + rbh + wbh))
        return (1 - zt) * ht + zt * hidden, cell

    return step


def _rnn(w, r, bias, peepholes, functions, attributes):
    wbi, rbi = np.split(bias, 2)
    clip = _clipped(attributes)
    return lambda x, hidden, cell: (functions[0](clip(w @ x + r @ hidden + wbi + rbi)), cell)


STEPS = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}
