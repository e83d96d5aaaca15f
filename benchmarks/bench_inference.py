"""Inference on whole sequences."""

from . import suites

FLOAT64 = ("fastrnn", "torch")


class LSTMSequence(suites.Comparison):
    params = suites.params("lstm", shapes=suites.ALL)

    def time_forward(self, *_):
        self.call()


class GRUSequence(suites.Comparison):
    params = suites.params("gru", shapes=suites.ALL)

    def time_forward(self, *_):
        self.call()


class RNNSequence(suites.Comparison):
    params = suites.params("rnn", shapes=suites.ALL)

    def time_forward(self, *_):
        self.call()


class LSTMSequence64(suites.Comparison):
    dtype = "float64"
    params = suites.params("lstm", FLOAT64)

    def time_forward(self, *_):
        self.call()


class GRUSequence64(suites.Comparison):
    dtype = "float64"
    params = suites.params("gru", FLOAT64)

    def time_forward(self, *_):
        self.call()


class RNNSequence64(suites.Comparison):
    dtype = "float64"
    params = suites.params("rnn", FLOAT64)

    def time_forward(self, *_):
        self.call()
