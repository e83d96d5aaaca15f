"""A machine for pickles that makes plain containers and descriptions of tensors, and nothing else.

`pickletools` of the standard library cuts the bytes into opcodes; this module gives a meaning to those that data need.
No name in a pickle is ever looked up: a class or a function is the text that names it, and the few that torch writes
around tensors are known by that text. Anything else is refused by name.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": list}
_VALUES = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 "
    "STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8".split()
)
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = ("PROTO", "FRAME")
MAX_AXES = 32
_DTYPES = {
    **{"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "BFloat16Storage": "bfloat16"},
    **{"LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "<i1"},
    **{"ByteStorage": "|u1", "BoolStorage": "|b1"},
}


@dataclass(frozen=True)
class Name:
    """What a pickle names: a class or a function, never looked up."""

    text: str


@dataclass(frozen=True)
class Storage:
    """So many numbers in a row, under a key."""

    dtype: str
    key: str
    size: int


@dataclass(frozen=True)
class Tensor:
    """A view of a storage, in its numbers."""

    storage: Storage
    offset: int
    shape: tuple
    strides: tuple


class _Mark:
    pass


_MARK = _Mark()


def read(file, limit):
    """Read one pickle, and leave `file` behind it.

    Parameters
    ----------
    file : binary file
    limit : int
        How many things the calls in it may make: more than its bytes are none that data need.

    Returns
    -------
    value : dict, list, tuple, Tensor, str, int, float, bytes or None
    storages : dict of str to Storage
        Those that were named, by key.

    Raises
    ------
    ValueError
        Where it is damaged, or holds anything but tensors, text, numbers, None, dicts, lists and tuples.
    """
    machine = _Machine(limit)
    try:
        for opcode, argument, _ in pickletools.genops(file):  # ends behind STOP
            if opcode.name != "STOP":
                machine.do(opcode.name, argument)
        value = machine.pop()
    except (IndexError, KeyError, OverflowError, RecursionError, struct.error) as error:
        raise ValueError(f"its pickle is damaged ({type(error).__name__})") from error
    if machine.stack or isinstance(value, _Mark):
        raise ValueError("its pickle is damaged: more than one value is left")
    return value, machine.storages


class _Machine:
    def __init__(self, limit):
        self.stack, self.memo, self.storages, self.left = [], {}, {}, limit

    def pop(self):
        value = self.stack.pop()
        if value is _MARK:
            raise ValueError("its pickle is damaged: a mark stands where a value is due")
        return value

    def pop_to_mark(self):
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:  # an IndexError where there is none
            at -= 1
            if at < 0:
                raise ValueError("its pickle is damaged: a mark is missing")
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values

    def do(self, name, argument):
        """Carry out one opcode."""
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            values = [self.pop() for _ in range(_TUPLES[name])]
            self.stack.append(tuple(reversed(values)))
        elif name not in _IGNORED:
            method = getattr(self, f"_{name.lower()}", None)
            if method is None:
                raise ValueError(f"its pickle uses {name}, expected tensors in plain containers alone")
            method(argument)

    def _mark(self, _):
        self.stack.append(_MARK)

    def _pop(self, _):
        self.stack.pop()

    def _pop_mark(self, _):
        self.pop_to_mark()

    def _memoize(self, _):
        self.memo[len(self.memo)] = self._top()

    def _binput(self, index):
        self.memo[index] = self._top()

    def _binget(self, index):
        self.stack.append(self.memo[index])

    _put = _long_binput = _binput
    _get = _long_binget = _binget

    def _top(self):
        value = self.pop()
        self.stack.append(value)
        return value

    def _tuple(self, _):
        self.stack.append(tuple(self.pop_to_mark()))

    def _list(self, _):
        self.stack.append(self.pop_to_mark())

    def _dict(self, _):
        values, target = self.pop_to_mark(), {}
        _set(target, values)
        self.stack.append(target)

    def _append(self, _):
        value = self.pop()
        _listed(self.stack[-1]).append(value)

    def _appends(self, _):
        values = self.pop_to_mark()
        _listed(self.stack[-1]).extend(values)

    _additems = _appends

    def _setitem(self, _):
        value, key = self.pop(), self.pop()
        _set(self.stack[-1], [key, value])

    def _setitems(self, _):
        values = self.pop_to_mark()
        _set(self.stack[-1], values)

    def _global(self, argument):
        self.stack.append(_known(argument.replace(" ", ".", 1)))

    def _stack_global(self, _):
        name, module = self.pop(), self.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise ValueError("its pickle is damaged: a name is no text")
        self.stack.append(_known(f"{module}.{name}"))

    def _binpersid(self, _):
        storage = _storage(self.pop())
        if self.storages.setdefault(storage.key, storage) != storage:
            raise ValueError(f"the storage {storage.key!r:.80} of its pickle is described twice, differently")
        self.stack.append(storage)

    def _reduce(self, _):
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Name) or function.text not in _CALLS or not isinstance(arguments, tuple):
            raise ValueError(f"its pickle calls {getattr(function, 'text', 'what is no function')!r:.120}")
        arguments = _of_length(function.text, arguments)
        self.left -= sum(len(part) for part in arguments if isinstance(part, list | tuple))
        if self.left < 0:
            raise ValueError("its pickle makes more than it has bytes")
        self.stack.append(_CALLS[function.text](*arguments))

    def _build(self, _):
        self.pop()  # torch's `_metadata` of a state dict: versions of modules
        if not isinstance(self.stack[-1], dict):
            raise ValueError("its pickle sets the state of what is no dict")


def _known(text):
    """Return the name, which must be one that stands around tensors."""
    if text not in _CALLS and not (text.startswith("torch.") and text[6:] in _DTYPES):
        raise ValueError(
            f"it holds {text:.120}, expected tensors in dicts, lists and tuples alone: where a whole module was saved, "
            "save its weights, torch.save(module.state_dict(), path)"
        )
    return Name(text)


def _set(target, values):
    if not isinstance(target, dict) or len(values) % 2:
        raise ValueError("its pickle is damaged: a dict is none")
    for key, value in zip(values[::2], values[1::2], strict=True):
        if not isinstance(key, str | int | float | bytes | None):
            raise ValueError(f"a key of a dict is {type(key).__name__}, expected text or a number")
        if key in target:
            raise ValueError(f"the key {key!r:.120} stands twice")
        target[key] = value


def _listed(value):
    if not isinstance(value, list):
        raise ValueError("its pickle is damaged: a list is none")
    return value


def _is_count(value):
    return type(value) is int and 0 <= value < 2**62


def _storage(identity):
    """Return the Storage of a persistent id, ("storage", type, key, place, size) and in old files a view."""
    if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != "storage":
        raise ValueError("a persistent id of its pickle is none of a storage")
    kind, key, _, size = identity[1:5]
    if not (isinstance(kind, Name) and isinstance(key, str) and _is_count(size)):
        raise ValueError("a storage of its pickle is damaged")
    if identity[5:] not in ((), (None,)):
        raise ValueError("a storage of its pickle is a view of another, as torch 0.3 wrote it")
    dtype = _DTYPES.get(kind.text.removeprefix("torch."))
    if dtype is None:
        raise ValueError(f"a storage of its pickle is of {kind.text}")
    return Storage(dtype, key, size)


def _tensor(storage, offset, shape, strides, *_):
    """Return the Tensor of the arguments of ``torch._utils._rebuild_tensor_v2``."""
    if not isinstance(storage, Storage) or not _is_count(offset):
        raise ValueError("a tensor of its pickle has no storage")
    for numbers in (shape, strides):
        if not (isinstance(numbers, tuple) and len(numbers) <= MAX_AXES and all(map(_is_count, numbers))):
            raise ValueError("the shape or the strides of a tensor of its pickle are damaged")
    size = prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=False)) if size else offset - 1
    if len(shape) != len(strides) or last >= storage.size or size > storage.size:
        raise ValueError(f"a tensor of shape {shape} and strides {strides} does not fit its {storage.size} numbers")
    return Tensor(storage, offset, shape, strides)


def _parameter(tensor, *_):
    if not isinstance(tensor, Tensor):
        raise ValueError("a parameter of its pickle is no tensor")
    return tensor


def _ordered_dict(*items):
    target = {}
    for pair in items[0] if items else ():
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise ValueError("its pickle is damaged: an item of an OrderedDict is no pair")
        _set(target, list(pair))
    return target


def _size(numbers):
    if not isinstance(numbers, tuple | list) or not all(map(_is_count, numbers)):
        raise ValueError("a size of its pickle is damaged")
    return tuple(numbers)


# what may be called, and with how many arguments
_CALLS: dict[str, Callable] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": _size,
}
_LENGTHS = {
    "collections.OrderedDict": (0, 1),
    "torch._utils._rebuild_tensor_v2": (6, 7),
    "torch._utils._rebuild_tensor": (4, 4),
    "torch._utils._rebuild_parameter": (3, 3),
    "torch.Size": (1, 1),
}


def _of_length(name, arguments):
    least, most = _LENGTHS[name]
    if not least <= len(arguments) <= most:
        raise ValueError(f"its pickle calls {name} with {len(arguments)} arguments")
    if name == "collections.OrderedDict" and arguments and not isinstance(arguments[0], list | tuple):
        raise ValueError("its pickle is damaged: an OrderedDict is made of no list")
    return arguments
