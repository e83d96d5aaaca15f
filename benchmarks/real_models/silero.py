"""silero-vad (MIT): how probably each 32 ms are speech, by convolutions and an LSTM."""

from __future__ import annotations

import numpy as np

from fastrnn.io import from_onnx, from_torch
from fastrnn.onnx import Session

from .packages import fetch
from .rows import Row, best
from .voice import speech

RATE, CHUNK, CONTEXT = 16000, 512, 64
MODEL = "silero-vad"


def minute_of_speech():
    """Return what the model reads (1875, 576): chunks, each behind the end of the one before."""
    chunks = speech(60, RATE).reshape(-1, CHUNK)
    before = np.concatenate([np.zeros((1, CONTEXT), np.float32), chunks[:-1, -CONTEXT:]])
    return np.concatenate([before, chunks], axis=1)


def onnxruntime_session(model):
    """Return ONNX Runtime's session of a path or of bytes, with one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def start(x, name="input"):
    """Return the inputs of a model that starts from zeros."""
    return {name: x, "h": np.zeros((1, 1, 128), np.float32), "c": np.zeros((1, 1, 128), np.float32)}


def recurrent_part(path, x):
    """Return the LSTM of the model as a model of its own, the name of its input, and what comes in for the chunks x."""
    import onnx

    model = onnx.load(path)
    (node,) = (node for node in model.graph.node if node.op_type == "LSTM")
    value, number = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    model.graph.output.append(value(node.input[0], number, None))
    features = onnxruntime_session(model.SerializeToString()).run([node.input[0]], start(x))[0]
    states = [value(name, number, (1, 1, 128)) for name in ("h", "c")]
    graph = onnx.helper.make_graph(
        [node], "recurrent", [value(node.input[0], number, (None, 1, 128)), *states],
        [value(name, number, None) for name in node.output],
        [tensor for tensor in model.graph.initializer if tensor.name in node.input],
    )  # fmt: skip
    alone = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    return alone.SerializeToString(), node.input[0], features


def difference(found, expected):
    """Return the largest difference of arrays, as a part of the largest value of each, or of 1."""
    return float(max(np.abs(a - b).max() / max(1, np.abs(b).max()) for a, b in zip(found, expected, strict=True)))


def rows(folder):
    """Yield the rows of the table."""
    path, chunks = fetch("silero_vad_16k_sequence.onnx", folder), minute_of_speech()
    ours, theirs, feeds = Session(path, n_threads=1), onnxruntime_session(path), start(chunks)
    expected = theirs.run(None, feeds)
    share = np.mean(expected[0] > 0.5)
    seconds = best({"theirs": lambda: theirs.run(None, feeds), "ours": lambda: ours.run(feeds)})
    what = f"the whole ONNX model, a minute ({share:.0%} of it speech)"
    yield Row(MODEL, what, difference(ours.run(feeds), expected), 1e-5, **seconds)
    part = recurrent_part(path, chunks)
    yield from _onnx_rows(*part)
    yield _torch_row(fetch("silero_vad_16k.safetensors", folder), part[-1])


def _onnx_rows(model, name, features):
    ours, theirs, net = Session(model, n_threads=1), onnxruntime_session(model), from_onnx(model)
    for steps in (len(features), 1):
        feeds = start(features[:steps], name)
        calls = {"theirs": lambda feeds=feeds: theirs.run(None, feeds), "ours": lambda feeds=feeds: ours.run(feeds)}
        seconds = best(calls, 40, times=1 if steps > 1 else 200)
        found = difference(ours.run(feeds), theirs.run(None, feeds))
        yield Row(MODEL, f"its LSTM as an ONNX model, steps a call: {steps}", found, 1e-5, **seconds)
    stream, row = net.stream(1), features[0]
    found = [np.stack([stream.step(step) for step in features])]
    expected = [theirs.run(None, start(features, name))[0][:, 0]]
    calls = {"theirs": lambda: theirs.run(None, feeds), "ours": lambda: stream.step(row)}
    what = "its LSTM of from_onnx, a stream, beside the runtime's of 1 step"
    yield Row(MODEL, what, difference(found, expected), 1e-5, **best(calls, 40, times=200))


def _torch_row(weights, features):
    """The file of safetensors holds another training of the model, so its LSTM stands beside torch's."""
    import torch
    from safetensors.torch import load_file

    cell, net = torch.nn.LSTMCell(128, 128), from_torch(weights, prefix="lstm_cell.")
    cell.load_state_dict({k.removeprefix("lstm_cell."): w for k, w in load_file(weights).items() if "lstm_cell" in k})

    def by_torch():
        state, found = None, []
        with torch.no_grad():
            for step in torch.from_numpy(features):
                state = cell(step, state)
                found.append(state[0].numpy())
        return np.stack(found)

    seconds = best({"theirs": by_torch, "ours": lambda: net.run(features)}, 5)
    what = f"its LSTM from safetensors, {len(features)} steps, beside torch's LSTMCell"
    return Row(MODEL, what, difference([net.run(features)[0]], [by_torch()]), 1e-5, **seconds)
