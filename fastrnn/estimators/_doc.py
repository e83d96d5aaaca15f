"""The part of the docstrings that all estimators share, written once."""

import inspect
import re

PARAMETERS = """\
hidden_layer_sizes : int or tuple of int, default=(64,)
    Units of each recurrent layer, the first one reads X.
activation : {"tanh", "relu"}, default="tanh"
    Of cell "rnn" alone.
cell : {"lstm", "gru", "rnn"}, default="lstm"
init : {"default", "glorot", "orthogonal", "identity"}, default="default"
    How the recurrent layers start: torch's uniform values; Glorot's; orthogonal recurrent weights; the
    identity as recurrent weight (cell "rnn", for relu). All but the first set the forget bias of an LSTM
    to 1.
bidirectional : bool, default=False
    Read each sequence from both of its ends.
pooling : {"last", "mean", "max", "attention"}, default="last"
    What of the outputs over time goes to the dense layer; "last" is the output of each direction at the
    end of its way through that sequence, "attention" a mean whose weights are learnt (AttentionPool).
embedding_dim : int or None, default=None
    X is tokens, integers >= 0 or strings, and each is read as a trainable vector of this size (see ``fit``).
    ``fit`` collects the tokens in ``vocabulary_``. All others have the index 0, whose vector is 0 and is
    trained only where ``partial_fit`` or ``warm_start`` meet tokens that the first call had not.
conv_filters : int, sequence of int or None, default=None
    Convolutions over time (three steps wide, relu) before the recurrent layers, so many filters each.
dropout : float, default=0.0
    Share of features dropped between the layers while training.
recurrent_dropout : float, default=0.0
    Share of a recurrent layer's units that it does not see of its own last state while training, the same
    ones in all steps of a sequence; with ``bptt_window`` drawn anew in each window.
zoneout : float, default=0.0
    Share of units that keep their last state in a step of training.
layer_norm : bool, default=False
    Layer normalisation in the recurrent layers.
learn_initial_state : bool, default=False
    Train the recurrent layers' state before the first step, which otherwise is 0.
proj_size : int, default=0
    Features of a projected output of each layer of cell "lstm"; 0 for none.
network : Sequential or None, default=None
    A network to train instead of the one that the parameters above describe, which then must have their
    defaults. It maps (seq_len, batch_size, n_features) to (batch_size, n_outputs), with one output a class
    (a single one for two classes) or a number; where it begins with an ``Embedding``, X is integers, the
    rows of its table. One without recurrent layers and pooling (``Dense``, ``Activation``, ...) maps one vector to
    one: a row of 2-D X is then n_features of a single step. ``fit`` starts from a copy of its weights and leaves
    the given one as it is.
solver : {"adam", "adamw", "rmsprop", "sgd"}, default="adam"
alpha : float, default=0.0001
    L2 penalty on weight matrices, divided by the batch size as in MLPClassifier; decoupled decay a step
    for "adamw".
batch_size : int or "auto", default="auto"
    "auto" gives about sixteen batches an epoch, of 16 to 200 sequences; fewer than 32 are one batch.
learning_rate : str or schedule, default="constant"
    By what factor of ``learning_rate_init`` a step is made: "constant"; "invscaling", 1 / t ** power_t
    with t counting updates from 1; "adaptive", divided by 5 whenever two epochs in a row bring no gain of
    ``tol``; "step", "exponential", "cosine", "onecycle" and "plateau", the schedules of those names with
    their defaults; or an object of :mod:`fastrnn.schedules`. All solvers follow it.
learning_rate_init : float, default=0.003
    The largest rate.
power_t : float, default=0.5
    Of "invscaling".
max_iter : int, default=100
    Largest number of epochs.
shuffle : bool, default=True
    Draw new batches each epoch, with sequences of similar length together.
random_state : None, int, Generator or RandomState, default=None
    Of initial weights, batches and dropout. The same value gives the same weights bit for bit, on any
    number of threads.
tol : float, default=1e-4
    Training stops when the loss has not fallen (with ``early_stopping``, the validation score has not
    risen) by more than this for ``n_iter_no_change`` epochs.
verbose : bool, default=False
    Show a progress bar with the loss and, of validation data, loss and score.
warm_start : bool, default=False
    ``fit`` goes on with the weights of the last call, for the same labels, features and architecture; the
    optimiser starts anew.
momentum : float, default=0.9
    Of solver "sgd".
nesterovs_momentum : bool, default=True
    Of solver "sgd".
early_stopping : bool, default=False
    Stop by the score on validation data, accuracy or R^2, and keep the weights of the best score. The
    data are ``X_val, y_val`` of ``fit``, else a part of X that is not trained on.
validation_fraction : float, default=0.1
    Size of that part, in (0, 1); classes in proportion where there is room for all in both parts.
beta_1, beta_2 : float, default=0.9, 0.999
    Decay rates of solvers "adam" and "adamw".
epsilon : float, default=1e-8
    Of solvers "adam", "adamw" and "rmsprop".
n_iter_no_change : int, default=10
max_grad_norm : float or None, default=1.0
    The gradient of all parameters together is scaled down to this norm.
max_grad_value : float or None, default=None
    Each element of the gradient is limited to this, before the norm is.
accumulate_steps : int, default=1
    Batches whose gradients are joined for one update.
bptt_window : int or None, default=None
    Gradients reach back over so many last steps of a sequence only (truncated back-propagation); for
    pooling "last" of one direction, without convolutions and without ``learn_initial_state``.
dtype : {"auto", "float32", "float64"}, default="auto"
    Type of computation and results; "auto" is float32 where X of ``fit`` is, else float64; that of
    ``network`` where one is given.
n_threads : int or None, default=None
    Largest number of threads; None leaves it to the library."""

