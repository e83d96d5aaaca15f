"""Live models of other packages that run on our kernels."""

from __future__ import annotations

from importlib import import_module

# Where a class of the model comes from -> the module here that knows its layers. The first that fits counts, in the
# order of inheritance: what is built on another package stands before that package.
_BRIDGES = {"keras": "keras", "torch": "torch"}


def accelerate(model, *, undo=False):
    """Swap the recurrent layers of a live model for ones on our kernels, in place.

    Parameters
    ----------
    model : torch.nn.Module, or keras.Model or keras.layers.Layer of Keras 3
        The ``nn.LSTM``, ``nn.GRU`` and ``nn.RNN`` in it, at any depth, or itself, go on with the same parameter
        objects, options and hooks, and are still instances of their old classes; everything else is left alone.
        Layers must be float32 or float64 and on the CPU. Of a Keras model the LSTM, GRU and SimpleRNN, on any backend
        in inference, and in training where the backend is torch; see docs/from-keras.md.
    undo : bool, default=False
        Swap them back.

    Returns
    -------
    torch.nn.Module or keras.layers.Layer
        `model` itself.

    Raises
    ------
    TypeError
        Where `model` is of no package that there is a bridge to, or a layer has another dtype.
    ValueError
        Where there is no recurrent layer in `model`, or one is not on the CPU. The model is left as it was.

    Warns
    -----
    UserWarning
        Where a layer is left alone because its class is derived from torch's.

    Notes
    -----
    Outputs and gradients agree with torch's to rounding, dropout draws the same masks, and threads follow
    ``torch.get_num_threads()``. What is not possible is refused where it is tried: second derivatives,
    ``torch.jit`` and ``torch.export``, other devices and dtypes. See docs/accelerate.md.

    Examples
    --------
    ::

        model = fastrnn.accelerate(Tagger())      # a torch.nn.Module with an nn.LSTM in it
        optimiser = torch.optim.Adam(model.parameters())
        ...                                       # train, evaluate, save as before
        fastrnn.accelerate(model, undo=True)
    """
    for kind in type(model).__mro__:
        package = kind.__module__.partition(".")[0]
        if package in _BRIDGES:
            return import_module(f"{__name__}.{_BRIDGES[package]}").accelerate(model, undo=bool(undo))
    raise TypeError(
        f"model is an object of type {type(model).__name__}, expected a torch.nn.Module or a model of Keras 3"
    )
