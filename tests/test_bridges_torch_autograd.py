"""Accelerated torch layers compute what torch's compute: results, gradients, masks, graphs, threads."""

import copy
import threading

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install fastrnn[peers]")

from bridge_agreement import TOLERANCE, draw, errors

from fastrnn.bridges import accelerate

nn = torch.nn
WARNINGS = "ignore:LSTM with projections"  # torch's own, about oneDNN


@pytest.mark.filterwarnings(WARNINGS)
@pytest.mark.parametrize("seed", range(60))
def test_a_random_configuration_agrees_with_torch(seed):
    configuration = draw(seed)
    for name, error in errors(configuration).items():
        assert error <= TOLERANCE[configuration.dtype], (name, error, configuration)


def test_the_random_configurations_reach_everything():
    drawn = [draw(seed) for seed in range(60)]
    for field in ("kind", "dtype", "layout", "with_state", "training", "loss", "needs_x"):
        assert len({getattr(configuration, field) for configuration in drawn}) > 1, field
    assert {c.layout for c in drawn} == {"batched", "strided", "unbatched", "packed", "packed unsorted"}
    for option in ("dropout", "proj_size"):
        assert any(configuration.options.get(option) for configuration in drawn), option
    assert any(configuration.frozen for configuration in drawn)


def twins(kind="GRU", **options):
    torch.manual_seed(0)
    plain = getattr(nn, kind)(3, 6, **options)
    return plain, accelerate(copy.deepcopy(plain))


def test_gradients_pass_the_numeric_check_of_torch():
    _, ours = twins("LSTM", dtype=torch.float64, bidirectional=True, proj_size=2, num_layers=2)
    shapes = (3, 2, 3), (4, 2, 2), (4, 2, 6)
    x, h, c = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)

    def results(x, h, c, *_):
        output, (h_n, c_n) = ours(x, (h, c))
        return output, h_n, c_n

    assert torch.autograd.gradcheck(results, (x, h, c, *ours.parameters()), fast_mode=True)


def test_the_same_seed_drops_what_torch_drops_and_eval_drops_nothing():
    plain, ours = twins("LSTM", num_layers=3, dropout=0.4)
    x = torch.randn(9, 5, 3)
    for training in (True, False):
        results = []
        for layer in (plain.train(training), ours.train(training)):
            torch.manual_seed(7)
            results += [layer(x)[0], torch.rand(1)]  # the generator stands where it would
        torch.testing.assert_close(results[2], results[0], rtol=0, atol=1e-6)
        assert torch.equal(results[3], results[1])
    ours.train()
    assert not torch.equal(ours(x)[0], ours(x)[0])
    with torch.no_grad():
        assert not torch.equal(ours(x)[0], ours(x)[0])  # train() drops without gradients too, as in torch


def test_a_graph_may_be_gone_through_again_with_the_same_masks():
    _, ours = twins(num_layers=2, dropout=0.5)
    x = torch.randn(9, 5, 3, requires_grad=True)
    output, h_n = ours(x)
    inputs = (x, *ours.parameters())
    once = torch.autograd.grad((output**2).sum(), inputs, retain_graph=True)
    again = torch.autograd.grad((output**2).sum(), inputs, retain_graph=True)
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    state = torch.autograd.grad((h_n**2).sum(), inputs)
    assert not torch.equal(state[0], once[0])
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        torch.autograd.grad((h_n**2).sum(), inputs)


@pytest.mark.filterwarnings("ignore:Using backward")  # of create_graph=True
def test_second_derivatives_are_refused_where_they_are_needed_and_only_there():
    _, ours = twins()
    x = torch.randn(4, 2, 3, requires_grad=True)
    (d_x,) = torch.autograd.grad((ours(x)[0] ** 2).sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match=r"^an accelerated GRU has no second derivatives; call fastrnn.acc"):
        d_x.sum().backward()
    (ours(x)[0].sum() + (x**3).sum()).backward(create_graph=True)  # nobody differentiates this again
    assert x.grad is not None


@pytest.mark.parametrize("changed", ["input", "output", "weight"])
def test_what_is_changed_in_place_before_backward_is_noticed(changed):
    _, ours = twins()
    x = torch.randn(4, 2, 3)
    output, _ = ours(x)
    with torch.no_grad():
        {"input": x, "output": output, "weight": ours.weight_hh_l0}[changed].mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_nothing_is_recorded(mode):
    plain, ours = twins("LSTM")
    x = torch.randn(4, 2, 3)
    with mode():
        output, (h_n, c_n) = ours(x)
        torch.testing.assert_close(output, plain(x)[0], rtol=0, atol=1e-6)
    assert output.grad_fn is None and not c_n.requires_grad
    assert output.is_inference() == (mode is torch.inference_mode)


