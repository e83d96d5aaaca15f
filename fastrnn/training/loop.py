"""The training loop: knows the layer contract, losses and optimisers, and nothing of estimators."""

import math
import os

import numpy as np

from .._validation import check_size
from .callbacks import Checkpoint, EpochEnd
from .checkpoint import read_checkpoint, write_checkpoint
from .history import NonFiniteLossError
from .paired import Paired
from .progress_bar import progress_bar
from .run import Run
from .samples import Samples
from .updates import Gradients, Settings, grouped, passes_of
from .validation import Validation
from .windows import check_windows

MASKS = ("p", "dropout", "recurrent_dropout", "zoneout")  # attributes of layers that draw from rng


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
    sample_weight=None,
    validation=None,
    early_stopping=False,
    schedule=None,
    accumulate_steps=1,
    bptt_window=None,
    score=None,
    resume_from=None,
    checkpoint=None,
):
    """Train a network in place.

    It ends with the weights of the end of the epoch with the smallest training loss, or with the best validation score
    where ``early_stopping`` is set. Ctrl-C ends it in the same way.

    Parameters
    ----------
    network : Sequential
        Maps (seq_len, batch_size, input_size) to (batch_size, output_size), or, without pooling, to (seq_len,
        batch_size, output_size). A first layer Embedding takes integers.
    sequences : ndarray of shape (n_samples, seq_len, input_size) or list of (seq_len_i, input_size)
        Of tokens: without the last axis. Of an encoder-decoder: `Paired`.
    target : ndarray of shape (n_samples, ...)
        What ``loss`` takes as its second argument, one row a sample. Of a network with an output a step: ndarray of
        shape (n_samples, seq_len, ...) or list of (seq_len_i, ...); the loss gets (seq_len, batch_size, ...) and, where
        lengths differ, weights (seq_len, batch_size) that are 0 past a row's end, and is a mean over steps.
    loss : callable
        ``loss(output, target) -> (value, d_output)``, see :mod:`fastrnn.losses`; called with weights as a third
        argument where there are any. Its value is a weighted mean.
    optimizer : object with ``init`` and ``update``
        See :mod:`fastrnn.optim`.
    batch_size, max_iter : int
    shuffle : bool
        Draw new batches each epoch, sequences of similar length together; else keep the order.
    rng : numpy.random.Generator
        For batches and dropout.
    alpha : float
        L2 penalty: alpha / 2 * sum(w ** 2) / batch size is added to a batch's loss (MLPClassifier's scaling); the sum
        of weights stands for the batch size where there are weights, the number of steps where there is an output a
        step.
    max_grad_norm, max_grad_value : float or None
        Clipping; by value comes first.
    tol, n_iter_no_change : float, int
        Stop once the loss (the validation score where ``early_stopping`` is set) has not got better than the best by
        more than ``tol`` for this many epochs.
    n_threads : int or None
    verbose : bool
        Show a tqdm bar with the loss and the validation score.
    on_epoch : callable or list of callable, optional
        ``on_epoch(moment)`` after every epoch, with an :class:`EpochEnd`; returning True stops. See
        :class:`Checkpoint`, :class:`CSVLog`, :class:`LearningRateSchedule`, :class:`ReduceOnPlateau`.
    sample_weight : array_like of shape (n_samples,), optional
        Weights >= 0 of the mean that the loss is. Samples of weight 0 are in no batch. Of a network with an output a
        step also ndarray of shape (n_samples, seq_len) or list of (seq_len_i,): a weight for each.
    validation : tuple (sequences, target, sample_weight or None), optional
        Data whose loss and score are recorded after every epoch.
    early_stopping : bool
        Watch the validation score instead of the training loss.
    schedule : object of fastrnn.schedules, optional
        Called before every update; the optimiser's learning rate is multiplied by what it returns.
    accumulate_steps : int
        Batches (windows, where ``bptt_window`` is set) whose gradients are joined into one update, which is that of
        one batch of them all.
    bptt_window : int, optional
        Truncated backpropagation through time: gradients reach back within a window of so many steps, and memory is
        that of one window. Of a network with an output a step, each window of a batch is an update of its own, and the
        state is carried to the next. Of one that ends in ``Pool("last")``, the gradient of each row reaches back
        over its last steps, as many as the window has.
    score : callable, optional
        ``score(network, sequences, target, sample_weight) -> float`` on the validation data, higher being better;
        minus the loss by default.
    resume_from : path, optional
        A file that `Checkpoint` wrote. Given the same arguments, the training ends with the bits with which it would
        have ended uninterrupted. ``max_iter``, rates and other settings that do not change what the file holds may
        be others.
    checkpoint : path or Checkpoint, optional
        Where to write such a file, after every epoch or as the `Checkpoint` says.

    Returns
    -------
    history : History

    Raises
    ------
    NonFiniteLossError
        Where the loss or a gradient stops being finite. The weights are then the best ones with which
        all was finite; ``error.history`` is what had been recorded.
    ValueError
        Where arguments do not fit each other; where ``bptt_window`` is set for a network that needs all steps at once:
        a bidirectional one, or one with another pooling than "last"; where ``resume_from`` is the file of another
        training, or damaged (:class:`fastrnn.storage.FileFormatError`).

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.losses import softmax_cross_entropy
    >>> from fastrnn.models import many_to_one
    >>> from fastrnn.optim import Adam
    >>> from fastrnn.schedules import Cosine
    >>> from fastrnn.training import train
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.uniform(-1, 1, size=(60, 5, 1)), np.arange(60) % 2
    >>> X[:, 0, 0] = 2 * y - 1  # the class is the sign of the first step
    >>> network = many_to_one(1, 2, cell="gru", hidden_layer_sizes=(8,), random_state=0)
    >>> options = {"loss": softmax_cross_entropy, "optimizer": Adam(0.05), "schedule": Cosine(), "rng": rng}
    >>> options |= {"max_iter": 30, "n_iter_no_change": 30}
    >>> history = train(network, X[:40], y[:40], validation=(X[40:], y[40:]), **options)
    >>> history.n_updates, history.validation_loss_curve[-1] < 0.2
    (60, True)
    """
    if (shuffle or _draws_masks(network)) and rng is None:
        raise ValueError("rng is None, expected a numpy.random.Generator (shuffling or dropout needs one)")
    accumulate_steps = check_size("accumulate_steps", accumulate_steps)
    if bptt_window is not None:
        bptt_window = check_size("bptt_window", bptt_window)
        _check_cuts(sequences, loss)
        check_windows(network)
    settings = Settings(
        loss, batch_size, shuffle, alpha, max_grad_norm, max_grad_value, n_threads, accumulate_steps, bptt_window
    )
    _check_validation(validation, early_stopping, score)
    if schedule is not None and not hasattr(optimizer, "learning_rate"):
        raise ValueError(f"schedule is set, but {type(optimizer).__name__} has no attribute learning_rate to move")
    samples = Samples(network, sequences, target, sample_weight)
    validate = None if validation is None else Validation(network, validation, settings, score)
    hooks = _hooks(on_epoch, checkpoint)
    run = Run(network, optimizer, rng, settings, samples, schedule, hooks, bool(early_stopping))
    if resume_from is not None:
        read_checkpoint(run, resume_from)
    try:
        with progress_bar(max_iter, run.history.n_epochs, verbose) as bar:
            run.history.stopped = _run_epochs(run, max_iter, tol, n_iter_no_change, validate, bar)
    except NonFiniteLossError as error:
        run.keeper.restore(run.history, confirmed=True)
        error.history = run.history
        raise
    except KeyboardInterrupt:
        run.history.drop_incomplete()
        run.history.stopped = "interrupt"
    run.keeper.restore(run.history)
    return run.history


