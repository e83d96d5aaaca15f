"""The training loop: knows the layer contract, losses and optimisers, and nothing of estimators."""

import math
from dataclasses import dataclass, field

import numpy as np

from ..optim import add_l2, clip_by_global_norm, clip_by_value, global_norm
from .batches import batch_indices, pad_batch, sequence_lengths


class NonFiniteLossError(FloatingPointError):
    """The loss or a gradient became NaN or infinite; the network holds its best finite weights."""


@dataclass
class History:
    """What a training run leaves behind.

    Attributes
    ----------
    loss_curve : list of float
        Mean training loss of each complete epoch, penalty included.
    grad_norm_curve : list of float
        Largest gradient norm (before clipping by norm) of each complete epoch.
    n_updates : int
    best_epoch : int
        The epoch (from 1) at whose end the network had its present weights; 0: before training.
    stopped : {"max_iter", "tol", "callback", "interrupt"}
        Why it ended.
    """

    loss_curve: list = field(default_factory=list)
    grad_norm_curve: list = field(default_factory=list)
    n_updates: int = 0
    best_epoch: int = 0
    stopped: str = "max_iter"

    @property
    def n_epochs(self):
        """Number of complete epochs."""
        return len(self.loss_curve)


@dataclass(frozen=True)
class _Plan:
    """The settings of one run that a single batch needs."""

    loss: object
    optimizer: object
    alpha: float
    max_grad_norm: float | None
    max_grad_value: float | None
    rng: object
    n_threads: int | None


def train(
    network,
    sequences,
    target,
    *,
    loss,
    optimizer,
    batch_size=32,
    max_iter=100,
    shuffle=True,
    rng=None,
    alpha=0.0,
    max_grad_norm=1.0,
    max_grad_value=None,
    tol=1e-4,
    n_iter_no_change=10,
    n_threads=None,
    verbose=False,
    on_epoch=None,
):
    """Train a network in place.

    It ends with the weights of the end of the epoch with the smallest training loss.

    Parameters
    ----------
    network : Sequential
        Maps (seq_len, batch_size, input_size) to (batch_size, output_size).
    sequences : ndarray of shape (n_samples, seq_len, input_size) or list of (seq_len_i, input_size)
    target : ndarray of shape (n_samples, ...)
        What ``loss`` takes as its second argument, one row a sample.
    loss : callable
        ``loss(output, target) -> (value, d_output)``, see :mod:`fastrnn.losses`.
    optimizer : object with ``init`` and ``update``
        See :mod:`fastrnn.optim`.
    batch_size, max_iter : int
    shuffle : bool
        Draw new batches each epoch, sequences of similar length together; else keep the order.
    rng : numpy.random.Generator
        For batches and dropout.
    alpha : float
        L2 penalty: alpha / 2 * sum(w ** 2) / batch size is added to a batch's loss (MLPClassifier's
        scaling).
    max_grad_norm, max_grad_value : float or None
        Clipping; by value comes first.
    tol, n_iter_no_change : float, int
        Stop once the loss has not gone below the best by more than ``tol`` for this many epochs.
    n_threads : int or None
    verbose : bool
        Show a tqdm bar.
    on_epoch : callable, optional
        ``on_epoch(history)`` after every epoch; returning True stops.

    Returns
    -------
    history : History

    Raises
    ------
    NonFiniteLossError
        Where the loss or a gradient stops being finite. The weights are then the best ones with which
        all was finite; ``error.history`` is what had been recorded.
    """
    if (shuffle or _draws_masks(network)) and rng is None:
        raise ValueError("rng is None, expected a numpy.random.Generator (shuffling or dropout needs one)")
    history = History()
    plan = _Plan(loss, optimizer, alpha, max_grad_norm, max_grad_value, rng, n_threads)
    lengths = sequence_lengths(sequences)
    with network.updating() as params:
        state = optimizer.init(params)
    keeper, waited = _Keeper(network), 0
    with _progress(max_iter, verbose) as bar:
        for _ in range(max_iter):
            batches = batch_indices(lengths, batch_size, rng if shuffle else None)
            try:
                value, norm = _run_epoch(network, sequences, target, batches, plan, state, history, keeper)
            except NonFiniteLossError as error:
                keeper.restore(history, confirmed=True)
                error.history = history
                raise
            except KeyboardInterrupt:
                history.stopped = "interrupt"
                break
            history.loss_curve.append(value)
            history.grad_norm_curve.append(norm)
            bar.update(1)
            bar.set_postfix(loss=f"{value:.4f}", refresh=False)
            waited = 0 if value <= keeper.loss - tol else waited + 1
            keeper.offer(value, history.n_epochs)
            if on_epoch is not None and on_epoch(history):
                history.stopped = "callback"
                break
            if waited >= n_iter_no_change:
                history.stopped = "tol"
                break
    keeper.restore(history)
    return history


