"""One adapter a package: the same network on the same numbers, as calls without arguments."""

from __future__ import annotations

import importlib.util
import io
from dataclasses import replace

import numpy as np


class Problem:
    """Weights, input and output gradient of one shape, the same for every peer.

    Parameters
    ----------
    shape : Shape
    dtype : {"float32", "float64"}
    seed : int

    Attributes
    ----------
    params : dict of str to ndarray
        Uniform in ±1/sqrt(hidden_size), named and shaped as torch.nn's state dict.
    x : ndarray of shape (seq_len, batch_size, input_size)
    d_output : ndarray of shape (seq_len, batch_size, directions * hidden_size)
    lengths : ndarray of shape (batch_size,)
        Uniform in 1..seq_len.
    """

    def __init__(self, shape, dtype="float32", seed=0):
        rng = np.random.default_rng(seed)
        self.shape, self.dtype = shape, dtype
        T, N, H, D = shape.seq_len, shape.batch_size, shape.hidden_size, shape.directions
        bound, rows = H**-0.5, shape.gates * H
        self.params = {}
        for k, size in enumerate(shape.layer_inputs()):
            for suffix in [f"_l{k}", f"_l{k}_reverse"][:D]:
                sizes = {"weight_ih": (rows, size), "weight_hh": (rows, H), "bias_ih": (rows,), "bias_hh": (rows,)}
                for name, array_shape in sizes.items():
                    self.params[name + suffix] = rng.uniform(-bound, bound, array_shape).astype(dtype)
        self.x = rng.standard_normal((T, N, shape.input_size)).astype(dtype)
        self.d_output = rng.standard_normal((T, N, D * H)).astype(dtype)
        self.lengths = rng.integers(1, T + 1, N)


class Peer:
    """Base of the adapters.

    Every method is one call as a user would make it, with nothing left over between calls; what it returns is the
    package's own, and `output` and `gradients` make plain arrays of it for the tests. A method that a package lacks
    raises NotImplementedError with the reason.
    """

    name = ""
    modules = ()

    def __init__(self, problem, n_threads=1):
        self.problem, self.shape, self.n_threads = problem, problem.shape, n_threads
        self.prepare()

    @classmethod
    def absence(cls):
        """Return why this peer cannot run here, or None."""
        missing = [module for module in cls.modules if importlib.util.find_spec(module) is None]
        return f"{' and '.join(missing)} not installed" if missing else None

    def prepare(self):
        """Build the network."""

    def take_threads(self):
        """Set the number of threads where the package has one setting for the whole process."""

    def forward(self):
        """Inference on equal lengths."""
        raise NotImplementedError(f"{self.name}: no inference")

    def train(self):
        """Forward and backward: d_x and the gradients of all parameters."""
        raise NotImplementedError(f"{self.name} has no gradients")

    def ragged_forward(self):
        """Inference on rows of different lengths."""
        raise NotImplementedError(f"{self.name} takes no lengths")

    def ragged(self):
        """Forward and backward on rows of different lengths."""
        raise NotImplementedError(f"{self.name} takes no lengths in training")

    def step(self):
        """One step of a stream; the state is kept from call to call."""
        raise NotImplementedError(f"{self.name}: no streaming")

    def output(self, result):
        """Return what a forward call gave as an ndarray (seq_len, batch_size, directions * hidden_size)."""
        raise NotImplementedError

    def gradients(self):
        """Return the last gradients by the names of the parameters, and that of the input as "x"."""
        raise NotImplementedError