def _check_cuts(sequences, loss):
    """Raise ValueError where sequences cannot be cut into windows."""
    if isinstance(sequences, Paired):
        raise ValueError("bptt_window is set, but sequences are Paired: a decoder's window lacks its source")
    if getattr(loss, "needs_whole_sequences", False):
        raise ValueError(f"bptt_window is set, but loss is {type(loss).__name__}, which needs whole sequences")


def _check_validation(validation, early_stopping, score):
    if validation is None and early_stopping:
        raise ValueError("early_stopping is True, but validation is None, expected (sequences, target, sample_weight)")
    if validation is None and score is not None:
        raise ValueError("score is set, but validation is None, expected (sequences, target, sample_weight)")


def _hooks(on_epoch, checkpoint):
    hooks = [on_epoch] if callable(on_epoch) else list(on_epoch or ())
    if checkpoint is not None:
        hooks.append(checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint(os.fspath(checkpoint)))
    for k, hook in enumerate(hooks):
        if not callable(hook):
            raise TypeError(f"on_epoch[{k}] is an object of type {type(hook).__name__}, expected a callable")
    return hooks


def _draws_masks(network):
    return any(
        _draws_masks(layer) if hasattr(layer, "layers") else any(getattr(layer, name, 0.0) for name in MASKS)
        for layer in network.layers
    )


