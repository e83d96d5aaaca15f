"""One network trained twice, by this package and by torch: same weights, same batches, same steps of Adam."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CLASSES = 9
RATE = 0.003
MAX_NORM = 1.0  # of the gradient


@dataclass(frozen=True)
class Shape:
    """A network with one recurrent layer, the last output of which a dense layer reads, and its data."""

    cell: str
    batch_size: int = 32
    seq_len: int = 100
    input_size: int = 32
    hidden_size: int = 128

    def data(self, n_batches, dtype="float32"):
        """Return X (n_samples, seq_len, input_size) and labels y: which feature is largest in the last ten steps.

        A task of the whole sequence makes an LSTM's fit chaotic: within 100 updates one rounding is seen in the loss.
        """
        rng = np.random.default_rng(0)
        n_samples = n_batches * self.batch_size
        X = rng.standard_normal((n_samples, self.seq_len, self.input_size))
        shift = rng.standard_normal((n_samples, 1, min(CLASSES, self.input_size)))
        X[:, -10:, :CLASSES] += shift
        return X.astype(dtype), shift[:, 0].argmax(axis=1)

    def network(self, dtype="float32"):
        """Return the network with its first weights, the same in every call."""
        from fastrnn.models import many_to_one

        sizes = {"hidden_layer_sizes": (self.hidden_size,), "dtype": dtype}
        return many_to_one(self.input_size, CLASSES, cell=self.cell, random_state=0, **sizes)


class Ours:
    """This package's training loop.

    Parameters
    ----------
    shape : Shape
    X, y : ndarray
        Of `Shape.data`.
    n_threads : int
    """

    def __init__(self, shape, X, y, n_threads=1):
        self.shape, self.X, self.y, self.n_threads = shape, X, y, n_threads
        self.network = shape.network(X.dtype)
        self.first = self.network.state_dict()

    def start_over(self):
        """Put the first weights back."""
        self.network.load_state_dict(self.first)

    def fit(self, epochs=1):
        """Train, and return the loss of every batch."""
        from fastrnn.losses import softmax_cross_entropy
        from fastrnn.optim import Adam
        from fastrnn.training import train

        losses = []

        def loss(output, target):
            value, d_output = softmax_cross_entropy(output, target)
            losses.append(value)
            return value, d_output

        train(
            self.network,
            self.X,
            self.y,
            loss=loss,
            optimizer=Adam(RATE),
            batch_size=self.shape.batch_size,
            max_iter=epochs,
            n_iter_no_change=epochs,
            shuffle=False,
            max_grad_norm=MAX_NORM,
            n_threads=self.n_threads,
        )
        return losses


class Torch:
    """The same as anyone would write it in torch; arguments as of `Ours`."""

    def __init__(self, shape, X, y, n_threads=1):
        import torch

        self.torch, self.shape, self.n_threads = torch, shape, n_threads
        self.X, self.y = torch.from_numpy(X), torch.from_numpy(y)
        dtype = self.X.dtype
        make = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[shape.cell]
        self.recurrent = make(shape.input_size, shape.hidden_size, batch_first=True, dtype=dtype)
        self.dense = torch.nn.Linear(shape.hidden_size, CLASSES, dtype=dtype)
        self.both = torch.nn.ModuleList([self.recurrent, self.dense])
        self.start_over()

    def start_over(self):
        """Take the first weights of `Shape.network`."""
        place = {"0": "0", "2": "1"}  # of the layers with weights: recurrent, dense
        weights = self.shape.network(str(self.X.numpy().dtype)).state_dict()
        weights = {f"{place[name[0]]}{name[1:]}": self.torch.from_numpy(w) for name, w in weights.items()}
        self.both.load_state_dict(weights)

    def fit(self, epochs=1):
        """Train, and return the loss of every batch."""
        torch, size = self.torch, self.shape.batch_size
        torch.set_num_threads(self.n_threads)
        parameters = list(self.both.parameters())
        optimizer = torch.optim.Adam(parameters, lr=RATE)
        losses = []
        for start in [*range(0, len(self.X), size)] * epochs:
            optimizer.zero_grad()
            output, _ = self.recurrent(self.X[start : start + size])
            logits = self.dense(output[:, -1])
            loss = torch.nn.functional.cross_entropy(logits, self.y[start : start + size])
            loss.backward()
            self._clip([parameter.grad for parameter in parameters])
            optimizer.step()
            losses.append(loss.item())
        return losses

    def _clip(self, grads):
        """Scale down to MAX_NORM; torch's clip_grad_norm_ would add 1e-6 to the norm."""
        norm = self.torch.nn.utils.get_total_norm(grads)
        if norm > MAX_NORM:
            for grad in grads:
                grad.mul_(MAX_NORM / norm)
