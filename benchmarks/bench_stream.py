"""One time step after another, the state kept."""

from . import peers, shapes, suites


class Stream(suites.Comparison):
    method = "step"
    params = [[shape.label for shape in shapes.STREAM], list(peers.PEERS), [1]]

    def time_step(self, *_):
        self.call()


class SingleStep(suites.Comparison):
    """A whole call of one step: what a call costs beside its arithmetic."""

    params = [["lstm 1 1 64 64", "lstm 1 1 1 16", "gru 1 1 256 256"], list(peers.PEERS), [1]]

    def time_forward(self, *_):
        self.call()
