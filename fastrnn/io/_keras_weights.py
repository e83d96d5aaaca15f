"""Weights of Keras's layers: where they stand in each of its formats, each to be used up."""

from __future__ import annotations

import re

import numpy as np

from ._entries import Entry
from ._keras_hdf5 import Group
from ._weights import listed

ROLES = ("kernel", "recurrent_kernel", "bias", "gamma", "beta", "embeddings")
_INSIDE = {  # where a layer's variables stand in a .keras file, under its own name
    **dict.fromkeys(("SimpleRNN", "LSTM", "GRU", "RNN"), ("cell/vars",)),
    "Bidirectional": ("forward_layer/cell/vars", "backward_layer/cell/vars"),
    "TimeDistributed": ("layer/vars",),
}
_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")  # Keras 3; 2.12 to 2.15
_FLOATS = ("float16", "bfloat16", "float32", "float64")


class Taken:
    """The weights of one layer, in their order.

    Parameters
    ----------
    where : str
        How errors name the layer.
    entries : list of Entry
    """

    def __init__(self, where, entries):
        self.where, self.entries = where, entries

    def arrays(self, expected, dtype):
        """Return a list of arrays in `dtype`.

        Parameters
        ----------
        expected : dict of str to tuple
            Shape by name, in order; None leaves an axis free.
        dtype : dtype
        """
        if len(self.entries) != len(expected):
            raise ValueError(
                f"{self.where} has {len(self.entries)} weights, expected {len(expected)}: {', '.join(expected)}"
            )
        found = []
        for (name, shape), entry in zip(expected.items(), self.entries, strict=True):
            fits = len(shape) == len(entry.shape) and all(w in (None, g) for w, g in zip(shape, entry.shape))
            if not fits:
                want = tuple("any" if size is None else size for size in shape)
                raise ValueError(f"{name} of {self.where} has shape {tuple(entry.shape)}, expected {want}")
            if entry.dtype not in _FLOATS:
                raise ValueError(f"{name} of {self.where} holds {entry.dtype}, expected {', '.join(_FLOATS)}")
            found.append(np.asarray(entry.read(), dtype))
        return found


def of_archive(root, leaves):
    """Return {path of leaf: Taken} from the weights of a ``.keras`` file.

    A layer's group is named by its class and a number that rises in the order of the layers.
    """
    found, used = {}, set()
    _of_container(root, leaves, 0, found, used)
    everything = root.entries()
    kept = [name for name in everything if name.split("/")[0] in (*_CONTAINERS, "vars")]
    if unused := [name for name in kept if name not in used and "seed_generator" not in name]:
        raise ValueError(f"it has the weights {listed(unused)}, which no layer uses")
    return found


def _of_container(group, leaves, depth, found, used, prefix=""):
    """Assign the groups of one model to `leaves`, whose paths share the first `depth` names."""
    name = next((name for name in _CONTAINERS if isinstance(group.members.get(name), Group)), None)
    members = group.members[name].members if name else {}
    prefix = f"{prefix}{name}/"
    for base, parts in _by_class(leaves, depth).items():
        groups = [
            (int(match[1] or 0), member)
            for member, own in members.items()
            if (match := re.fullmatch(rf"{re.escape(base)}(?:_(\d{{1,6}}))?", member)) and _has_weights(own)
        ]
        if len(groups) != len(parts):
            raise ValueError(f"it has weights for {len(groups)} layers {base!r:.80}, expected {len(parts)}")
        for (_, member), inner in zip(sorted(groups), parts, strict=True):
            if len(inner[0].path) > depth + 1:
                _of_container(members[member], inner, depth + 1, found, used, f"{prefix}{member}/")
                continue
            (leaf,) = inner
            entries = _variables(members[member], leaf, f"{prefix}{member}/", used)
            found[leaf.path] = Taken(leaf.where, entries)


def _has_weights(group):
    return isinstance(group, Group) and any("seed_generator" not in name for name in group.entries())


def _by_class(leaves, depth):
    """Return {name of a class in a file: [[leaf], or the leaves of one model]} of those with weights, in order."""
    found: dict = {}
    models: dict = {}
    for leaf in leaves:
        if not count_of(leaf):
            continue
        if len(leaf.path) == depth + 1:
            found.setdefault(_snake_case(leaf.kind), []).append([leaf])
        elif leaf.path[depth] in models:
            models[leaf.path[depth]].append(leaf)
        else:
            models[leaf.path[depth]] = [leaf]
            kind = leaf.models[depth]
            found.setdefault(_snake_case(kind), []).append(models[leaf.path[depth]])
    return found


