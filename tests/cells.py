"""The cells and their variants: the layer of each, its reference, its parameters and the masks of its training.

A new cell gets one line in `CELLS`, and every test of the matrix runs for it. A variant gets one in `VARIANTS`, and the
tests of the matrix run for it in few sizes.
"""

from dataclasses import dataclass, field

import numpy as np

OF_THE_LAYER = {"peepholes", "layer_norm", "recurrent_dropout", "learn_initial_state"}  # not of the reference


@dataclass(frozen=True)
class Cell:
    """One cell: the layer that runs it, the reference that checks it, and what tells it from its siblings."""

    layer: str  # the public class, and the class of torch.nn
    reference: str  # the key of the cell in fastrnn.reference.stack
    options: dict = field(default_factory=dict)  # keywords of the layer
    projected: bool = False
    in_torch: bool = True

    @property
    def reference_options(self):
        """Keywords of the reference."""
        return {name: value for name, value in self.options.items() if name not in OF_THE_LAYER}

    @property
    def n_gates(self):
        """Blocks of rows in each weight."""
        gates = {"rnn": 1, "lstm": 4, "gru": 3}[self.reference]
        return gates - ("coupled_gates" in self.options)

    def shapes(self, input_size, hidden_size, output_size, bias=True):
        """Return {plain name: shape} of the parameters of one direction of one layer."""
        rows, options = self.n_gates * hidden_size, self.options
        shapes = {"weight_ih": (rows, input_size), "weight_hh": (rows, output_size)}
        if bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.projected:
            shapes |= {"weight_hr": (output_size, hidden_size)}
        if "peepholes" in options:
            shapes |= {"peephole": (rows - hidden_size,)}
        if "layer_norm" in options:
            shapes |= {"norm_ih": (rows,), "norm_hh": (rows,)}
        if "layer_norm" in options and self.reference == "lstm":
            shapes |= {"norm_c": (hidden_size,), "norm_c_bias": (hidden_size,)}
        if "learn_initial_state" in options:
            shapes |= {"h_0": (output_size,)} | ({"c_0": (hidden_size,)} if self.reference == "lstm" else {})
        return shapes


CELLS = {
    "rnn-tanh": Cell("RNN", "rnn", {"nonlinearity": "tanh"}),
    "rnn-relu": Cell("RNN", "rnn", {"nonlinearity": "relu"}),
    "lstm": Cell("LSTM", "lstm"),
    "lstm-proj": Cell("LSTM", "lstm", projected=True),
    "gru-after": Cell("GRU", "gru", {"reset_after": True}),
    "gru-before": Cell("GRU", "gru", {"reset_after": False}, in_torch=False),
}

AFTER, BEFORE, RELU = {"reset_after": True}, {"reset_after": False}, {"nonlinearity": "relu"}
OF_LSTM = {"activations": (("hard_sigmoid", 0.3, 0.4), "softsign", ("scaled_tanh", 1.2, 0.7))}
OF_GRU = {"activations": (("hard_sigmoid", 1 / 6, 0.5), ("elu", 0.8))}
OF_RNN = {"activations": (("scaled_tanh", 1.2, 0.7),)}
NORM, CLIP, INITIAL = {"layer_norm": True}, {"clip": 0.7}, {"learn_initial_state": True}
PEEPHOLES, COUPLED = {"peepholes": True}, {"coupled_gates": True}
MASKED = {"zoneout": 0.3, "recurrent_dropout": 0.4}