def test_a_layer_made_in_inference_mode_works():
    with torch.inference_mode():
        plain, ours = twins()
        x = torch.randn(4, 2, 3)
        torch.testing.assert_close(ours(x)[0], plain(x)[0], rtol=0, atol=1e-6)


def test_frozen_layers_pass_the_gradient_on_and_get_none():
    plain, ours = twins()
    x = torch.randn(4, 2, 3)
    found = []
    for layer in (plain.requires_grad_(False), ours.requires_grad_(False)):
        assert not layer(x)[0].requires_grad
        leaf = x.clone().requires_grad_()
        (layer(leaf)[0] ** 2).sum().backward()
        found.append(leaf.grad)
        assert all(w.grad is None for w in layer.parameters())
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-6)


def test_gradients_are_added_to_what_is_there():
    _, ours = twins()
    x = torch.randn(4, 2, 3)
    ours(x)[0].sum().backward()
    once = [w.grad.clone() for w in ours.parameters()]
    ours(x)[0].sum().backward()
    for w, grad in zip(ours.parameters(), once, strict=True):
        torch.testing.assert_close(w.grad, 2 * grad)


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_layers_have_the_same_gradients(reentrant):
    _, ours = twins(num_layers=2, dropout=0.5)
    found = []
    for checkpointed in (True, False):
        x = torch.ones(6, 2, 3, requires_grad=True)
        torch.manual_seed(3)
        if checkpointed:
            output = torch.utils.checkpoint.checkpoint(lambda x: ours(x)[0], x, use_reentrant=reentrant)
        else:
            output = ours(x)[0]
        (output**2).sum().backward()
        found.append(x.grad)
    assert torch.equal(*found)


def test_empty_batches_and_sequences_have_results_and_gradients():
    _, ours = twins()
    for shape in ((0, 2, 3), (4, 0, 3)):
        x = torch.zeros(shape, requires_grad=True)
        output, h_n = ours(x)
        assert output.shape == (*shape[:2], 6) and h_n.shape == (1, shape[1], 6)
        output.sum().backward()
        assert x.grad.shape == shape


def test_threads_follow_torch(monkeypatch):
    _, ours = twins()
    seen = []
    kind = type(ours._layer(list(ours.parameters())))
    forward = kind.forward
    monkeypatch.setattr(kind, "forward", lambda *a, n_threads, **k: seen.append(n_threads) or forward(*a, **k))
    before = torch.get_num_threads()
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            ours(torch.randn(4, 2, 3))
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 2]


def in_threads(work, count):
    """Run work(i) in so many threads at once, and raise what one of them raised."""
    failures = []
    start = threading.Barrier(count)

    def run(i):
        start.wait()
        try:
            work(i)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_many_threads_train_and_predict_on_one_layer_at_once():
    _, ours = twins("LSTM", num_layers=2, bidirectional=True)
    inputs = [torch.randn(12, n, 3, generator=torch.Generator().manual_seed(n)) for n in range(1, 9)]

    def gradients(x):
        return torch.autograd.grad((ours(x)[0] ** 2).sum(), list(ours.parameters()))

    def outputs(x):
        with torch.no_grad():
            return ours(x)[0]

    expected = [(outputs(x), gradients(x)) for x in inputs]
    found = [[] for _ in inputs]
    in_threads(lambda i: found[i].extend((outputs(inputs[i]), gradients(inputs[i])) for _ in range(20)), len(inputs))
    for (output, grads), results in zip(expected, found, strict=True):
        for again, grads_again in results:
            assert torch.equal(again, output)
            assert all(torch.equal(a, b) for a, b in zip(grads_again, grads, strict=True))


def test_threads_that_read_weights_while_one_writes_them_see_whole_networks_at_the_end():
    plain, ours = twins()
    x = torch.randn(6, 2, 3)

    def work(i):
        for _ in range(50):
            with torch.no_grad():
                if i == 0:
                    ours.weight_hh_l0.data.add_(0.01)
                assert np.isfinite(ours(x)[0].numpy()).all()

    in_threads(work, 4)
    plain.load_state_dict(ours.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(ours(x)[0], plain(x)[0], rtol=0, atol=2e-6)