ATTRIBUTES = """\
n_features_in_ : int
    n_features; for 2-D X its number of columns, n_timesteps; 1 for tokens.
vocabulary_ : dict of str or int to int
    With ``embedding_dim``: the index of each token that the (first) fit has met, from 1 on, sorted.
network_ : Network
    The trained network (batch first; its outputs are raw), with the weights of the epoch of smallest training
    loss, or of the best validation score with ``early_stopping``. A copy each time it is asked for.
loss_curve_ : list of float
    Mean training loss of each epoch, penalty included. Goes on through ``warm_start`` and ``partial_fit``.
grad_norm_curve_ : list of float
    Largest norm of the gradient in each epoch, before clipping by norm.
loss_, best_loss_ : float
    Last and smallest of ``loss_curve_``.
validation_loss_curve_ : list of float or None
    Loss on validation data at the end of each epoch of the last ``fit``; None where there were none.
validation_scores_ : list of float or None
    The same of the score.
best_validation_score_ : float or None
n_iter_ : int
    Complete epochs, as many as ``loss_curve_`` has.
n_outputs_ : int
    Outputs of the network."""


def with_parameters(cls):
    """Fill ``{parameters}`` and ``{attributes}`` of a class's docstring.

    Parameters that the class does not have are left out, and those of which the docstring tells itself.
    """
    if cls.__doc__ is not None:  # python -OO has none
        known = inspect.signature(cls).parameters
        kept = [
            entry for entry in _entries(PARAMETERS) if known.keys() & set(_names(entry)) and not _is_told(cls, entry)
        ]
        left = [
            entry for entry in _entries(ATTRIBUTES) if "embedding_dim" in known or "vocabulary_" not in _names(entry)
        ]
        for mark, entries in (("{parameters}", kept), ("{attributes}", left)):
            cls.__doc__ = cls.__doc__.replace(mark, "\n".join(entries).replace("\n", "\n    "))
    return cls


def _entries(text):
    return re.split(r"\n(?=\S)", text)


def _names(entry):
    return entry.split(" : ")[0].split(", ")


def _is_told(cls, entry):
    return f"\n    {', '.join(_names(entry))} : " in cls.__doc__
