"""What it takes until a package is there, in a fresh process."""

import os
import subprocess
import sys

from . import peers

CODE = "import time; begin = time.perf_counter(); {code}; print(time.perf_counter() - begin)"
FIRST_LAYER = {
    "fastrnn": "import fastrnn; fastrnn.LSTM(8, 8)",
    "torch": "import torch; torch.nn.LSTM(8, 8)",
    "onnxruntime": "import onnxruntime; onnxruntime.InferenceSession",
    "openvino": "import openvino; openvino.Core().available_devices",
}


def _seconds(code, repeat=5):
    """Return the least seconds of `code` over some fresh processes."""
    command = [sys.executable, "-c", CODE.format(code=code)]
    settings = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    runs = [subprocess.run(command, env=settings, capture_output=True, check=True) for _ in range(repeat)]
    return min(float(run.stdout) for run in runs)


class Import:
    params = list(peers.PEERS)
    param_names = ["peer"]

    def setup(self, peer):
        reason = peers.PEERS[peer].absence()
        if reason:
            raise NotImplementedError(f"{peer}: {reason}")

    def track_import(self, peer):
        return _seconds(f"import {peer}")

    def track_first_layer(self, peer):
        """Import it and make what computes: modules that are loaded late count too."""
        return _seconds(FIRST_LAYER[peer])

    track_import.unit = track_first_layer.unit = "s"
