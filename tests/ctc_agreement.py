"""Random cases of `ctc_loss` against torch.nn.CTCLoss. `python -m tests.ctc_agreement 500`.

Losses differ in units of the larger of 1 and the loss, gradients as they are, for those of a softmax lie in [-1, 1].
float32 is compared with torch in float32, whose own error the tolerance allows for, and in float64.
"""

import sys
from dataclasses import dataclass

import numpy as np
import torch

import fastrnn
from fastrnn.layers.ctc import ctc_loss

TOLERANCES = {"float64": 1e-10, "float32": 2e-5, "float32, torch too": 1e-3}


@dataclass(frozen=True)
class Case:
    """A batch: padding holds NaN, and labels repeat or are missing, or are too many for the steps."""

    logits: np.ndarray
    lengths: np.ndarray
    targets: list
    blank: int


def draw(seed):
    """The case of a seed."""
    rng = np.random.default_rng([9, seed])
    steps, rows = int(rng.choice([1, 2, 9, 40, 120])), int(rng.choice([1, 2, 5, 9]))
    n_classes = int(rng.choice([2, 3, 8, 17, 40]))
    dtype, scale = rng.choice(["float32", "float64"]), rng.choice([0.1, 1.0, 5.0])
    logits = (scale * rng.standard_normal((steps, rows, n_classes))).astype(dtype)
    lengths = rng.integers(1, steps + 1, rows)
    blank = int(rng.choice([0, n_classes - 1, rng.integers(n_classes)]))
    labels = np.delete(np.arange(n_classes), blank)
    most = np.where(rng.random(rows) < 0.9, lengths // 2, lengths + 1)  # one in ten: more labels than steps
    targets = [rng.choice(labels, rng.integers(0, count + 1)) for count in most]
    for n, length in enumerate(lengths):
        logits[length:, n] = np.nan
    return Case(logits, lengths, targets, blank)


def by_torch(case, reduction, dtype):
    """Losses of the rows, or their sum, and the gradient of that sum, with 0 for rows without an alignment."""
    logits = torch.tensor(np.nan_to_num(case.logits), dtype=dtype, requires_grad=True)
    flat = torch.tensor(np.concatenate([np.zeros(0, np.int64), *case.targets]))
    counts = torch.tensor([len(target) for target in case.targets])
    given = logits.log_softmax(2), flat, torch.tensor(case.lengths), counts
    loss = torch.nn.CTCLoss(case.blank, reduction)(*given)
    torch.nn.CTCLoss(case.blank, reduction, zero_infinity=True)(*given).sum().backward()
    return loss.detach().numpy(), logits.grad.numpy()


def differences(case):
    """The largest differences by name of tolerance."""
    loss, d_logits = ctc_loss(case.logits, case.targets, case.lengths, blank=case.blank)
    assert d_logits.dtype == case.logits.dtype and loss.dtype == np.float64
    name = case.logits.dtype.name
    found = {name: _difference(loss, d_logits, case, torch.float64)}
    if name == "float32":
        found["float32, torch too"] = _difference(loss, d_logits, case, torch.float32)
    return found


def _difference(loss, d_logits, case, dtype):
    expected, d_expected = by_torch(case, "none", dtype)
    total, d_total = by_torch(case, "sum", dtype)
    return max(
        _of_losses(loss, expected),
        _of_losses(np.array([loss.sum()]), np.array([total])),
        float(np.abs(d_logits - d_expected).max(initial=0.0)),
        float(np.abs(d_logits - d_total).max(initial=0.0)),
    )


def _of_losses(loss, expected):
    finite = np.isfinite(expected)
    if not np.array_equal(loss[~finite], expected[~finite]):
        return np.inf
    return float((np.abs(loss[finite] - expected[finite]) / np.maximum(1.0, expected[finite])).max(initial=0.0))


def main(count):
    """Print the largest differences of the first `count` cases; exit 1 where one is too large."""
    worst, failed = dict.fromkeys(TOLERANCES, 0.0), []
    for seed in range(count):
        for name, difference in differences(draw(seed)).items():
            worst[name] = max(worst[name], difference)
            if not difference <= TOLERANCES[name]:
                failed.append((seed, name, difference))
    print(f"fastrnn {fastrnn.__version__}, torch {torch.__version__}: {count} cases, largest differences {worst}")
    for seed, name, difference in failed:
        print(f"too large: seed {seed}, {name}: {difference:.3g}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 500))
