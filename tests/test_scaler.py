"""SequenceScaler: statistics over the steps there are, the way back, and its place in pipelines."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastrnn.estimators import SequenceScaler


def data(rng, n=9, inputs=3):
    lengths = rng.integers(1, 8, size=n)
    return [rng.normal(5.0, [0.1, 20.0, 3.0][:inputs], size=(int(t), inputs)) for t in lengths]


@parametrize_with_checks([SequenceScaler(), SequenceScaler(with_mean=False), SequenceScaler(with_std=False)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize("options", [{}, {"with_mean": False}, {"with_std": False}])
def test_steps_are_scaled_as_standard_scaler_scales_rows(options, rng):
    X = data(rng)
    reference = StandardScaler(**options).fit(np.concatenate(X))
    scaler = SequenceScaler(**options).fit(X)
    np.testing.assert_allclose(scaler.mean_, np.concatenate(X).mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(scaler.var_, np.concatenate(X).var(axis=0), rtol=1e-12)
    for x, z, back in zip(X, scaler.transform(X), scaler.inverse_transform(scaler.transform(X)), strict=True):
        np.testing.assert_allclose(z, reference.transform(x), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(back, x, rtol=1e-13)
    assert scaler.n_steps_seen_ == sum(map(len, X))


def test_parts_agree_with_all_at_once_and_the_order_of_sequences_does_not_matter(rng):
    X = data(rng, n=40)
    whole, parts = SequenceScaler().fit(X), SequenceScaler()
    for start in range(0, 40, 7):
        parts.partial_fit(X[start : start + 7])
    turned = SequenceScaler().fit([X[i] for i in rng.permutation(40)])
    for other in (parts, turned):
        assert other.n_steps_seen_ == whole.n_steps_seen_
        np.testing.assert_allclose(other.mean_, whole.mean_, rtol=1e-13)
        np.testing.assert_allclose(other.scale_, whole.scale_, rtol=1e-13)
    np.testing.assert_array_equal(whole.fit(X[:9]).mean_, SequenceScaler().fit(X[:9]).mean_)  # fit starts anew


def test_all_forms_of_x_keep_their_form_and_a_single_sequence_its_bits(rng):
    block = rng.normal(size=(6, 5, 1))
    flat = SequenceScaler().fit(block[:, :, 0])
    cube = SequenceScaler().fit(block)
    assert flat.n_features_in_ == 5 and cube.n_features_in_ == 1
    expected = cube.transform(block)
    assert expected.shape == (6, 5, 1)
    np.testing.assert_array_equal(flat.transform(block[:, :, 0]), expected[:, :, 0])
    np.testing.assert_array_equal(flat.transform(block), expected)
    for i, z in enumerate(cube.transform(list(block))):
        np.testing.assert_array_equal(z, expected[i])
    np.testing.assert_array_equal(cube.transform(block[2:3])[0], expected[2])


def test_a_constant_feature_is_only_shifted(rng):
    X = [np.column_stack([np.full(t, 1e8 + 0.1), rng.normal(size=t)]) for t in (3, 50, 7)]
    scaler = SequenceScaler().fit(X)
    assert scaler.scale_[0] == 1.0 and np.abs(np.concatenate(scaler.transform(X))[:, 0]).max() < 1e-6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_type_follows_x_and_sums_do_not_lose_digits(dtype):
    rng = np.random.default_rng(0)
    X = [(1000.0 + rng.normal(size=(500, 1))).astype(dtype) for _ in range(20)]
    scaler = SequenceScaler().fit(X)
    assert all(z.dtype == dtype for z in scaler.transform(X)) and scaler.mean_.dtype == np.float64
    np.testing.assert_allclose(scaler.var_, np.concatenate(X).astype(np.longdouble).var(axis=0), rtol=1e-6)


def test_wrong_sequences_are_refused_and_the_scaler_goes_on_as_it_was(rng):
    X = data(rng)
    scaler = SequenceScaler().fit(X)
    before = scaler.mean_.copy()
    for use in (scaler.transform, scaler.inverse_transform, scaler.partial_fit):
        with pytest.raises(ValueError, match="X has 2 features, but SequenceScaler is expecting 3 features"):
            use([x[:, :2] for x in X])
        with pytest.raises(ValueError, match=r"X contains NaN at sample 0, step 0, feature 1"):
            use([np.array([[1.0, np.nan, 1.0]])])
    np.testing.assert_array_equal(scaler.mean_, before)
    with pytest.raises(NotFittedError):
        SequenceScaler().transform(X)


def test_clone_and_pickle_keep_what_they_should(rng):
    X = data(rng)
    scaler = SequenceScaler(with_mean=False).fit(X)
    twin = pickle.loads(pickle.dumps(scaler))
    for a, b in zip(twin.transform(X), scaler.transform(X), strict=True):
        np.testing.assert_array_equal(a, b)
    assert clone(scaler).get_params() == scaler.get_params() and not hasattr(clone(scaler), "mean_")


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_keep_their_names_and_lists_stay_lists_under_set_output(library, rng):
    frames = pytest.importorskip(library)
    X = data(rng)
    named = [frames.DataFrame({name: x[:, k] for k, name in enumerate("abc")}) for x in X]
    scaler = SequenceScaler().set_output(transform=library).fit(named)
    assert scaler.get_feature_names_out().tolist() == ["a", "b", "c"]
    for fitted in (scaler.transform(named), scaler.fit_transform(named)):
        np.testing.assert_array_equal(fitted[0], SequenceScaler().fit(X).transform(X)[0])
    other = [frames.DataFrame({name: x[:, k] for k, name in enumerate("abz")}) for x in X]
    with pytest.raises(ValueError, match="feature names should match"):
        scaler.transform(other)
    table = SequenceScaler().set_output(transform=library).fit_transform(rng.normal(size=(4, 3)))
    assert isinstance(table, frames.DataFrame) and list(table.columns) == ["x0", "x1", "x2"]