def _variables(group, leaf, prefix, used):
    places = _INSIDE.get(leaf.kind, ("vars",))
    found = []
    for place in places:
        at = group
        for name in place.split("/"):
            at = at.members.get(name) if isinstance(at, Group) else None
        members = at.members if isinstance(at, Group) else {}
        for k in range(len(members)):
            entry = members.get(str(k))
            if not isinstance(entry, Entry):
                raise ValueError(f"it has the variables {listed(members)} of {leaf.where}, expected 0, 1, ...")
            found.append(entry)
            used.add(f"{prefix}{place}/{k}")
    return found


def _snake_case(name):
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def of_groups(root, leaves):
    """Return {path of leaf: Taken} from the group "model_weights" of an ``.h5`` file of a whole model."""
    group = root.members.get("model_weights")
    if not isinstance(group, Group):
        raise ValueError("it has no HDF5 group 'model_weights'")
    names = {name: _names(group.members.get(name), "weight_names") for name in _names(group, "layer_names")}
    names["top_level_model_weights"] = _names(group.members.get("top_level_model_weights"), "weight_names")
    found, by_top = {}, {}
    for leaf in leaves:
        by_top.setdefault(leaf.path[0], []).append(leaf)
    for top, inner in by_top.items():
        left = names.pop(top, [])
        # frozen layers stand behind the others: trainable weights come first
        for leaf in sorted(inner, key=lambda leaf: not leaf.config.flag("trainable", True)):
            count = count_of(leaf)
            own, left = left[:count], left[count:]
            found[leaf.path] = Taken(leaf.where, [_named(group.members[top], name, leaf.where) for name in own])
        if left:
            raise ValueError(f"it has the weights {listed(left)} under {top!r:.120}, which no layer uses")
    if unused := [name for own in names.values() for name in own]:
        raise ValueError(f"it has the weights {listed(unused)}, which no layer uses")
    return found


def _names(group, attribute):
    """Return a list of names, which may be spread over several attributes."""
    if not isinstance(group, Group):
        return []
    found = group.attribute(attribute)
    if found is None:
        found, k = [], 0
        while (part := group.attribute(f"{attribute}{k}")) is not None:
            found, k = found + list(part), k + 1
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        if found == []:
            return []
        raise ValueError(f"the HDF5 attribute {attribute!r} holds {found!r:.80}, expected names")
    return found


def _named(group, name, where):
    at = group
    for part in name.split("/"):
        at = at.members.get(part) if isinstance(at, Group) else None
    role = name.split("/")[-1].partition(":")[0]
    if not isinstance(at, Entry):
        raise ValueError(f"it names the weight {name!r:.120} of {where}, but has no such array")
    if role not in ROLES:
        raise ValueError(f"it has the weight {name!r:.120} of {where}, expected one of {', '.join(ROLES)}")
    return at


def of_live(model, leaves, to_numpy):
    """Return {path of leaf: Taken} from a live model or layer.

    Parameters
    ----------
    model : keras.layers.Layer
    leaves : list of Leaf
    to_numpy : callable
        Makes an array of a variable.
    """
    found = {}
    for leaf in leaves:
        layer = model
        for name in leaf.path if hasattr(model, "layers") else ():
            layer = next(part for part in layer.layers if part.name == name)
        entries = [Entry(str(v.dtype), tuple(v.shape), lambda v=v: to_numpy(v)) for v in layer.weights]
        if not layer.built:
            raise ValueError(f"{leaf.where} has no weights yet: call the model once, or give it an Input")
        found[leaf.path] = Taken(leaf.where, entries)
    return found


def _of_cell(config):
    return 3 if config.flag("use_bias", True) else 2


def _of_inner(times):
    def count(config):
        kind, inner = config.inner("layer")
        return times * WEIGHTED[kind](inner) if kind in WEIGHTED else 0

    return count


def _of_norm(config):
    return int(config.flag("scale", True)) + int(config.flag("center", True))


WEIGHTED = {
    **dict.fromkeys(("SimpleRNN", "LSTM", "GRU"), _of_cell),
    **dict.fromkeys(("CuDNNLSTM", "CuDNNGRU"), lambda config: 3),
    "RNN": lambda config: _of_cell(config.inner("cell")[1]),
    "Bidirectional": _of_inner(2),
    "TimeDistributed": _of_inner(1),
    **dict.fromkeys(("Dense", "Conv1D", "Convolution1D"), lambda config: 1 + config.flag("use_bias", True)),
    "Embedding": lambda config: 1,
    "LayerNormalization": _of_norm,
}


def count_of(leaf):
    """Return how many weights a layer has."""
    return WEIGHTED[leaf.kind](leaf.config) if leaf.kind in WEIGHTED else 0