# Those named "combined" hold all that draws nothing in training.
VARIANTS = {
    "rnn-activations": Cell("RNN", "rnn", OF_RNN),
    "rnn-norm": Cell("RNN", "rnn", RELU | NORM),
    "rnn-zoneout": Cell("RNN", "rnn", MASKED),
    "rnn-initial": Cell("RNN", "rnn", INITIAL),
    "rnn-combined": Cell("RNN", "rnn", OF_RNN | NORM | CLIP),
    "lstm-peepholes": Cell("LSTM", "lstm", PEEPHOLES),
    "lstm-peepholes-clip-proj": Cell("LSTM", "lstm", PEEPHOLES | CLIP, projected=True),
    "lstm-coupled": Cell("LSTM", "lstm", COUPLED),
    "lstm-coupled-norm": Cell("LSTM", "lstm", COUPLED | NORM),
    "lstm-activations": Cell("LSTM", "lstm", OF_LSTM),
    "lstm-clip": Cell("LSTM", "lstm", CLIP),
    "lstm-norm": Cell("LSTM", "lstm", NORM),
    "lstm-zoneout": Cell("LSTM", "lstm", MASKED),
    "lstm-zoneout-peepholes-norm-proj": Cell("LSTM", "lstm", MASKED | PEEPHOLES | NORM, projected=True),
    "lstm-initial": Cell("LSTM", "lstm", INITIAL, projected=True),
    "lstm-combined": Cell("LSTM", "lstm", PEEPHOLES | COUPLED | OF_LSTM | NORM | CLIP, projected=True),
    "gru-after-activations": Cell("GRU", "gru", AFTER | OF_GRU),
    "gru-after-norm": Cell("GRU", "gru", AFTER | NORM),
    "gru-after-zoneout": Cell("GRU", "gru", AFTER | MASKED),
    "gru-after-combined": Cell("GRU", "gru", AFTER | OF_GRU | NORM | CLIP),
    "gru-before-clip": Cell("GRU", "gru", BEFORE | CLIP),
    "gru-before-norm": Cell("GRU", "gru", BEFORE | NORM),
    "gru-before-zoneout-norm": Cell("GRU", "gru", BEFORE | MASKED | NORM),
    "gru-before-initial": Cell("GRU", "gru", BEFORE | INITIAL),
    "gru-before-combined": Cell("GRU", "gru", BEFORE | OF_GRU | NORM | CLIP),
}

KINDS = CELLS | VARIANTS
COMBINED = tuple(name for name in VARIANTS if name.endswith("-combined"))
EACH = (*CELLS, *COMBINED)  # for tests that run once for each cell

# Every activation, with parameters that are not its defaults where it has any.
ACTIVATIONS = [
    "sigmoid",
    "tanh",
    "relu",
    "identity",
    "softsign",
    "softplus",
    ("affine", 0.7, 0.2),
    ("leaky_relu", 0.3),
    ("thresholded_relu", 0.4),
    ("scaled_tanh", 1.3, 0.6),
    ("hard_sigmoid", 0.4, 0.45),
    ("elu", 0.7),
]


@dataclass
class Masks:
    """The factors that training draws for one direction of one layer, as the reference takes them."""

    recurrent: np.ndarray | None
    zone_h: np.ndarray | None
    zone_c: np.ndarray | None


def draw_masks(case, rng):
    """Masks for every direction of every layer of `case`, drawn here: half of all factors are 0."""
    cell, (T, N) = KINDS[case.cell], (case.seq_len, case.batch_size)

    def draw(*shape, kept):
        return rng.choice([0.0, kept], shape)

    return [
        Masks(
            draw(N, case.output_size, kept=2.0),
            draw(T, N, case.output_size, kept=1.0),
            draw(T, N, case.width, kept=1.0) if cell.reference == "lstm" else None,
        )
        for _ in range(case.num_layers * (1 + case.bidirectional))
    ]


def random_params(case):
    """Parameters of a whole layer, by the names of its state dict."""
    rng = np.random.default_rng(case.seed)
    return {name: rng.uniform(-1, 1, shape) for name, shape in layer_shapes(case).items()}


def layer_shapes(case):
    """Return {name: shape} of the parameters of a whole layer."""
    endings = ("", "_reverse") if case.bidirectional else ("",)
    shapes = {}
    for k in range(case.num_layers):
        input_size = len(endings) * case.output_size if k else case.input_size
        plain = KINDS[case.cell].shapes(input_size, case.width, case.output_size, case.bias)
        shapes |= {f"{name}_l{k}{ending}": shape for ending in endings for name, shape in plain.items()}
    return shapes
