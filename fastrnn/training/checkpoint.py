"""A training run in one file, from which it goes on to the same bits."""

import json
import math
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass

import numpy as np

from ..storage import FileFormatError, read_arrays, strict_json, write_arrays
from .history import History
from .run import Epoch

FORMAT, VERSION = "fastrnn training checkpoint", "1"
CURVES = ("loss_curve", "grad_norm_curve", "learning_rate_curve", "validation_loss_curve", "validation_curve")


def write_checkpoint(run, path):
    """Write all that a run needs to go on, atomically.

    It holds the weights, the best weights, the state of the optimiser, of the generator, of the schedule and of those
    hooks that have ``state_dict``, the place in the epoch, and the history.

    Parameters
    ----------
    run : Run
        Between two updates.
    path : str or path-like
    """
    arrays = {f"weights/{name}": w for name, w in run.network.params.items()}
    epochs = {}
    for kind in ("confirmed", "offered"):
        kept = getattr(run.keeper, kind)
        epochs[kind] = None if kept is None else kept[1]
        arrays |= {} if kept is None else {f"{kind}/{name}": w for name, w in kept[0].items()}
    numbers = {}
    _flatten("optimizer", run.optimizer_state, arrays, numbers)
    arrays |= {f"history/{name}": np.array(getattr(run.history, name), np.float64) for name in CURVES}
    state = {
        "job": job(run),
        "optimizer": numbers,
        "rng": None if run.rng is None else run.rng.bit_generator.state,
        "keeper": {"value": run.keeper.value, **epochs},
        "epoch": asdict(run.epoch),
        "history": {"n_updates": run.history.n_updates},
        "waited": run.waited,
        "rate_factor": run.rate_factor,
        "updates_per_epoch": run.updates_per_epoch,
        "schedule": run.schedule_state,
        "hooks": [[type(hook).__name__, hook.state_dict()] for hook in run.hooks if hasattr(hook, "state_dict")],
    }
    write_arrays(path, arrays, {"format": FORMAT, "version": VERSION, "state": json.dumps(_to_json(state))})


def read_checkpoint(run, path):
    """Put a run where the one that wrote ``path`` was.

    Parameters
    ----------
    run : Run
        At its beginning; left as it was where anything is wrong.
    path : str or path-like

    Raises
    ------
    FileFormatError
        Where the file is no whole checkpoint.
    ValueError
        Where it is that of another network, loss, optimiser, data set or split into batches; the message says which.
    """
    arrays, metadata = read_arrays(path)
    if metadata.get("format") != FORMAT:
        raise FileFormatError(f"{str(path)!r} is a {metadata.get('format')!r}, expected a {FORMAT!r}")
    if metadata.get("version") != VERSION:
        raise FileFormatError(f"{str(path)!r} has version {metadata.get('version')!r}, expected {VERSION!r}")
    with _told_as_format_error(path):
        state = _from_json(strict_json("its state", metadata["state"]))
        found = dict(state["job"])
    for name, value in job(run).items():
        if found.get(name) != value:
            raise ValueError(f"{str(path)!r} was written with {name} = {found.get(name)}, expected {value}")
    with _told_as_format_error(path):
        changes = _read(run, arrays, state)
        history = _read_history(arrays, state["history"])
    _give_hooks(run.hooks, changes.pop("hooks"))
    run.network.load_state_dict(changes.pop("weights"))
    run.keeper.value, run.keeper.confirmed, run.keeper.offered = changes.pop("keeper")
    generator = changes.pop("rng")
    if run.rng is not None:
        run.rng.bit_generator.state = generator
    vars(run).update(changes, history=history)


@contextmanager
def _told_as_format_error(path):
    try:
        yield
    except (LookupError, ArithmeticError, TypeError, ValueError, AttributeError) as error:
        raise FileFormatError(f"{str(path)!r} is no whole training checkpoint: {error!r}") from error


def job(run):
    """What must be the same in the run that wrote a checkpoint and in the one that goes on, as plain JSON."""
    settings = run.settings
    return {
        "parameters": {name: [w.dtype.name, *w.shape] for name, w in run.network.params.items()},
        "loss": _said(settings.loss),
        "optimizer": type(run.optimizer).__name__,
        "schedule": None if run.schedule is None else type(run.schedule).__name__,
        "samples": run.samples.fingerprint,
        "rng": None if run.rng is None else type(run.rng.bit_generator).__name__,
        "batch_size": int(settings.batch_size),
        "shuffle": bool(settings.shuffle),
        "accumulate_steps": int(settings.accumulate_steps),
        "bptt_window": None if settings.bptt_window is None else int(settings.bptt_window),
        "early_stopping": bool(run.early_stopping),
    }


