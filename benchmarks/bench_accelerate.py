"""A training step of a torch model before and after `fastrnn.accelerate`: `python -m benchmarks.bench_accelerate`.

A recurrent layer, a linear one, mean squared error, Adam. Both models start from the same weights and see the same
data.
"""

from __future__ import annotations

import argparse
import copy

from . import protocol

CELLS = ("GRU", "LSTM", "RNN")
WAYS = ("torch", "accelerated")


class Trainer:
    """A model with its data and optimiser; `step` makes one update and returns the loss."""

    def __init__(self, model, x, target):
        import torch

        self.model, self.x, self.target = model, x, target
        self.optimiser = torch.optim.Adam(model.parameters())

    def step(self):
        self.optimiser.zero_grad()
        loss = ((self.model(self.x) - self.target) ** 2).mean()
        loss.backward()
        self.optimiser.step()
        return loss


def trainers(cell, batch_size, seq_len, input_size, hidden_size, output_size=10):
    """Return {way: Trainer} of twins."""
    import torch

    from fastrnn.bridges import accelerate

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = getattr(torch.nn, cell)(input_size, hidden_size, batch_first=True)
            self.head = torch.nn.Linear(hidden_size, output_size)

        def forward(self, x):
            return self.head(self.rnn(x)[0])

    torch.manual_seed(0)
    x, target = torch.randn(batch_size, seq_len, input_size), torch.randn(batch_size, seq_len, output_size)
    plain = Model()
    models = {"torch": plain, "accelerated": accelerate(copy.deepcopy(plain))}
    return {way: Trainer(models[way], x, target) for way in WAYS}


class TrainingStep:
    """A step of N=32, T=100, H=128."""

    params = [list(CELLS), list(WAYS), [1, 2]]
    param_names = ["cell", "way", "threads"]
    repeat = (5, 20, 2.0)

    def setup(self, cell, way, n_threads):
        try:
            import torch
        except ImportError as error:
            raise NotImplementedError("torch is not installed") from error
        torch.set_num_threads(n_threads)
        self.step = trainers(cell, 32, 100, 64, 128)[way].step
        self.step()

    def time_step(self, *_):
        self.step()


def loss_difference(made, steps=20):
    """Train the twins for some steps; return the largest difference of their losses, as a fraction of the loss."""
    losses = {way: [trainer.step().item() for _ in range(steps)] for way, trainer in made.items()}
    return max(abs(a - b) / abs(a) for a, b in zip(losses["torch"], losses["accelerated"]))


def main(arguments=None):
    import torch

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--inputs", type=int, nargs="+", default=[64], help="features of a step")
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=CELLS)
    parser.add_argument("--blocks", type=int, default=protocol.BLOCKS)
    given = parser.parse_args(arguments)
    print("N=32 T=100 H=128, milliseconds a step: forward, backward, Adam; the best of interleaved blocks\n")
    print("| cell | inputs | threads | torch | accelerated | times | losses differ by | other load |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for n_threads in given.threads:
        torch.set_num_threads(n_threads)
        for input_size in given.inputs:
            for cell in given.cells:
                made = trainers(cell, 32, 100, input_size, 128)
                difference = loss_difference(made)
                calls = {way: trainer.step for way, trainer in made.items()}
                taken = protocol.measure(calls, n_threads=n_threads, n_blocks=given.blocks)
                theirs, ours = (1e3 * taken.seconds[way] for way in WAYS)
                print(
                    f"| {cell} | {input_size} | {n_threads} | {theirs:.2f} | {ours:.2f} | {theirs / ours:.2f} "
                    f"| {difference:.1e} | {taken.others:.1f} CPUs |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
