"""The configuration of a Keras model: which layers follow each other, whatever else it says.

Only what changes the result is read; keys that are not known are passed over. A class or a function that Keras does not
bring itself is refused by name, and none is ever imported.
"""

from __future__ import annotations

from dataclasses import dataclass

_MODELS = ("Sequential", "Functional", "Model")
_MASK_OPERATIONS = ("NotEqual", "Any")  # by which a functional model of Keras 3 makes the mask of Masking or Embedding
MAX_DEPTH = 20


@dataclass
class Leaf:
    """A layer that is no model.

    Attributes
    ----------
    kind : str
        Its class.
    config : Config
    path : tuple of str
        Names of the models that it is in, and its own.
    models : tuple of str
        Classes of the models that it is in, without the outermost.
    """

    kind: str
    config: Config
    path: tuple
    models: tuple = ()

    @property
    def where(self):
        """How errors name it."""
        return f"layer {'/'.join(self.path)!r:.120} ({self.kind})"


class Config:
    """The arguments of a layer, checked when they are asked for."""

    def __init__(self, where, values):
        if not isinstance(values, dict):
            raise ValueError(f"the configuration of {where} is {_short(values)}, expected an object")
        self.where, self.values = where, values

    def size(self, name, default=None):
        """Return a size; 4.0 is 4, as in Keras."""
        return self._whole(name, self.values.get(name, default), 1)

    def axis(self, name, default=None):
        """Return a whole number, or the only one of a list."""
        value = self.values.get(name, default)
        return self._whole(name, value[0] if isinstance(value, list | tuple) and len(value) == 1 else value, None)

    def _whole(self, name, value, least):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or value != value or abs(value) > 2**53 or int(value) != value:
            raise ValueError(f"{name} of {self.where} is {_short(value)}, expected a whole number")
        if least is not None and value < least:
            raise ValueError(f"{name} of {self.where} is {_short(value)}, expected at least {least}")
        return int(value)

    def single(self, name, default):
        """Return a size that may come as a list of one."""
        value = self.values.get(name, default)
        return self._whole(name, value[0] if isinstance(value, list | tuple) and len(value) == 1 else value, 1)

    def flag(self, name, default=False):
        """Return a boolean; null is the default."""
        value = self.values.get(name)
        if value is None:
            return default
        if value not in (True, False) or not isinstance(value, bool | int):
            raise ValueError(f"{name} of {self.where} is {_short(value)}, expected true or false")
        return bool(value)

    def number(self, name, default):
        """Return a float."""
        value = self.values.get(name, default)
        if isinstance(value, dict):  # a NumPy scalar, as Keras writes it
            value = value.get("config", {}).get("value") if isinstance(value.get("config"), dict) else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name} of {self.where} is {_short(value)}, expected a number")
        return float(value)

    def choice(self, name, default):
        """Return a text or None."""
        value = self.values.get(name, default)
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{name} of {self.where} is {_short(value)}, expected text")
        return value

    def refuse(self, name, allowed):
        """Raise where the argument is given and not one of those `allowed`."""
        value = self.values.get(name)
        if value is not None and value not in allowed:
            raise ValueError(
                f"{name} of {self.where} is {_short(value)}, which has no exact counterpart here: expected "
                f"{' or '.join(map(repr, allowed)) or None}"
            )

    def required(self, name):
        """Return an argument as it is."""
        if name not in self.values:
            raise ValueError(f"the configuration of {self.where} lacks {name!r}")
        return self.values[name]

    def inner(self, name):
        """Return (class, Config) of a layer in this one."""
        return class_and_config(self.values.get(name), f"{name} of {self.where}")


def leaves_of(model):
    """Return the list of `Leaf` of a model's, or a layer's, ``{"class_name": ..., "config": ...}``, in order.

    Raises
    ------
    ValueError
        Where layers do not simply follow each other, or are none that Keras brings.
    """
    kind, config = class_and_config(model, "the model")
    if kind not in _MODELS:
        return [_leaf(model, (), ())]
    found = _of_model(kind, config, (), ())
    if not found:
        raise ValueError("the model has no layers")
    return found


