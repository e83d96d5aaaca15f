"""What is measured: the comparison table, a short choice of it, and the shapes of well-known networks."""

from __future__ import annotations

from dataclasses import dataclass

GATES = {"lstm": 4, "gru": 3, "rnn": 1}


@dataclass(frozen=True)
class Shape:
    """One recurrent network and the size of its input."""

    cell: str
    batch_size: int  # N
    seq_len: int  # T
    input_size: int  # I
    hidden_size: int  # H
    num_layers: int = 1
    bidirectional: bool = False
    origin: str = ""  # the network it comes from

    @property
    def gates(self):
        """G, matrices per cell."""
        return GATES[self.cell]

    @property
    def directions(self):
        return 2 if self.bidirectional else 1

    @property
    def label(self):
        """Text for tables: ``lstm 1 100 64 64``, with ``x2`` for layers and ``bi`` for both directions."""
        text = f"{self.cell} {self.batch_size} {self.seq_len} {self.input_size} {self.hidden_size}"
        text += f" x{self.num_layers}" if self.num_layers > 1 else ""
        return text + (" bi" if self.bidirectional else "")

    def layer_inputs(self):
        """Return the input size of each layer."""
        return [self.input_size] + [self.directions * self.hidden_size] * (self.num_layers - 1)

    def input_flops(self):
        """Floating-point operations of the products with W_ih in one forward call."""
        rows = self.seq_len * self.batch_size * self.directions
        return sum(2.0 * self.gates * self.hidden_size * size * rows for size in self.layer_inputs())

    def recurrent_flops(self):
        """Floating-point operations of the products with W_hh in one forward call."""
        rows = self.seq_len * self.batch_size * self.directions * self.num_layers
        return 2.0 * self.gates * self.hidden_size**2 * rows

    def flops(self):
        """All matrix products of one forward call; forward and backward together cost three times this."""
        return self.input_flops() + self.recurrent_flops()


TABLE = [
    Shape("lstm", 1, 1, 64, 64),
    Shape("lstm", 1, 100, 64, 64),
    Shape("lstm", 1, 100, 128, 128),
    Shape("lstm", 1, 100, 256, 256),
    Shape("lstm", 1, 100, 512, 512),
    Shape("lstm", 1, 50, 1024, 1024),
    Shape("lstm", 8, 100, 128, 128),
    Shape("lstm", 32, 100, 128, 128),
    Shape("lstm", 64, 50, 256, 256),
    Shape("lstm", 64, 50, 512, 512),
    Shape("lstm", 128, 50, 1024, 1024),
    Shape("lstm", 32, 100, 128, 128, num_layers=2, bidirectional=True),
    Shape("gru", 1, 100, 64, 64),
    Shape("gru", 1, 100, 256, 256),
    Shape("gru", 1, 50, 1024, 1024),
    Shape("gru", 32, 100, 128, 128),
    Shape("gru", 64, 50, 512, 512),
    Shape("rnn", 1, 100, 256, 256),
    Shape("rnn", 32, 100, 128, 128),
]

SHORT = [TABLE[k] for k in (1, 3, 6, 7, 8, 13, 15, 17, 18)]

NETWORKS = [
    Shape("lstm", 1, 1, 1, 16, origin="guitar amplifier"),
    Shape("lstm", 1, 1, 1, 40, origin="guitar amplifier"),
    Shape("gru", 1, 1, 1, 8, origin="RTNeural"),
    Shape("lstm", 1, 1, 1, 64, origin="RTNeural"),
    Shape("lstm", 1, 1, 128, 128, origin="Silero VAD"),
    Shape("gru", 1, 1, 384, 384, num_layers=3, origin="rnnoise"),
    Shape("lstm", 1, 1, 257, 128, num_layers=2, origin="DTLN"),
    Shape("gru", 1, 1, 256, 256, origin="DeepFilterNet"),
    Shape("lstm", 1, 50, 1536, 1536, origin="DeepBench"),
    Shape("lstm", 4, 150, 256, 256, origin="DeepBench"),
    Shape("lstm", 2, 25, 1024, 1024, origin="DeepBench"),
    Shape("lstm", 4, 25, 2048, 2048, origin="DeepBench"),
    Shape("gru", 2, 187, 1024, 1024, origin="DeepBench"),
    Shape("lstm", 32, 25, 512, 512, origin="DeepBench, training"),
    Shape("lstm", 1, 100, 240, 1024, num_layers=5, origin="MLPerf RNN-T"),
    Shape("lstm", 1, 50, 1024, 1024, bidirectional=True, origin="GNMT"),
    Shape("lstm", 60, 400, 100, 100, bidirectional=True, origin="BiDAF"),
    Shape("lstm", 80, 70, 400, 1150, origin="AWD-LSTM"),
    Shape("lstm", 50, 50, 65, 128, num_layers=2, origin="char-rnn"),
    Shape("gru", 32, 1, 100, 100, origin="GRU4Rec"),
    Shape("gru", 240, 1, 100, 100, origin="GRU4Rec"),
    Shape("lstm", 100, 200, 100, 200, origin="knowledge tracing"),
    Shape("lstm", 32, 24, 20, 40, num_layers=2, origin="DeepAR"),
    Shape("lstm", 32, 200, 20, 40, num_layers=2, origin="DeepAR"),
]

# One sequence each of 1 to T steps, drawn uniformly.
RAGGED = [
    Shape("lstm", 32, 200, 128, 128),
    Shape("gru", 32, 200, 128, 128),
    Shape("rnn", 32, 200, 128, 128),
    Shape("lstm", 100, 400, 100, 200, origin="knowledge tracing"),
]

# Steps of a stream; seq_len is that of the call whose time per step is the arithmetic.
STREAM = [
    Shape("lstm", 1, 1000, 64, 64),
    Shape("lstm", 1, 1000, 1, 16, origin="guitar amplifier"),
    Shape("lstm", 1, 1000, 1, 40, origin="guitar amplifier"),
    Shape("lstm", 1, 1000, 128, 128, origin="Silero VAD"),
    Shape("gru", 1, 1000, 1, 8, origin="RTNeural"),
    Shape("gru", 1, 1000, 64, 64),
    Shape("gru", 1, 1000, 256, 256, origin="DeepFilterNet"),
    Shape("gru", 1, 1000, 384, 384, num_layers=3, origin="rnnoise"),
    Shape("lstm", 1, 1000, 257, 128, num_layers=2, origin="DTLN"),
    Shape("rnn", 1, 1000, 64, 64),
]

BY_LABEL = {shape.label: shape for shape in [*TABLE, *NETWORKS, *RAGGED, *STREAM]}
