"""Other memory layouts and number formats for a network of torch, behind the same float32 inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from bench.core.artifact import Artifact
from bench.core.errors import TargetError

Model = Callable[..., Any]


def with_channels_last(model: Model, artifact: Artifact) -> Model:
    """The network with the weights of its convolutions stored channels last; TargetError where it has none.

    A convolution with such weights converts its input, so the conversion is part of every call.
    """
    import torch

    if not isinstance(model, torch.nn.Module) or not any(weights.ndim == 4 for weights in model.parameters()):
        raise TargetError(
            f"{artifact.path}: has no weights of convolutions to store channels last",
            hint="leave out the option channels_last",
        )
    moved: Model = model.to(memory_format=torch.channels_last)
    return moved


def in_precision(model: Model, precision: Literal["bfloat16", "autocast"], artifact: Artifact) -> Model:
    """The network computing in bfloat16; float inputs and outputs are cast in the call, others stay as they are."""
    import torch

    if precision == "autocast":

        def with_autocast(*tensors: Any) -> Any:
            with torch.autocast("cpu", torch.bfloat16):
                return _as_float32(model(*tensors))

        return with_autocast
    if artifact.format == "exported_program" or not isinstance(model, torch.nn.Module):
        raise TargetError(
            f"{artifact.path}: only a module can be cast to bfloat16, for an exported program has its types fixed",
            hint="start from the torch_module, or choose precision: autocast",
        )
    model.to(torch.bfloat16)

    def with_casts(*tensors: Any) -> Any:
        return _as_float32(model(*(_as_bfloat16(tensor) for tensor in tensors)))

    return with_casts


def _as_bfloat16(tensor: Any) -> Any:
    return tensor.bfloat16() if tensor.is_floating_point() else tensor


def _as_float32(outputs: Any) -> Any:
    if isinstance(outputs, Mapping):
        return {name: _as_float32(tensor) for name, tensor in outputs.items()}
    if isinstance(outputs, list | tuple):
        return [_as_float32(tensor) for tensor in outputs]
    return outputs.float() if outputs.is_floating_point() else outputs