def class_and_config(described, where):
    """Return the class and the Config of a description, which must be of a class of Keras."""
    if not isinstance(described, dict) or not isinstance(described.get("class_name"), str):
        raise ValueError(f"{where} is {_short(described)}, expected an object with a class_name")
    kind, module, registered = (described.get(key) for key in ("class_name", "module", "registered_name"))
    own = module is not None and not str(module).startswith(("keras.", "tensorflow.keras.", "tf_keras."))
    if ">" in kind or (own and module != "keras") or (registered is not None and registered != kind):
        name = registered or (f"{module}.{kind}" if module else kind)
        raise ValueError(f"{where} is a {name!s:.120}, which is a class of its own: only classes of Keras are known")
    return kind, Config(f"{where} ({kind:.80})", described.get("config"))


def _of_model(kind, config, path, models):
    if len(path) > MAX_DEPTH:
        raise ValueError(f"models are nested deeper than {MAX_DEPTH}")
    parts = _in_row(config) if kind == "Sequential" else _in_line(config)
    found, names = [], set()
    for part in parts:
        inner = class_and_config(part, "a layer")
        if inner[0] in _MODELS:
            own = _of_model(*inner, (*path, _name(part)), (*models, inner[0]))
        else:
            own = [] if inner[0] == "InputLayer" else [_leaf(part, path, models)]
        if _name(part) in names:
            raise ValueError(f"the name {_name(part)!r:.120} of a layer stands twice in {config.where}")
        names.add(_name(part))
        found += own
    return found


def _leaf(part, path, models):
    kind, config = class_and_config(part, "a layer")
    path = (*path, _name(part))
    config.where = f"layer {'/'.join(path)!r:.120} ({kind:.80})"
    return Leaf(kind, config, path, models)


def _name(part):
    config = part.get("config")
    name = config.get("name") if isinstance(config, dict) else None
    name = part.get("name") if name is None else name
    return name if isinstance(name, str) else str(part["class_name"]).lower()


def _list(value, what):
    if not isinstance(value, list | tuple):
        raise ValueError(f"{what} is {_short(value)}, expected a list")
    return list(value)


def _in_row(config):
    """Return the layers of a Sequential."""
    return _list(config.values.get("layers"), f"layers of {config.where}")


def _in_line(config):
    """Return the layers of a functional model in the order in which they follow each other."""
    parts = {}
    for part in _list(config.values.get("layers"), f"layers of {config.where}"):
        if not isinstance(part, dict) or not isinstance(part.get("class_name"), str):
            raise ValueError(f"a layer of {config.where} is {_short(part)}, expected an object with a class_name")
        parts[str(part.get("name", _name(part)))] = part
    inputs = _histories(config.values.get("input_layers"), f"input_layers of {config.where}")
    if len(inputs) != 1:
        raise ValueError(f"{config.where} has {len(inputs)} inputs, expected layers that follow each other: one input")
    calls = {name: _call(name, part, config.where) for name, part in parts.items()}
    operations = {name for name, part in parts.items() if part["class_name"] in _MASK_OPERATIONS}
    readers: dict = {}
    for name, (source, _) in calls.items():
        if name not in operations:
            readers.setdefault(source, []).append(name)
    order, at = {}, inputs[0][0]
    while at is not None:
        if at in order or at not in parts:
            raise ValueError(f"{config.where} has a layer {at!r:.120} that is missing or called in a circle")
        order[at] = None
        following = readers.get(at, [])
        if len(following) > 1:
            raise ValueError(
                f"{config.where} goes on from layer {at!r:.120} to {len(following)} layers, "
                "expected layers that follow each other"
            )
        at = following[0] if following else None
    if others := [name for name in parts if name not in order and name not in operations]:
        raise ValueError(f"{config.where} has layers beside the line: {', '.join(map(repr, others))[:200]}")
    _check_masks(parts, calls, operations, config.where)
    _check_outputs(next(reversed(order)), config)
    return [parts[name] for name in order]


def _check_outputs(name, config):
    """The outputs must be those of the last layer: its output, and its states in their order."""
    outputs = _histories(config.values.get("output_layers"), f"output_layers of {config.where}")
    indices = [index for layer, index in outputs if layer == name]
    if len(indices) != len(outputs) or indices[:1] != [0] or indices != list(range(len(indices))):
        raise ValueError(
            f"the outputs of {config.where} are {outputs!r:.120}, expected those of its last layer {name!r:.120}: "
            "its output, and its states behind it"
        )


