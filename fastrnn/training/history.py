"""What a training run records, and the error with which it may end."""

from dataclasses import dataclass, field


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
    learning_rate_curve : list of float
        The rate of the last update of each complete epoch; NaN where the optimiser has no ``learning_rate``.
    validation_loss_curve : list of float
        Mean loss on the validation data, without penalty, at the end of each complete epoch; empty without such data.
    validation_curve : list of float
        Score on the validation data (higher is better), likewise.
    n_updates : int
    best_epoch : int
        The epoch (from 1) at whose end the network had its present weights; 0: before training.
    stopped : {"max_iter", "tol", "callback", "interrupt"}
        Why it ended.

    Examples
    --------
    >>> from fastrnn.training import History
    >>> history = History()
    >>> history.record(0.5, 1.0, 0.01)
    >>> history.n_epochs, history.loss_curve
    (1, [0.5])
    """

    loss_curve: list = field(default_factory=list)
    grad_norm_curve: list = field(default_factory=list)
    n_updates: int = 0
    best_epoch: int = 0
    stopped: str = "max_iter"
    learning_rate_curve: list = field(default_factory=list)
    validation_loss_curve: list = field(default_factory=list)
    validation_curve: list = field(default_factory=list)

    @property
    def n_epochs(self):
        """Number of complete epochs."""
        return len(self.loss_curve)

    def record(self, loss, grad_norm, learning_rate, validation=None):
        """Append one epoch; `validation` is a pair (loss, score) or None."""
        self.grad_norm_curve.append(grad_norm)
        self.learning_rate_curve.append(learning_rate)
        if validation is not None:
            self.validation_loss_curve.append(validation[0])
            self.validation_curve.append(validation[1])
        self.loss_curve.append(loss)  # last: only now is the epoch complete

    def drop_incomplete(self):
        """Take back what an interrupted `record` has appended."""
        for curve in (
            self.grad_norm_curve,
            self.learning_rate_curve,
            self.validation_loss_curve,
            self.validation_curve,
        ):
            del curve[self.n_epochs :]