class _Keeper:
    """The weights of the best epoch so far.

    The loss of an epoch is of the weights during it, and its last update may be the one that goes astray. So weights
    offered at the end of an epoch are confirmed only when the next batch finds its loss and gradient finite.
    """

    def __init__(self, network):
        self.network = network
        self.loss = math.inf
        self._confirmed = (network.state_dict(), 0)
        self._offered = None

    def offer(self, loss, epoch):
        """Keep the present weights, those of the end of ``epoch``, if its loss is the smallest."""
        if loss < self.loss:
            self.loss = loss
            self._offered = (self.network.state_dict(), epoch)

    def confirm(self):
        """What was offered last has met a batch, and all was finite."""
        if self._offered is not None:
            self._confirmed, self._offered = self._offered, None

    @property
    def confirmed_epoch(self):
        """At the end of which epoch the confirmed weights stood; 0 for those before training."""
        return self._confirmed[1]

    def restore(self, history, confirmed=False):
        """Put the best weights back, the confirmed ones if asked for or if the others are not finite."""
        offered = None if confirmed else self._offered
        if offered is not None and not all(np.isfinite(w).all() for w in offered[0].values()):
            offered = None
        weights, history.best_epoch = offered or self._confirmed
        self.network.load_state_dict(weights)


def _draws_masks(network):
    return any(getattr(layer, "p", 0.0) or getattr(layer, "dropout", 0.0) for layer in network.layers)


def _run_epoch(network, sequences, target, batches, plan, state, history, keeper):
    """One pass over all batches: mean loss per sample, largest gradient norm."""
    total, n_samples, largest_norm = 0.0, 0, 0.0
    for number, indices in enumerate(batches):
        x, lengths = pad_batch(sequences, indices, network.dtype)
        with np.errstate(over="ignore", invalid="ignore"):  # said once, by the error below
            value, norm = _gradients(network, x, lengths, target[indices], plan)
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise NonFiniteLossError(_non_finite_message(value, norm, x, number, history, keeper))
        keeper.confirm()
        with network.updating() as params:
            plan.optimizer.update(params, network.grads, state)
        history.n_updates += 1
        total += value * len(indices)
        n_samples += len(indices)
        largest_norm = max(largest_norm, norm)
    return total / max(n_samples, 1), largest_norm


def _gradients(network, x, lengths, target, plan):
    """Fill network.grads for one batch, clipped: loss with its penalty, norm before clipping by norm."""
    network.zero_grad()
    (output, _), backward = network.forward(x, lengths=lengths, training=True, rng=plan.rng, n_threads=plan.n_threads)
    value, d_output = plan.loss(output, target)
    backward(d_output)
    grads = network.grads
    if plan.alpha:
        value += add_l2(network.params, grads, plan.alpha / max(len(target), 1))
    if plan.max_grad_value is not None:
        clip_by_value(grads, plan.max_grad_value)
    if plan.max_grad_norm is not None:
        return value, clip_by_global_norm(grads, plan.max_grad_norm)
    return value, global_norm(grads)


def _non_finite_message(value, norm, x, number, history, keeper):
    largest = float(np.max(np.abs(x), initial=0.0))
    epoch = keeper.confirmed_epoch
    kept = f"those of the end of epoch {epoch}, the best so far" if epoch else "those from before training"
    return (
        f"the loss is {value:.4g} and the norm of the gradient {norm:.4g} at epoch {history.n_epochs + 1}, "
        f"batch {number + 1}; the largest input is {largest:.4g}. The network's weights are {kept}. "
        "A smaller learning rate, max_grad_norm, or scaled inputs may help."
    )


class _Silent:
    """A progress bar that shows nothing."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def update(self, n):
        """Do nothing."""

    def set_postfix(self, **values):
        """Do nothing."""


def _progress(total, verbose):
    if not verbose:
        return _Silent()
    from tqdm.auto import tqdm

    return tqdm(total=total, desc="fit", unit="epoch")
