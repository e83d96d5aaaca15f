"""Memory: the peak of a process, and what a training step keeps for backward."""

import tracemalloc

from . import peers, suites
from .shapes import BY_LABEL

LABELS = ["lstm 32 100 128 128", "gru 32 100 128 128", "rnn 32 100 128 128"]


class InferenceMemory(suites.Comparison):
    params = [LABELS, list(peers.PEERS), [1]]

    def peakmem_forward(self, *_):
        self.call()


class TrainingMemory(suites.Comparison):
    method = "train"
    params = [LABELS, ["fastrnn", "torch"], [1]]

    def peakmem_forward_backward(self, *_):
        self.call()


class KeptForBackward:
    """Bytes that a forward call in training keeps, output and input not counted.

    In units of one set of post-activation gates and one cell state a step: (G + 1) T N H numbers.
    """

    params = LABELS
    param_names = ["shape"]
    unit = "gate sets and cells"

    def setup(self, label):
        self.shape = BY_LABEL[label]
        self.layer = peers.build("fastrnn", peers.Problem(self.shape)).layer
        self.x = peers.Problem(self.shape).x
        self.layer(self.x)

    def track_kept(self, label):
        shape = self.shape
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            (output, _), _backward = self.layer.forward(self.x, n_threads=1)
            kept = tracemalloc.get_traced_memory()[0] - before - output.nbytes
        finally:
            tracemalloc.stop()
        least = (shape.gates + 1) * shape.seq_len * shape.batch_size * shape.hidden_size * output.itemsize
        return kept / least

    track_kept.unit = unit
