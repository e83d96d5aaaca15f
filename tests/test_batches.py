"""Ragged sequences in batches: who is in which, and what a padded batch holds."""

import numpy as np
import pytest

from fastrnn.training import batch_indices, pad_batch, sequence_lengths


@pytest.mark.parametrize("batch_size", [1, 4, 7, 50, 64])
@pytest.mark.parametrize("shuffled", [False, True])
def test_every_sample_is_in_exactly_one_batch(batch_size, shuffled, rng):
    lengths = rng.integers(1, 20, size=50)
    batches = batch_indices(lengths, batch_size, rng if shuffled else None)
    assert sorted(np.concatenate(batches).tolist()) == list(range(50))
    sizes = sorted(len(b) for b in batches)
    assert sizes[1:] == [batch_size] * (len(batches) - 1) and 0 < sizes[0] <= batch_size


def test_batches_repeat_for_one_seed_and_differ_between_epochs_and_seeds(rng):
    lengths = rng.integers(1, 20, size=50)
    one, two, other = (np.random.default_rng(seed) for seed in (3, 3, 4))
    first, again, elsewhere = (batch_indices(lengths, 8, generator) for generator in (one, two, other))
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    for different in (batch_indices(lengths, 8, one), elsewhere):
        assert not np.array_equal(np.concatenate(first), np.concatenate(different))


def test_without_a_generator_batches_keep_the_order():
    assert [b.tolist() for b in batch_indices(np.array([5, 1, 3, 2, 4]), 2)] == [[0, 1], [2, 3], [4]]


def test_no_samples_make_no_batches(rng):
    assert batch_indices(np.zeros(0, int), 4) == [] and batch_indices(np.zeros(0, int), 4, rng) == []


def test_grouping_by_length_saves_padding(rng):
    lengths = rng.integers(1, 100, size=400)

    def padding(batches):
        return sum(int((lengths[b].max() - lengths[b]).sum()) for b in batches)

    at_random = np.split(rng.permutation(400), 25)
    assert padding(batch_indices(lengths, 16, rng)) < 0.8 * padding(at_random)


def test_neither_short_nor_long_sequences_always_come_first(rng):
    lengths = np.arange(1, 17)
    firsts = [lengths[batch_indices(lengths, 8, rng)[0]].mean() for _ in range(20)]
    assert min(firsts) < 8.5 < max(firsts)


def test_a_padded_batch_holds_each_sequence_and_zeros_past_its_end(rng):
    sequences = [rng.normal(size=(n, 3)) for n in (4, 1, 6, 2)]
    x, lengths = pad_batch(sequences, np.array([3, 0]), "float32")
    assert x.shape == (4, 2, 3) and x.dtype == np.float32 and x.flags.c_contiguous and lengths.tolist() == [2, 4]
    assert np.array_equal(x[:2, 0], sequences[3].astype("float32")) and not x[2:, 0].any()
    assert np.array_equal(x[:, 1], sequences[0].astype("float32"))
    assert sequence_lengths(sequences).tolist() == [4, 1, 6, 2]


def test_a_batch_of_equal_lengths_needs_no_lengths(rng):
    array = rng.normal(size=(5, 7, 2))
    for sequences in (array, list(array)):
        assert sequence_lengths(sequences).tolist() == [7] * 5
        x, lengths = pad_batch(sequences, np.array([4, 1]), "float64")
        assert lengths is None and x.flags.c_contiguous
        assert np.array_equal(x, array[[4, 1]].transpose(1, 0, 2))
