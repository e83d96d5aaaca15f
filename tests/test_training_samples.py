"""Weights a step, and pairs of source and decoder inputs, in the training loop."""

import numpy as np
import pytest

import fastrnn
from fastrnn.layers import CTC, Dense, Sequential, ctc_targets
from fastrnn.losses import softmax_cross_entropy, squared_error
from fastrnn.optim import SGD
from fastrnn.training import Paired, train
from fastrnn.training.samples import Samples

RNG = np.random.default_rng(0)
X = [RNG.standard_normal((length, 3)) for length in (4, 2, 5)]
Y = [RNG.standard_normal((len(x), 2)) for x in X]
WEIGHTS = [np.array([1.0, 0.0, 2.0, 0.5]), np.array([0.0, 3.0]), np.array([1.0, 1.0, 0.0, 0.0, 4.0])]


def network():
    layers = [fastrnn.GRU(3, 4, dtype="float64", random_state=0), Dense(4, 2, dtype="float64", random_state=1)]
    return Sequential(*layers)


def trained(weights, x=X, y=Y, **options):
    net = network()
    settings = {"loss": squared_error, "optimizer": SGD(0.1), "batch_size": 3, "shuffle": False, "max_iter": 2}
    history = train(net, x, y, sample_weight=weights, **{**settings, **options})
    return net, history


def test_loss_is_the_mean_over_steps_by_their_own_weights():
    net = network()
    total, weight = 0.0, 0.0
    for x, y, w in zip(X, Y, WEIGHTS):
        output, _ = net(x[:, None])
        total += float(w @ (0.5 * ((output[:, 0] - y) ** 2).mean(axis=1)))
        weight += w.sum()
    _, history = trained(WEIGHTS, max_iter=1)
    assert history.loss_curve[0] == pytest.approx(total / weight, rel=1e-12)


def test_equal_weights_of_steps_are_a_weight_of_the_sequence():
    of_sequences = np.array([1.0, 0.5, 2.0])
    of_steps = [np.full(len(x), w) for x, w in zip(X, of_sequences)]
    one, other = trained(of_sequences)[0], trained(of_steps)[0]
    for name, values in one.params.items():
        np.testing.assert_allclose(values, other.params[name], rtol=1e-12)


def test_steps_of_weight_0_teach_nothing():
    changed = [y.copy() for y in Y]
    for y, w in zip(changed, WEIGHTS):
        y[w == 0] = 1e3
    one, other = trained(WEIGHTS)[0], trained(WEIGHTS, y=changed)[0]
    for name, values in one.params.items():
        assert np.array_equal(values, other.params[name])


def test_weights_of_steps_are_cut_into_windows():
    samples = Samples(network(), X, Y, WEIGHTS)
    indices = np.arange(3)
    parts = [samples.total_weight(indices, start, start + 2) for start in (0, 2, 4)]
    assert parts == [1.0 + 3.0 + 2.0, 2.5, 4.0]
    one = trained(WEIGHTS, bptt_window=5, accumulate_steps=3)[0]  # one window holds all
    other = trained(WEIGHTS)[0]
    for name, values in one.params.items():
        np.testing.assert_allclose(values, other.params[name], rtol=1e-12)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (WEIGHTS[:2], "sample_weight has 2 rows, expected n_samples = 3"),
        ([np.ones(4), np.ones(3), np.ones(5)], r"sample_weight\[1\] has shape \(3,\), expected \(seq_len,\) = \(2,\)"),
        ([np.ones(4), np.ones(2), -np.ones(5)], r"sample_weight\[2\] holds a negative number"),
        ([np.zeros(4), np.zeros(2), np.zeros(5)], "sample_weight is 0 everywhere"),
    ],
)
def test_wrong_weights_of_steps_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        trained(weights)


def test_fingerprints_differ_where_a_weight_of_a_step_does():
    other = [w.copy() for w in WEIGHTS]
    other[0][0] += 1
    prints = [Samples(network(), X, Y, w).fingerprint for w in (WEIGHTS, other, None)]
    assert prints[0] != prints[1] != prints[2]


def test_pairs_need_as_many_inputs_as_sources():
    with pytest.raises(ValueError, match="inputs has 1 rows, expected those of sources, 2"):
        Paired(X[:2], [np.array([0])])


def test_pairs_of_vectors_are_not_put_on_a_time_axis():
    pairs = Paired(np.eye(3), [np.array([0]), np.array([0, 1]), np.array([0])])
    x, lengths = pairs.batch(np.array([2, 1]), np.float32)
    assert x.source.tolist() == [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]] and x.source.dtype == np.float32
    assert x.source_lengths is None and lengths.tolist() == [1, 2] and x.inputs.tolist() == [[0, 0], [0, 1]]


def test_windows_are_refused_where_sequences_cannot_be_cut():
    options = {"optimizer": SGD(0.1), "rng": np.random.default_rng(0), "bptt_window": 2}
    with pytest.raises(ValueError, match="bptt_window is set, but sequences are Paired"):
        train(network(), Paired(X, [np.array([0])] * 3), Y, loss=softmax_cross_entropy, **options)
    with pytest.raises(ValueError, match="bptt_window is set, but loss is CTC"):
        train(network(), X, ctc_targets([[1]] * 3, [4, 2, 5]), loss=CTC(), **options)
