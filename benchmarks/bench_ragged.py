"""Batches of sequences with lengths uniform in 1..T."""

from . import peers, shapes, suites

LABELS = [shape.label for shape in shapes.RAGGED]


class RaggedInference(suites.Comparison):
    method = "ragged_forward"
    params = [LABELS, list(peers.PEERS), suites.THREADS]

    def time_forward(self, *_):
        self.call()


class RaggedTraining(suites.Comparison):
    method = "ragged"
    params = [LABELS, list(peers.PEERS), suites.THREADS]

    def time_forward_backward(self, *_):
        self.call()
