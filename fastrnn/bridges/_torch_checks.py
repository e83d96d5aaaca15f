"""What an accelerated torch layer takes, and the words for what it does not."""

from __future__ import annotations

import torch

from .._validation import expected_shape

DTYPES = (torch.float32, torch.float64)


def check_weights(title, names, weights):
    """Check that all weights of a layer are on the CPU and of one dtype, which is float32 or float64."""
    for name, weight in zip(names, weights):
        if not isinstance(weight, torch.Tensor):
            raise TypeError(f"{name} of {title} is an object of type {type(weight).__name__}, expected a torch.Tensor")
        if weight.device.type != "cpu":
            raise ValueError(f"{name} of {title} is on {weight.device}, expected cpu")
        if weight.dtype not in DTYPES:
            raise TypeError(f"{name} of {title} has dtype {weight.dtype}, expected torch.float32 or torch.float64")
        if weight.dtype != weights[0].dtype:
            raise TypeError(f"{name} of {title} has dtype {weight.dtype}, expected {weights[0].dtype}, as {names[0]}")


def check_tensor(name, tensor, dtype):
    """Return `tensor`, a strided one on the CPU with the dtype of the weights."""
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name} is an object of type {type(tensor).__name__}, expected a torch.Tensor")
    if tensor.device.type != "cpu":
        raise ValueError(f"{name} is on {tensor.device}, expected cpu, where the weights are")
    if tensor.dtype != dtype:
        under = " (autocast does not reach accelerated layers)" if torch.is_autocast_enabled("cpu") else ""
        raise TypeError(f"{name} has dtype {tensor.dtype}, expected {dtype}, as the weights have{under}")
    if tensor.layout != torch.strided:
        raise TypeError(f"{name} has layout {tensor.layout}, expected torch.strided")
    return tensor


def check_shape(name, tensor, symbols, numbers):
    """Return `tensor`, whose axes must have the sizes `numbers`; None leaves one free."""
    shape = tuple(tensor.shape)
    fits = len(shape) == len(numbers) and all(want in (None, got) for want, got in zip(numbers, shape))
    if not fits:
        raise ValueError(f"{name} has shape {shape}, expected {expected_shape(symbols, numbers)}")
    return tensor


def refuse_graphs(layer):
    """Raise where a call is written into a graph or transformed, which our kernels cannot be."""
    if torch.jit.is_tracing() or torch.compiler.is_compiling():
        raise RuntimeError(
            f"an {type(layer).__name__} can be neither traced nor exported, for it runs outside torch's operators; "
            "call fastrnn.accelerate(model, undo=True) first"
        )
    if torch._C._functorch.peek_interpreter_stack() is not None:
        raise RuntimeError(
            f"an {type(layer).__name__} has no rule for the transforms of torch.func (grad, vmap, jvp), "
            "expected plain tensors; call fastrnn.accelerate(model, undo=True) first"
        )
