"""How far does an LSTM of three units count, trained as we would? ``python -m benchmarks.learning.anbncn_own``.

Strings, units, epochs and loss are those of `anbncn`; solver, schedule, batches and first weights are our own choice.
"""

from __future__ import annotations

from .anbncn import Recipe, tell

# A forget bias of 30 makes the gates forget nothing in float32: the LSTM of 1997, whose cells can count exactly.
RECIPE = Recipe(
    "Adam",
    {"learning_rate": 0.02, "beta_2": 0.99},
    batch_size=10,
    schedule="Cosine",
    init="orthogonal",
    forget_bias=30.0,
    shuffle=True,
)


def main(argv=None):
    """Our own choice."""
    tell("anbncn_own", "our own solver, schedule, batches and first weights", RECIPE, 250, argv)


if __name__ == "__main__":
    main()
