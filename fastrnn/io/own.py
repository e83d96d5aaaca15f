"""Files of `fastrnn.save` in the terms of `formats`."""

from __future__ import annotations

import json

from ..models import Network
from ._entries import mapped
from ._safetensors import entries


def read(path):
    """Return the network of a file of a network, a layer or an estimator."""
    return Network.load(path)


def write(network, path):
    """Write a network."""
    network.save(path)


def outline(path):
    """Return lines about a file: what was saved, and its network."""
    network = Network.load(path)  # checks all of the file
    metadata = entries(mapped(path))[1]
    name = json.loads(metadata["config"])["class"]
    return [f"a {name}, saved by fastrnn {metadata['fastrnn_version']}", *network.summary().split("\n")]