def _run_epochs(run, max_iter, tol, n_iter_no_change, validate, bar):
    """Train until something ends it, and return what: the word for `History.stopped`."""
    gradients = Gradients(run.network, run.samples, run.settings, run.rng)
    started = False
    while True:
        history = run.history
        if history.n_epochs and run.waited >= n_iter_no_change:
            return "tol"
        if history.n_epochs >= max_iter:
            return "max_iter"
        groups = _begin_epoch(run)
        if not started:
            _start_hooks(run, max_iter)
            started = True
        _announce_epoch(run, max_iter)
        rate = _run_epoch(run, groups, gradients, max_iter)
        measures = None if validate is None else _validated(run, validate)
        history.record(run.epoch.loss, run.epoch.largest_norm, rate, measures)
        watched = history.loss_curve[-1] if measures is None else -measures[1]
        if run.schedule_state is not None:
            run.schedule.observe(run.schedule_state, watched)
        run.settle(watched if run.early_stopping else history.loss_curve[-1], tol)
        bar.set_postfix(**_shown(history), refresh=False)
        bar.update(1)
        if _call_hooks(run, max_iter, watched):
            return "callback"


def _begin_epoch(run):
    """Draw the batches of an epoch, or draw those of a resumed epoch again; return the passes of each update."""
    rng = run.rng if run.settings.shuffle else None
    resumed, now = run.epoch.rng_state, None
    if rng is not None:
        now = rng.bit_generator.state
        if resumed is None:
            run.epoch.rng_state = now
        else:
            rng.bit_generator.state = resumed
    batches = run.samples.batches(run.settings.batch_size, rng)
    if resumed is not None:
        rng.bit_generator.state = now
    groups = grouped(passes_of(run.samples, batches, run.settings.bptt_window), run.settings.accumulate_steps)
    run.updates_per_epoch = run.updates_per_epoch or len(groups)
    return groups


def _run_epoch(run, groups, gradients, max_iter):
    """Make the updates of an epoch that are still to be made; return the learning rate of the last."""
    epoch = run.epoch
    for passes in groups[epoch.n_updates :]:
        with np.errstate(over="ignore", invalid="ignore"):  # said once, by the error below
            value, norm = gradients(passes)
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise NonFiniteLossError(_non_finite_message(value, norm, passes, run))
        run.keeper.confirm()
        run.update(max_iter)
        weight = sum(p.weight for p in passes)
        epoch.total += value * weight
        epoch.weight += weight
        epoch.largest_norm = max(epoch.largest_norm, norm)
        if passes[-1].ends_batch:
            for hook in run.hooks:
                if isinstance(hook, Checkpoint) and hook.is_due(run.history.n_updates):
                    write_checkpoint(run, hook.path)
    return getattr(run.optimizer, "learning_rate", math.nan) * epoch.factor


def _validated(run, validate):
    value, score = validate()
    if not math.isfinite(value):
        raise NonFiniteLossError(
            f"the validation loss is {value:.4g} at the end of epoch {run.history.n_epochs + 1}. {_kept(run)}"
        )
    if run.early_stopping and math.isnan(score):
        raise ValueError("the validation score is NaN, expected a number to stop by: more validation data, or others")
    return value, score


def _announce_epoch(run, max_iter):
    moment = EpochEnd(run.history, run.network, run.optimizer, run.progress(max_iter), math.nan, run.rate_factor)
    for hook in run.hooks:
        if hasattr(hook, "on_epoch_start"):
            hook.on_epoch_start(moment)


def _start_hooks(run, max_iter):
    moment = EpochEnd(run.history, run.network, run.optimizer, run.progress(max_iter), math.nan)
    for hook in run.hooks:
        if hasattr(hook, "on_start"):
            hook.on_start(moment)
    if not run.history.n_updates:  # else the factor came out of the checkpoint
        run.rate_factor = moment.rate_factor
    for path in moment.checkpoints:
        write_checkpoint(run, path)


def _call_hooks(run, max_iter, watched):
    """Call all hooks, then write the checkpoints they asked for; return whether one stops the training."""
    moment = EpochEnd(run.history, run.network, run.optimizer, run.progress(max_iter), watched)
    answers = [hook(moment) for hook in run.hooks]
    run.rate_factor = moment.rate_factor
    for path in moment.checkpoints:
        write_checkpoint(run, path)
    return any(answers)


def _shown(history):
    """What the progress bar shows."""
    values = {"loss": f"{history.loss_curve[-1]:.4f}"}
    if history.validation_curve:
        values["validation_loss"] = f"{history.validation_loss_curve[-1]:.4f}"
        values["score"] = f"{history.validation_curve[-1]:.4f}"
    return values


def _non_finite_message(value, norm, passes, run):
    largest = max(run.samples.largest_input(p.indices) for p in passes)
    first, last = passes[0].number, passes[-1].number
    batches = f"batch {first}" if first == last else f"batches {first} to {last}"
    return (
        f"the loss is {value:.4g} and the norm of the gradient {norm:.4g} at epoch {run.history.n_epochs + 1}, "
        f"{batches}; the largest input is {largest:.4g}. {_kept(run)}"
    )


def _kept(run):
    epoch = run.keeper.confirmed[1]
    kept = f"those of the end of epoch {epoch}, the best so far" if epoch else "those from before training"
    return f"The network's weights are {kept}. A smaller learning rate, max_grad_norm, or scaled inputs may help."