def _said(loss):
    """A loss in words: a dataclass with its fields, any other object as its class, a function by its name."""
    return repr(loss) if is_dataclass(loss) else getattr(loss, "__qualname__", type(loss).__qualname__)


def _read(run, arrays, state):
    """Return all attributes of a run that the file holds, checked, by name."""
    epochs, value = state["keeper"], float(state["keeper"]["value"])
    confirmed = (_weights(run, arrays, "confirmed"), _count(epochs["confirmed"]))
    offered = epochs["offered"]
    if offered is not None:
        offered = (_weights(run, arrays, "offered"), _count(offered))
    generators = [state["rng"], state["epoch"]["rng_state"]]
    for generator in generators:
        if generator is not None:
            type(run.rng.bit_generator)().state = generator  # raises where it is none
    if (run.rng is not None and generators[0] is None) or (
        run.settings.shuffle and state["epoch"]["n_updates"] and generators[1] is None
    ):
        raise ValueError("it lacks a state of the generator")
    schedule = state["schedule"]
    if (schedule is None) != (run.schedule_state is None) or (schedule and set(schedule) != set(run.schedule_state)):
        raise ValueError("the state of the schedule has other names")
    epoch = state["epoch"]
    return {
        "weights": _weights(run, arrays, "weights"),
        "keeper": (value, confirmed, offered),
        "rng": state["rng"],
        "optimizer_state": _unflatten("optimizer", run.optimizer_state, arrays, state["optimizer"]),
        "epoch": Epoch(
            _count(epoch["n_updates"]),
            float(epoch["total"]),
            _number(epoch["weight"]),
            float(epoch["largest_norm"]),
            float(epoch["factor"]),
            epoch["rng_state"],
        ),
        "waited": _count(state["waited"]),
        "rate_factor": float(state["rate_factor"]),
        "updates_per_epoch": _count(state["updates_per_epoch"]),
        "schedule_state": schedule and {name: _number(value) for name, value in schedule.items()},
        "hooks": [(str(name), dict(kept)) for name, kept in state["hooks"]],
    }


def _read_history(arrays, state):
    curves = {name: arrays[f"history/{name}"] for name in CURVES}
    n_epochs = len(curves["loss_curve"])
    for name, curve in curves.items():
        if curve.dtype != np.float64 or curve.shape not in [(n_epochs,), (0,) if "validation" in name else (n_epochs,)]:
            raise ValueError(f"history/{name} is {curve.dtype}{curve.shape}, expected float64{(n_epochs,)}")
    return History(**{name: curve.tolist() for name, curve in curves.items()}, n_updates=_count(state["n_updates"]))


def _weights(run, arrays, kind):
    return {name: _array(arrays, f"{kind}/{name}", w) for name, w in run.network.params.items()}


def _array(arrays, name, like):
    array = arrays[name]
    if array.shape != like.shape or array.dtype != like.dtype:
        raise ValueError(f"{name} is {array.dtype}{array.shape}, expected {like.dtype}{like.shape}")
    return array


def _count(value):
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} stands where a count is expected")
    return value


def _number(value):
    return value if isinstance(value, int) else float(value)


def _give_hooks(hooks, states):
    """Give each state to the first hook of that class that has got none yet; other hooks start anew."""
    waiting = list(states)
    for hook in hooks:
        found = next((entry for entry in waiting if entry[0] == type(hook).__name__), None)
        if found is not None and hasattr(hook, "load_state_dict"):
            waiting.remove(found)
            hook.load_state_dict(found[1])


# an optimiser's state is a dict of dicts, arrays and numbers


def _flatten(place, value, arrays, numbers):
    if isinstance(value, dict):
        for name, part in value.items():
            _flatten(f"{place}/{name}", part, arrays, numbers)
    elif isinstance(value, np.ndarray):
        arrays[place] = value
    else:
        numbers[place] = value


def _unflatten(place, like, arrays, numbers):
    if isinstance(like, dict):
        return {name: _unflatten(f"{place}/{name}", part, arrays, numbers) for name, part in like.items()}
    if isinstance(like, np.ndarray):
        return _array(arrays, place, like)
    return _count(numbers[place]) if isinstance(like, int) else float(numbers[place])


# JSON has neither arrays (in the states of some generators) nor numbers that are not finite


def _to_json(value):
    if isinstance(value, dict):
        return {name: _to_json(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(part) for part in value]
    if isinstance(value, np.ndarray):
        return {"__array__": value.tolist(), "dtype": value.dtype.name}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"__float__": repr(value)}
    return value


def _from_json(value):
    if isinstance(value, list):
        return [_from_json(part) for part in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"__float__"}:
        return float(value["__float__"])
    if set(value) == {"__array__", "dtype"}:
        return np.array(value["__array__"], dtype=np.dtype(value["dtype"]))
    return {name: _from_json(part) for name, part in value.items()}
