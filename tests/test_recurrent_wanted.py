"""What nobody wants of a backward is not made, and the rest is the same bits."""

import numpy as np
import pytest
from cases import CELLS, Case, as_arrays, build, data


def backward(case, every, **keywords):
    """Return (d_x, d_state_0, grads) of a fresh layer."""
    layer, given = build(case), data(case)
    _, back = layer.forward(given.x, given.state_0, given.lengths, training=False, checkpoint_every=every)
    d_x, d_state_0 = back(given.d_output, given.d_state_n, **keywords)
    return d_x, as_arrays(d_state_0), layer.grads


@pytest.mark.parametrize("every", [None, 2], ids=["whole", "segments"])
@pytest.mark.parametrize("cell", CELLS)
def test_backward_leaves_out_what_nobody_wants(cell, every):
    case = Case(cell, num_layers=2, bidirectional=True)
    d_x, d_state_0, grads = backward(case, every)
    no_x, states, same_grads = backward(case, every, wants_x=False)
    assert no_x is None
    assert all(np.array_equal(a, b) for a, b in zip(states, d_state_0, strict=True))
    assert all(np.array_equal(same_grads[name], grad) for name, grad in grads.items())
    same_d_x, states, no_grads = backward(case, every, wants_parameters=False)
    assert np.array_equal(same_d_x, d_x)
    assert all(np.array_equal(a, b) for a, b in zip(states, d_state_0, strict=True))
    assert not any(grad.any() for grad in no_grads.values())
