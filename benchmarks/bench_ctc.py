"""Loss and gradient of CTC, in fastrnn and in torch. `python -m benchmarks.bench_ctc` prints a table."""

from __future__ import annotations

import sys

import numpy as np

from . import protocol
from .suites import THREADS

STEPS, ROWS, CLASSES, LABELS = 200, 32, 40, 30


def fastrnn_call(logits, targets, n_threads):
    """A function without arguments that returns losses and the gradient."""
    from fastrnn.layers.ctc import ctc_loss

    return lambda: ctc_loss(logits, targets, n_threads=n_threads)


def torch_call(logits, targets, n_threads):
    """The same by torch.nn.CTCLoss behind log_softmax, forward and backward."""
    import torch

    torch.set_num_threads(n_threads)
    logits, targets = torch.tensor(logits, requires_grad=True), torch.tensor(targets)
    lengths, target_lengths = torch.full((ROWS,), STEPS), torch.full((ROWS,), LABELS)
    criterion = torch.nn.CTCLoss(reduction="none")

    def call():
        logits.grad = None
        loss = criterion(logits.log_softmax(2), targets, lengths, target_lengths)
        loss.sum().backward()
        return loss.detach().numpy(), logits.grad.numpy()

    return call


CALLS = {"fastrnn": fastrnn_call, "torch": torch_call}


def data(dtype="float32"):
    """Random logits (STEPS, ROWS, CLASSES) and targets (ROWS, LABELS)."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((STEPS, ROWS, CLASSES)).astype(dtype), rng.integers(1, CLASSES, (ROWS, LABELS))


class CTCLoss:
    """A suite of asv; without torch its rows are skipped."""

    params = [list(CALLS), THREADS]
    param_names = ["peer", "threads"]
    repeat = (5, 20, 2.0)

    def setup(self, peer, n_threads):
        try:
            self.call = CALLS[peer](*data(), n_threads)
        except ImportError as error:
            raise NotImplementedError(str(error)) from None

    def time_loss_and_gradient(self, *_):
        self.call()


def main(dtypes):
    """Print milliseconds, and the share of torch's that fastrnn takes."""
    print(f"| T={STEPS} N={ROWS} K={CLASSES} U={LABELS} | threads | fastrnn, ms | torch, ms | fastrnn / torch |")
    print("| --- | --- | --- | --- | --- |")
    for dtype in dtypes:
        for n_threads in THREADS:
            calls = {name: make(*data(dtype), n_threads) for name, make in CALLS.items()}
            measured = protocol.measure(calls, n_threads=n_threads, dtype=dtype)
            own, torch = (1e3 * measured.seconds[name] for name in CALLS)
            noisy = "" if measured.steady and measured.quiet else ", on a busy machine"
            print(f"| {dtype}{noisy} | {n_threads} | {own:.2f} | {torch:.2f} | {own / torch:.3f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or ["float32", "float64"])
