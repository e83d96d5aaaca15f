"""The best weights so far."""

import math

import numpy as np


class Keeper:
    """The weights of the best epoch so far.

    The loss of an epoch is of the weights during it, and its last update may be the one that goes astray. So weights
    offered at the end of an epoch are confirmed only when the next batch finds its loss and gradient finite.

    Parameters
    ----------
    network : Sequential

    Attributes
    ----------
    value : float
        The smallest so far of the numbers by which weights were offered.
    confirmed, offered : (dict of str to ndarray, int)
        Weights, and the epoch at whose end they stood; `offered` may be None.
    """

    def __init__(self, network):
        self.network = network
        self.value = math.inf
        self.confirmed = (network.state_dict(), 0)
        self.offered = None

    def offer(self, value, epoch):
        """Keep the present weights, those of the end of ``epoch``, if ``value`` is the smallest."""
        if value < self.value:
            self.offered = (self.network.state_dict(), epoch)
            self.value = value

    def confirm(self):
        """What was offered last has met a batch, and all was finite."""
        if self.offered is not None:
            self.confirmed, self.offered = self.offered, None

    def restore(self, history, confirmed=False):
        """Put the best weights back, the confirmed ones if asked for or if the others are not finite."""
        offered = None if confirmed else self.offered
        if offered is not None and not all(np.isfinite(w).all() for w in offered[0].values()):
            offered = None
        weights, history.best_epoch = offered or self.confirmed
        self.network.load_state_dict(weights)
