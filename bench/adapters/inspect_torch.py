"""Signature of exported programs, and of the user's own callables, which are run to find their outputs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.core.errors import TargetError
from bench.formats.torchscript import SIGNATURE_NAME

from .dimensions import BATCH, FileTensor, Signature, named
from .torch import in_order, load_callable, load_exported

_DECLARE = 'declare them beside it: build.inputs = {"image": ("float32", ("batch", 3, 224, 224))}'
_DECLARE_IN_SCRIPT = (
    f"torch.jit.save(script, path, _extra_files={{'{SIGNATURE_NAME}': json.dumps("
    "{'inputs': {'image': ['float32', ['batch', 3, 224, 224]]}})})"
)
#: Sizes tried for the dynamic dimensions of a callable: the batch, and any other.
_BATCH_SIZE, _OTHER_SIZE = 2, 8


def exported_signature(path: Path) -> Signature:
    """Inputs by the names of the exported function's arguments; outputs by key, or `output`, `output_0` ..."""
    program = load_exported(path)
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    inputs = [_from_fake(name, values.get(name)) for name in program.graph_signature.user_inputs]
    sources = program.graph_signature.user_outputs
    names = _output_names(program.call_spec.out_spec, len(sources))
    return named(inputs, [_from_fake(name, values.get(source)) for name, source in zip(names, sources, strict=True)])


def _output_names(structure: Any, count: int) -> Sequence[str]:
    if structure.type is dict:
        keys: Sequence[str] = structure.context
        return keys
    return _numbered(count)


def _numbered(count: int) -> list[str]:
    return ["output"] if count == 1 else [f"output_{index}" for index in range(count)]


def _from_fake(name: str, value: Any) -> FileTensor:
    """A dimension that is a computed size, such as twice another, counts as unnamed."""
    if not hasattr(value, "shape"):
        raise TargetError(f"{name!r} is not a tensor", hint="export the model with tensors as inputs and outputs")
    shape = tuple(dim if isinstance(dim, int) else str(dim) for dim in value.shape)
    plain = tuple(dim if isinstance(dim, int) or dim.isidentifier() else None for dim in shape)
    return FileTensor(name=name, dtype=str(value.dtype).removeprefix("torch."), shape=plain)


def script_signature(path: Path) -> Signature:
    """Inputs as an extra file of the archive declares them; outputs are found as those of callables are."""
    import torch

    stored = {SIGNATURE_NAME: ""}
    script = torch.jit.load(str(path), map_location="cpu", _extra_files=stored)
    if not stored[SIGNATURE_NAME]:
        raise TargetError(f"{path}: the script does not say what it takes", hint=_DECLARE_IN_SCRIPT)
    declared = json.loads(stored[SIGNATURE_NAME]).get("inputs")
    if not _is_declaration(declared):
        raise TargetError(
            f"{path}: {SIGNATURE_NAME} inside does not say what the script takes", hint=_DECLARE_IN_SCRIPT
        )
    inputs = [FileTensor(name=name, dtype=dtype, shape=tuple(shape)) for name, (dtype, shape) in declared.items()]
    return named(inputs, _probed_outputs(script, inputs))


def callable_signature(location: Path | str) -> Signature:
    """Inputs as the function's attribute `inputs` declares them: name -> (dtype, shape with named dimensions).

    Outputs are found by calling the model on zeros, once more for each dynamic dimension with another size of it.
    """
    function = load_callable(str(location))
    declared: Any = getattr(function, "inputs", None)
    if not _is_declaration(declared):
        raise TargetError(f"{location}: the function does not say what its model takes", hint=_DECLARE)
    inputs = [FileTensor(name=name, dtype=dtype, shape=tuple(shape)) for name, (dtype, shape) in declared.items()]
    return named(inputs, _probed_outputs(function(), inputs))


def _is_declaration(declared: object) -> bool:
    return (
        isinstance(declared, Mapping)
        and bool(declared)
        and all(
            isinstance(entry, list | tuple)
            and len(entry) == 2
            and isinstance(entry[0], str)
            and isinstance(entry[1], list | tuple)
            and all(isinstance(dim, int | str) for dim in entry[1])
            for entry in declared.values()
        )
    )


def _probed_outputs(model: Callable[..., Any], inputs: Sequence[FileTensor]) -> list[FileTensor]:
    dims = {dim for tensor in inputs for dim in tensor.shape or () if isinstance(dim, str)}
    sizes = {dim: _BATCH_SIZE if dim == BATCH else _OTHER_SIZE for dim in dims}
    outputs = _run_on_zeros(model, inputs, sizes)
    shapes: dict[str, list[int | str | None]] = {name: list(tensor.shape) for name, tensor in outputs.items()}
    for dim in sorted(dims):
        larger = _run_on_zeros(model, inputs, sizes | {dim: sizes[dim] + 1})
        for name, tensor in larger.items():
            for axis, (old, new) in enumerate(zip(outputs[name].shape, tensor.shape, strict=True)):
                if old != new:
                    shapes[name][axis] = dim
    return [
        FileTensor(name=name, dtype=str(tensor.dtype).removeprefix("torch."), shape=tuple(shapes[name]))
        for name, tensor in outputs.items()
    ]


def _run_on_zeros(
    model: Callable[..., Any], inputs: Sequence[FileTensor], sizes: Mapping[str, int]
) -> Mapping[str, Any]:
    import torch

    if isinstance(model, torch.nn.Module):
        model.eval()
    zeros = [
        torch.zeros(
            [sizes[dim] if isinstance(dim, str) else dim or 1 for dim in tensor.shape or ()],
            dtype=getattr(torch, tensor.dtype),
        )
        for tensor in inputs
    ]
    with torch.inference_mode():
        outputs = model(*zeros)
    if isinstance(outputs, Mapping):
        return outputs
    tensors = in_order(outputs, ())
    return dict(zip(_numbered(len(tensors)), tensors, strict=True))