class FastRNN(Peer):
    """This package."""

    name = "fastrnn"
    modules = ("fastrnn",)

    def prepare(self):
        import fastrnn

        shape, problem = self.shape, self.problem
        make = {"lstm": fastrnn.LSTM, "gru": fastrnn.GRU, "rnn": fastrnn.RNN}[shape.cell]
        self.layer = make(
            shape.input_size,
            shape.hidden_size,
            shape.num_layers,
            bidirectional=shape.bidirectional,
            dtype=problem.dtype,
        )
        self.layer.load_state_dict(problem.params)
        if not shape.bidirectional:
            self._stepper = self.layer.stepper(shape.batch_size)
            self._x_t = problem.x[0].copy()
            self._y_t = np.empty((shape.batch_size, shape.hidden_size), problem.dtype)

    def forward(self):
        return self.layer(self.problem.x, n_threads=self.n_threads)

    def train(self, lengths=None):
        self.layer.zero_grad()
        result, backward = self.layer.forward(self.problem.x, lengths=lengths, n_threads=self.n_threads)
        self.d_x = backward(self.problem.d_output)[0]
        return result

    def ragged_forward(self):
        return self.layer(self.problem.x, lengths=self.problem.lengths, n_threads=self.n_threads)

    def ragged(self):
        return self.train(self.problem.lengths)

    def step(self):
        if self.shape.bidirectional:
            raise NotImplementedError("a second direction needs the whole sequence")
        return self._stepper.step(self._x_t, out=self._y_t)

    def output(self, result):
        return result[0]

    def gradients(self):
        return {**self.layer.grads, "x": self.d_x}


class Torch(Peer):
    """torch.nn's layers; rows of different lengths as PackedSequence."""

    name = "torch"
    modules = ("torch",)

    def prepare(self):
        import torch

        self.torch, shape, problem = torch, self.shape, self.problem
        make = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[shape.cell]
        self.layer = make(
            shape.input_size,
            shape.hidden_size,
            shape.num_layers,
            bidirectional=shape.bidirectional,
            dtype=getattr(torch, problem.dtype),
        )
        self.layer.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in problem.params.items()})
        self.x, self.d_output = torch.from_numpy(problem.x.copy()), torch.from_numpy(problem.d_output.copy())
        self.x_train = self.x.clone().requires_grad_()
        self.lengths, self.state = torch.from_numpy(problem.lengths), None
        self.x_t = self.x[:1].clone()

    def take_threads(self):
        if self.torch.get_num_threads() != self.n_threads:
            self.torch.set_num_threads(self.n_threads)

    def forward(self):
        with self.torch.inference_mode():
            return self.layer(self.x)

    def _packed(self, x):
        rnn = self.torch.nn.utils.rnn
        result, state = self.layer(rnn.pack_padded_sequence(x, self.lengths, enforce_sorted=False))
        return rnn.pad_packed_sequence(result, total_length=self.shape.seq_len)[0], state

    def _backward(self, network):
        self.layer.zero_grad(set_to_none=True)
        self.x_train.grad = None
        result = network(self.x_train)
        result[0].backward(self.d_output)
        return result

    def train(self):
        return self._backward(self.layer)

    def ragged_forward(self):
        with self.torch.inference_mode():
            return self._packed(self.x)

    def ragged(self):
        return self._backward(self._packed)

    def step(self):
        with self.torch.inference_mode():
            result = self.layer(self.x_t, self.state)
        self.state = result[1]
        return result

    def output(self, result):
        return result[0].detach().numpy()

    def gradients(self):
        grads = {name: parameter.grad.numpy() for name, parameter in self.layer.named_parameters()}
        return {**grads, "x": self.x_train.grad.numpy()}