def _histories(value, what):
    """Return [(layer, index of its output)] of a list ["name", node, index], or of a list of such."""
    items = _list(value, what)
    if len(items) == 3 and isinstance(items[0], str):
        items = [items]
    found = []
    for item in items:
        ok = isinstance(item, list | tuple) and len(item) >= 3 and isinstance(item[0], str) and type(item[2]) is int
        if not ok:
            raise ValueError(f"{what} holds {_short(item)}, expected a name and two numbers")
        if item[1] != 0:
            raise ValueError(f"{what} holds a second call of layer {item[0]!r:.120}, expected each layer called once")
        found.append((item[0], item[2]))
    return found


def _call(name, part, where):
    """Return (name of the layer that a layer reads, names of those that its mask comes from); (None, ...) for none."""
    nodes = _list(part.get("inbound_nodes", []), f"inbound_nodes of layer {name!r:.120}")
    if not nodes:
        return None, []
    if len(nodes) > 1:
        raise ValueError(f"layer {name!r:.120} of {where} is called {len(nodes)} times, expected once")
    (node,) = nodes
    if isinstance(node, dict):
        sources = _tensors(node.get("args"))
        keywords = node.get("kwargs") if isinstance(node.get("kwargs"), dict) else {}
        masks = _tensors(keywords.get("mask"))
        sources += [source for key, value in keywords.items() if key != "mask" for source in _tensors(value)]
    else:  # Keras 2: [["name", node, index, {keywords}]]
        if isinstance(node, list) and node and isinstance(node[0], str):
            node = [node]
        sources, masks = _histories([item[:3] if isinstance(item, list) else item for item in node], name), []
        if any(_keras_2_tensors(item) for item in node):
            sources += sources  # states or masks from elsewhere
    if len(sources) != 1:
        raise ValueError(
            f"layer {name!r:.120} of {where} reads {len(sources)} tensors, expected one (initial states of another "
            "layer, or several inputs, cannot be carried over)"
        )
    if sources[0][1] != 0:
        raise ValueError(f"layer {name!r:.120} of {where} reads a state of {sources[0][0]!r:.120}, expected its output")
    return sources[0][0], [mask for mask, _ in masks]


def _keras_2_tensors(item):
    """Whether the keywords of a call of Keras 2 hold tensors, written as ["name", node, index] or in a list."""
    keywords = item[3] if len(item) > 3 and isinstance(item[3], dict) else {}
    return [key for key, value in keywords.items() if isinstance(value, list) and value]


def _tensors(value, depth=0):
    """Return [(layer, index)] of the tensors of Keras 3 in arguments."""
    if depth > MAX_DEPTH:
        raise ValueError("the arguments of a call are nested too deep")
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        config = value.get("config")
        history = config.get("keras_history") if isinstance(config, dict) else None
        return _histories([history], "keras_history of a tensor")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [found for part in inner for found in _tensors(part, depth + 1)]


def _check_masks(parts, calls, operations, where):
    """Raise where a mask is not the one that a Masking, or an Embedding with mask_zero, makes of the same input."""
    made = {}
    for name, part in parts.items():
        source, config = calls[name][0], part.get("config")
        values = config if isinstance(config, dict) else {}
        if part["class_name"] == "Masking":
            made[source] = values.get("mask_value", 0.0)
        elif part["class_name"] == "Embedding" and values.get("mask_zero"):
            made[source] = 0
    for name, (_, masks) in calls.items():
        for mask in masks:
            at = mask
            for _ in range(2):
                if at in operations and parts[at]["class_name"] == "Any":
                    at = calls[at][0]
            if at not in operations or parts[at]["class_name"] != "NotEqual" or calls[at][0] not in made:
                raise ValueError(f"layer {name!r:.120} of {where} gets a mask of {mask!r:.120}, expected Masking's")
            node = parts[at]["inbound_nodes"][0]
            if not isinstance(node, dict) or list(node.get("args") or ())[1:] != [made[calls[at][0]]]:
                raise ValueError(f"layer {name!r:.120} of {where} gets another mask than that of Masking or Embedding")


def _short(value):
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
