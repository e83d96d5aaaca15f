"""How far does an LSTM of three units count, trained as we would? ``python -m benchmarks.learning.anbncn_own``.

Strings, units, epochs and loss are those of `anbncn`; solver, schedule, batches and first weights are our own choice.
Three choices before this one, made on other seeds too, had medians of 225, 220 and 212 on the seeds that are reported.
"""

from __future__ import annotations

from .anbncn import Recipe, tell

# A forget bias of 30 makes the gates forget nothing in float32: the LSTM of 1997, whose cells can count exactly. Larger
# weights of the input begin nearer to gates that are open or closed, and with so small an epsilon Adam goes on moving
# them when the error is 1e-15. Chosen on seeds 4000 to 4019.
RECIPE = Recipe(
    "Adam",
    {"learning_rate": 0.03, "beta_2": 0.99, "epsilon": 1e-14},
    batch_size=2,
    schedule="Cosine",
    init="orthogonal",
    forget_bias=30.0,
    input_gain=3.0,
    shuffle=True,
)


def main(argv=None):
    """Our own choice."""
    tell("anbncn_own", "our own solver, schedule, batches and first weights", RECIPE, 250, argv)


if __name__ == "__main__":
    main()
