"""The oracle of the tests: every cell in plain NumPy, written from its equations.

Nothing in this package is fast, and nothing in it imports the compiled kernels. One file holds one cell, its forward
pass directly above its backward pass, each for one direction of one layer and for sequences of one length:

``rnn``
    Elman's network with tanh or relu.
``lstm``
    Long short-term memory, with or without a projection of the output.
``gru``
    Gated recurrent unit, with the reset gate after or before the recurrent product.

Each of the three with its variants too: peepholes and coupled gates of the LSTM, other activations and a clip before
them, layer norm, recurrent dropout and zoneout. What they share stands in ``activations`` and ``_step``.

A cell is a module with two functions, so that all cells can be used through the same lines:

``forward(weights, x, state_0, **options) -> states, saved``
    ``states`` is a tuple with one array of shape (seq_len + 1, batch_size, size) for each array in ``state_0``; slot 0
    holds the initial state, and ``states[0][1:]`` is the output.
``backward(weights, x, states, saved, d_output, d_state_n, **options) -> d_weights, d_x, d_state_0``
    ``d_output`` and ``d_state_n`` are the derivatives of one scalar by the output and by the final state.

``stack`` puts cells together into layers, two directions and ragged batches.
"""
