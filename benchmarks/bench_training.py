"""Forward and backward on whole sequences: d_x and the gradients of all parameters."""

from . import suites


class LSTMTraining(suites.Comparison):
    method = "train"
    params = suites.params("lstm")

    def time_forward_backward(self, *_):
        self.call()


class GRUTraining(suites.Comparison):
    method = "train"
    params = suites.params("gru")

    def time_forward_backward(self, *_):
        self.call()


class RNNTraining(suites.Comparison):
    method = "train"
    params = suites.params("rnn")

    def time_forward_backward(self, *_):
        self.call()


class LSTMTraining64(suites.Comparison):
    method, dtype = "train", "float64"
    params = suites.params("lstm")

    def time_forward_backward(self, *_):
        self.call()
