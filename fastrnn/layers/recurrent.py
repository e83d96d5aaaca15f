"""`RNN`, `LSTM` and `GRU`: torch.nn's names, shapes, orders and defaults, on arrays."""

from .._validation import check_choice
from ._recurrent import Recurrent


class RNN(Recurrent):
    """Elman network, h_t = phi(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh) (Elman 1990); torch.nn.RNN on arrays.

    Parameters
    ----------
    nonlinearity : {"tanh", "relu"}, default="tanh"
        phi.
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, random_state, engine, init
        As in `LSTM`. ``init="identity"`` with "relu" is the network of Le, Jaitly and Hinton (2015).
    activations : sequence of one (str or tuple), optional
        phi, where it is neither tanh nor relu; names as in `LSTM`.
    clip, layer_norm, recurrent_dropout, zoneout, learn_initial_state
        As in `LSTM`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn
    >>> rnn = fastrnn.RNN(3, 4, random_state=0)
    >>> output, h_n = rnn(np.ones((5, 2, 3)))
    >>> output.shape, h_n.shape
    ((5, 2, 4), (1, 2, 4))
    """

    roles = ("the hidden state",)

    def __init__(
        self, input_size, hidden_size, num_layers=1, nonlinearity="tanh", bias=True, batch_first=False, dropout=0.0,
        bidirectional=False, dtype="float32", random_state=None, *, engine=None, init=None, activations=None, clip=None,
        layer_norm=False, recurrent_dropout=0.0, zoneout=0.0, learn_initial_state=False,
    ):  # fmt: skip
        self.nonlinearity = check_choice("nonlinearity", nonlinearity, ("tanh", "relu"))
        if activations is not None and nonlinearity != "tanh":
            raise ValueError(f"nonlinearity is {nonlinearity!r}, expected its default 'tanh' beside activations")
        super().__init__(
            f"rnn_{nonlinearity}", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0,
            dtype, random_state, engine, init, activations=activations, clip=clip, layer_norm=layer_norm,
            recurrent_dropout=recurrent_dropout, zoneout=zoneout, learn_initial_state=learn_initial_state,
        )  # fmt: skip


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter & Schmidhuber 1997; Gers et al. 2000); torch.nn.LSTM on arrays.

    ::

        i, f, o = sigmoid(W_i* x_t + b_i* + W_h* h_{t-1} + b_h*)
        g       = tanh(W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)
        c_t     = f c_{t-1} + i g
        h_t     = o tanh(c_t)                  or W_hr (o tanh(c_t)) with proj_size (Sak et al. 2014)

    Parameters
    ----------
    input_size, hidden_size : int
        Features of a step, units.
    num_layers : int, default=1
        Layers, each reading the output of the one before.
    bias : bool, default=True
    batch_first : bool, default=False
        x and output as (batch_size, seq_len, features).
    dropout : float, default=0.0
        Fraction of a layer's output that the next does not see, in training.
    bidirectional : bool, default=False
        A second direction reads each row from its own end; the output has both side by side.
    proj_size : int, default=0
        Features of a projected h_t; 0 for none.
    dtype : {"float32", "float64"}, default="float32"
    random_state : int, numpy.random.Generator or None
        Of the first parameters.
    engine : {"native", "blas"}, optional
        Who multiplies: our own kernels, whose results do not depend on batch mates or threads, or the BLAS that
        SciPy has. By default the environment variable FASTRNN_ENGINE, or "native".
    init : {"default", "glorot", "orthogonal"}, optional
        Scheme of the first parameters; "default" is torch's.
    peepholes : bool, default=False
        The gates see the cell: p_i c_{t-1} and p_f c_{t-1} are added to their arguments, and p_o c_t to that of o
        (Gers & Schmidhuber 2000).
    coupled_gates : bool, default=False
        f = 1 - i, so that three gates are left, i, g and o (Greff et al. 2017, "CIFG").
    activations : sequence of (str or tuple), optional
        Of the gates, the candidate g and the cell; each a name or (name, alpha, beta): "sigmoid", "tanh", "relu",
        "identity", "affine" (alpha a + beta; 1, 0), "leaky_relu" (0.01), "thresholded_relu" (a where a >= alpha, else
        0; 1), "scaled_tanh" (alpha tanh(beta a); 1, 1), "hard_sigmoid" (alpha a + beta within [0, 1]; 0.2, 0.5, Keras
        3: 1/6, 0.5), "elu" (1), "softsign", "softplus". By default sigmoid, tanh, tanh.
    clip : float, optional
        Arguments of the gates and of g are clipped to [-clip, clip] (the ONNX operator's `clip`); never the cell.
    layer_norm : bool, default=False
        LN(W_ih x) + LN(W_hh h) + b instead of W_ih x + W_hh h + b, each over all gates, and o tanh(LN(c)); LN has a
        trainable gain, and on c a shift (Ba, Kiros & Hinton 2016, equations 20 to 22).
    recurrent_dropout : float, default=0.0
        Probability, in training, by which a unit of h_{t-1} is not seen by the recurrent weights: one draw for all
        steps of a sequence (Gal & Ghahramani 2016).
    zoneout : float, default=0.0
        Probability, in training, by which a unit of h_t, and one of c_t, keeps its value of the step before; outside
        training both are mixed in these parts (Krueger et al. 2017).
    learn_initial_state : bool, default=False
        The state where none is given is trainable, instead of zeros.

    Attributes
    ----------
    params, grads : mapping of str to ndarray
        ``weight_ih_l0`` (4 * hidden_size, input_size), ``weight_hh_l0`` (4 * hidden_size, hidden_size or proj_size),
        ``bias_ih_l0``, ``bias_hh_l0`` (4 * hidden_size,), ``weight_hr_l0`` (proj_size, hidden_size); gates in the order
        i, f, g, o; further layers as ``_l1``, the second direction as ``_l0_reverse``. With their options
        ``peephole_l0`` (3 * hidden_size,) of i, f, o, ``norm_ih_l0`` and ``norm_hh_l0`` (4 * hidden_size,),
        ``norm_c_l0`` and ``norm_c_bias_l0`` (hidden_size,), ``h_0_l0`` (hidden_size or proj_size,), ``c_0_l0``
        (hidden_size,).
        Coupled gates: 3 for 4, and 2 peepholes for 3.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn
    >>> lstm = fastrnn.LSTM(3, 4, random_state=0)
    >>> x = np.ones((5, 2, 3), np.float32)  # five steps of two sequences
    >>> output, (h_n, c_n) = lstm(x, lengths=[5, 2])
    >>> output.shape, h_n.shape, float(output[2:, 1].max())
    ((5, 2, 4), (1, 2, 4), 0.0)

    Training takes the gradient of the output back to those of the input and of the parameters:

    >>> (output, state_n), backward = lstm.forward(x)
    >>> d_x, (d_h_0, d_c_0) = backward(np.ones_like(output))
    >>> d_x.shape, lstm.grads["weight_hh_l0"].shape
    ((5, 2, 3), (16, 4))
    """

    roles = ("the gates", "the candidate", "the cell")

    def __init__(
        self, input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0, bidirectional=False,
        proj_size=0, dtype="float32", random_state=None, *, engine=None, init=None, peepholes=False,
        coupled_gates=False, activations=None, clip=None, layer_norm=False, recurrent_dropout=0.0, zoneout=0.0,
        learn_initial_state=False,
    ):  # fmt: skip
        super().__init__(
            "lstm_coupled" if coupled_gates else "lstm", input_size, hidden_size, num_layers, bias, batch_first,
            dropout, bidirectional, proj_size, dtype, random_state, engine, init, peepholes=peepholes,
            coupled_gates=coupled_gates, activations=activations, clip=clip, layer_norm=layer_norm,
            recurrent_dropout=recurrent_dropout, zoneout=zoneout, learn_initial_state=learn_initial_state,
        )  # fmt: skip


class GRU(Recurrent):
    """Gated recurrent unit (Cho et al. 2014) in its two forms; torch.nn.GRU on arrays.

    ::

        r, z = sigmoid(W_i* x_t + b_i* + W_h* h_{t-1} + b_h*)
        n    = tanh(W_in x_t + b_in + r (W_hn h_{t-1} + b_hn))      reset_after=True: torch, cuDNN
        n    = tanh(W_in x_t + b_in + W_hn (r h_{t-1}) + b_hn)      reset_after=False: the paper
        h_t  = (1 - z) n + z h_{t-1}

    Parameters
    ----------
    reset_after : bool, default=True
        Which form. The two cannot be converted into each other.
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, random_state, engine, init
        As in `LSTM`. Gates stand in the order r, z, n.
    activations : sequence of two (str or tuple), optional
        Of r and z, and of n; names as in `LSTM`.
    layer_norm : bool, default=False
        As in `LSTM`, over r and z together and over n alone (Ba, Kiros & Hinton 2016, equations 23 and 24).
    clip, recurrent_dropout, zoneout, learn_initial_state
        As in `LSTM`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn
    >>> gru = fastrnn.GRU(3, 4, bidirectional=True, random_state=0)
    >>> output, h_n = gru(np.ones((5, 2, 3)))
    >>> output.shape, h_n.shape
    ((5, 2, 8), (2, 2, 4))
    """

    def __init__(
        self, input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0, bidirectional=False,
        dtype="float32", random_state=None, *, engine=None, init=None, reset_after=True, activations=None, clip=None,
        layer_norm=False, recurrent_dropout=0.0, zoneout=0.0, learn_initial_state=False,
    ):  # fmt: skip
        self.reset_after = bool(reset_after)
        super().__init__(
            "gru" if reset_after else "gru_reset_before", input_size, hidden_size, num_layers, bias, batch_first,
            dropout, bidirectional, 0, dtype, random_state, engine, init, activations=activations, clip=clip,
            layer_norm=layer_norm, recurrent_dropout=recurrent_dropout, zoneout=zoneout,
            learn_initial_state=learn_initial_state,
        )  # fmt: skip
