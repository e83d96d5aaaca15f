"""What ``fit`` and ``partial_fit`` do between reading the data and publishing the result."""

import copy
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from ..training import NonFiniteLossError, train
from ._input import take
from ._solver import ContinuedOptimizer, continued_schedule, make_optimizer, make_schedule, settle_batch_size


@dataclass(frozen=True)
class Labelled:
    """Sequences, targets and weights of one role.

    Attributes
    ----------
    sequences : ndarray of shape (n_samples, seq_len, input_size) or list of (seq_len_i, input_size)
        Of tokens: of integers, without the last axis.
    target : ndarray of shape (n_samples, ...) or, of an output a step, list of (seq_len_i, ...)
    weight : ndarray of shape (n_samples,) or None; of an output a step also list of (seq_len_i,)
    """

    sequences: object
    target: object
    weight: object

    def __len__(self):
        return len(self.target)

    def select(self, indices):
        """These samples alone."""
        weight = None if self.weight is None else take(self.weight, indices)
        return Labelled(take(self.sequences, indices), take(self.target, indices), weight)

    def used(self):
        """The samples of non-zero weight: the others are as if they had not been given."""
        if self.weight is None:
            return self
        counts = np.array([np.any(weight) for weight in self.weight])
        if not counts.any():
            raise ValueError("all weights are zero, with those of classes, expected a sample of non-zero weight")
        return self if counts.all() else self.select(np.flatnonzero(counts))


@contextmanager
def unchanged_on_error(estimator):
    """An estimator whose fit is refused or fails goes on as it was, unless a loss was not finite."""
    before = vars(estimator).copy()
    trained, going_on = before.get("_trained"), copy.deepcopy(before.get("_continuation"))
    weights = None if trained is None else trained.state_dict()
    try:
        yield
    except NonFiniteLossError:  # it has been trained, up to there
        raise
    except Exception:
        vars(estimator).clear()
        vars(estimator).update(before)
        if trained is not None:  # training that goes on has moved them in place
            trained.load_state_dict(weights)
        if going_on is not None:
            estimator._continuation = going_on
        raise


def split_off_validation(samples, fraction, labels, rng):
    """Split samples in two: (for training, for validation).

    Parameters
    ----------
    samples : Labelled
    fraction : float
        For validation, in (0, 1).
    labels : ndarray of shape (n_samples,) or None
        Classes in whose proportions to split, where each part has room for one of each.
    rng : numpy.random.Generator
    """
    from sklearn.model_selection import train_test_split

    n_samples = len(samples)
    n_held = int(np.ceil(fraction * n_samples))
    if n_held >= n_samples:
        raise ValueError(
            f"validation_fraction = {fraction} of n_samples = {n_samples} leaves no sequence to train on, "
            "expected early_stopping=False, a smaller fraction, or X_val and y_val"
        )
    if labels is not None:
        counts = np.unique(labels, return_counts=True)[1]
        if counts.min() < 2 or len(counts) > min(n_held, n_samples - n_held):
            labels = None
    seed = int(rng.integers(2**31))
    kept, held = train_test_split(np.arange(n_samples), test_size=n_held, random_state=seed, stratify=labels)
    return samples.select(np.sort(kept)), samples.select(np.sort(held))


def run_training(estimator, samples, validation, *, rng, continuation=None, on_epoch=None, resume_from=None):
    """Call ``train`` as the parameters say; with a continuation, for one epoch that goes on from it.

    Returns
    -------
    history : History
    """
    optimizer, schedule = make_optimizer(estimator), make_schedule(estimator)
    if continuation is not None:
        optimizer = ContinuedOptimizer(optimizer, continuation)
        schedule = continued_schedule(schedule, continuation)
    validation_options = {}
    if validation is not None:
        validation_options = {
            "validation": (validation.sequences, validation.target, validation.weight),
            "early_stopping": bool(estimator.early_stopping),
            "score": _scorer(estimator) if estimator._scores_outputs else None,
        }
    history = train(
        estimator._network_in_training(),
        samples.sequences,
        samples.target,
        loss=estimator._loss,
        optimizer=optimizer,
        batch_size=settle_batch_size(estimator.batch_size, len(samples)),
        max_iter=estimator.max_iter if continuation is None else 1,
        shuffle=estimator.shuffle,
        rng=rng,
        alpha=0.0 if estimator.solver == "adamw" else estimator.alpha,
        max_grad_norm=estimator.max_grad_norm,
        max_grad_value=estimator.max_grad_value,
        tol=estimator.tol,
        n_iter_no_change=estimator.n_iter_no_change,
        n_threads=estimator.n_threads,
        verbose=bool(estimator.verbose),
        sample_weight=samples.weight,
        schedule=schedule,
        accumulate_steps=estimator.accumulate_steps,
        bptt_window=estimator.bptt_window,
        on_epoch=on_epoch,
        resume_from=resume_from,
        **validation_options,
    )
    if continuation is not None:
        continuation["epochs"] += history.n_epochs
        continuation["updates"] += history.n_updates
    return history


def _scorer(estimator):
    def score(network, sequences, target, sample_weight):
        output = estimator._outputs(network, sequences)
        return estimator._score_outputs(output, target, sample_weight)

    return score