class _OnnxPeer(Peer):
    """What runs ONNX models: inference in float32, with input and state bound to buffers once."""

    def prepare(self):
        if self.problem.dtype != "float32":
            raise NotImplementedError(f"{self.name} computes recurrent layers in float32 only")
        self._made = {}

    def _once(self, make, key):
        """Return what `make` gives, made when first asked for."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def forward(self):
        return self._once(self._make, "forward")()

    def step(self):
        runs = self._once(self._make_steps, "step")
        runs.reverse()
        return runs[0]()

    def _one_step(self):
        """Return the model of one step, its input, and two sets of states that take turns as input and output.

        A set is ({name of the input: array}, {name of the output: the same array}).
        """
        from .onnx_models import build

        shape = self.shape
        model = build(replace(shape, seq_len=1), self.problem.params, states=True)
        sets, size = [], (shape.directions, shape.batch_size, shape.hidden_size)
        for _ in range(2):
            names = [(kind, k) for k in range(shape.num_layers) for kind in ("h", "c")[: 1 + (shape.cell == "lstm")]]
            arrays = [np.zeros(size, np.float32) for _ in names]
            sets.append([{f"{kind}{end}_l{k}": a for (kind, k), a in zip(names, arrays)} for end in ("_0", "")])
        return model, self.problem.x[:1].copy(), sets


class OnnxRuntime(_OnnxPeer):
    """ONNX Runtime's CPU provider, all outputs asked for."""

    name = "onnxruntime"
    modules = ("onnx", "onnxruntime")

    def _session(self, model):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.n_threads, 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    @staticmethod
    def _bound(session, inputs, outputs):
        """Return a call that reads the arrays `inputs` and fills `outputs`, or new arrays where it has none."""
        from onnxruntime import OrtValue

        binding = session.io_binding()
        for name, array in inputs.items():
            binding.bind_cpu_input(name, array)
        for output in session.get_outputs():
            if output.name in outputs:
                binding.bind_ortvalue_output(output.name, OrtValue.ortvalue_from_numpy(outputs[output.name]))
            else:
                binding.bind_output(output.name)

        def call(_alive=(inputs, outputs)):  # the binding holds addresses only
            session.run_with_iobinding(binding)
            return binding

        return call

    def _make(self, lengths=False):
        from .onnx_models import build

        session = self._session(build(self.shape, self.problem.params, lengths=lengths))
        inputs = {"lengths": self.problem.lengths.astype(np.int32)} if lengths else {}
        return self._bound(session, {"x": self.problem.x, **inputs}, {})

    def ragged_forward(self):
        return self._once(lambda: self._make(lengths=True), "ragged")()

    def _make_steps(self):
        model, x, ((in_0, out_0), (in_1, out_1)) = self._one_step()
        session = self._session(model)
        return [self._bound(session, {"x": x, **in_0}, out_1), self._bound(session, {"x": x, **in_1}, out_0)]

    def output(self, result):
        return _time_batch_features(result.copy_outputs_to_cpu()[0])


class OpenVINO(_OnnxPeer):
    """OpenVINO's CPU plugin, held to float32 arithmetic."""

    name = "openvino"
    modules = ("onnx", "openvino")

    def _compile(self, model):
        import openvino

        core = openvino.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": self.n_threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        }
        return core.compile_model(core.read_model(io.BytesIO(model)), "CPU", settings)

    @staticmethod
    def _bound(compiled, arrays):
        """Return a call on the memory of `arrays`, inputs and outputs by name; others come as new arrays."""
        from openvino import Tensor

        request = compiled.create_infer_request()
        tensors = {name: Tensor(array, shared_memory=True) for name, array in arrays.items()}
        for name, tensor in tensors.items():
            request.set_tensor(name, tensor)

        def call(_alive=(arrays, tensors)):  # the request holds addresses only
            return request.infer(share_outputs=True)

        return call

    def _make(self):
        from .onnx_models import build

        return self._bound(self._compile(build(self.shape, self.problem.params)), {"x": self.problem.x})

    def _make_steps(self):
        model, x, ((in_0, out_0), (in_1, out_1)) = self._one_step()
        compiled = self._compile(model)
        return [self._bound(compiled, {"x": x, **in_0, **out_1}), self._bound(compiled, {"x": x, **in_1, **out_0})]

    def output(self, result):
        return _time_batch_features(result[0])


def _time_batch_features(y):
    """(T, D, N, H) -> (T, N, D H)."""
    return np.asarray(y).transpose(0, 2, 1, 3).reshape(y.shape[0], y.shape[2], -1)


PEERS = {peer.name: peer for peer in (FastRNN, Torch, OnnxRuntime, OpenVINO)}


def build(peer, problem, n_threads=1):
    """Return the adapter of the peer named `peer`; NotImplementedError with the reason where it cannot run."""
    reason = PEERS[peer].absence()
    if reason:
        raise NotImplementedError(f"{peer}: {reason}")
    return PEERS[peer](problem, n_threads)
