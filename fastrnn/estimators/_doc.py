"""The part of the docstrings that all estimators share, written once."""

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
pooling : {"last", "mean", "max"}, default="last"
    What of the outputs over time goes to the dense layer; "last" is the output of each direction at the
    end of its way through that sequence.
dropout : float, default=0.0
    Share of features dropped between the layers while training.
solver : {"adam", "adamw", "rmsprop", "sgd"}, default="adam"
alpha : float, default=0.0001
    L2 penalty on weight matrices, divided by the batch size as in MLPClassifier; decoupled decay a step
    for "adamw".
batch_size : int or "auto", default="auto"
    "auto" gives about sixteen batches an epoch, of 16 to 200 sequences.
learning_rate_init : float, default=0.003
max_iter : int, default=100
    Largest number of epochs.
shuffle : bool, default=True
    Draw new batches each epoch, with sequences of similar length together.
random_state : None, int, Generator or RandomState, default=None
    Of initial weights, batches and dropout. The same value gives the same weights bit for bit, on any
    number of threads.
tol : float, default=1e-4
    Training stops when the loss has not fallen by more than this for ``n_iter_no_change`` epochs.
verbose : bool, default=False
    Show a progress bar.
momentum : float, default=0.9
    Of solver "sgd".
nesterovs_momentum : bool, default=True
    Of solver "sgd".
beta_1, beta_2 : float, default=0.9, 0.999
    Decay rates of solvers "adam" and "adamw".
epsilon : float, default=1e-8
    Of solvers "adam", "adamw" and "rmsprop".
n_iter_no_change : int, default=10
max_grad_norm : float or None, default=1.0
    The gradient of all parameters together is scaled down to this norm.
max_grad_value : float or None, default=None
    Each element of the gradient is limited to this, before the norm is.
dtype : {"auto", "float32", "float64"}, default="auto"
    Type of computation and results; "auto" is float32 where X of ``fit`` is, else float64.
n_threads : int or None, default=None
    Largest number of threads; None leaves it to the library."""

ATTRIBUTES = """\
n_features_in_ : int
    n_features; for 2-D X its number of columns, n_timesteps.
network_ : Sequential
    The trained network (time-major), with the weights of the epoch of smallest training loss.
loss_curve_ : list of float
    Mean training loss of each epoch, penalty included.
grad_norm_curve_ : list of float
    Largest norm of the gradient in each epoch, before clipping by norm.
loss_, best_loss_ : float
    Last and smallest of ``loss_curve_``.
n_iter_ : int
    Complete epochs.
n_outputs_ : int
    Outputs of the network."""


def with_parameters(cls):
    """Fill ``{parameters}`` and ``{attributes}`` of a class's docstring."""
    if cls.__doc__ is not None:  # python -OO has none
        for mark, text in (("{parameters}", PARAMETERS), ("{attributes}", ATTRIBUTES)):
            cls.__doc__ = cls.__doc__.replace(mark, text.replace("\n", "\n    "))
    return cls
