"""A network of torch, its example tensors and its dynamic dimensions, as exporters and optimizers want them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import Artifact, TensorSpec

from .examples import trace_batch
from .exported_program import load_exported
from .torch_module import load_torch_module

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch, Examples


@dataclass(frozen=True, kw_only=True, slots=True)
class TorchSource:
    """`outputs` are in the order in which the module's answer is flattened, `dimensions` name the dynamic axes of
    each tensor of `example`."""

    module: Any
    example: tuple[Any, ...]
    dimensions: tuple[dict[int, str], ...]
    outputs: tuple[TensorSpec, ...]

    def answers(self, batches: Sequence[Batch], inputs: Sequence[TensorSpec]) -> list[Mapping[str, Array]]:
        """What the network gives on each batch."""
        return [run_module(self.module, batch, inputs, self.outputs) for batch in batches]


def load_source(source: Artifact, examples: Examples | None) -> TorchSource:
    """Load a torch_module or an exported program and call it once; its inputs are passed by position."""
    path = Path(source.path)
    module = load_exported(path).module() if source.format == "exported_program" else load_torch_module(path)
    example = tensors(source.inputs, trace_batch(source.inputs, examples))
    return TorchSource(
        module=module,
        example=example,
        dimensions=tuple(
            {axis: size for axis, size in enumerate(spec.shape) if isinstance(size, str)} for spec in source.inputs
        ),
        outputs=_flat_order(_answer(module, example), source.outputs),
    )


def tensors(inputs: Sequence[TensorSpec], batch: Batch) -> tuple[Any, ...]:
    """The batch as tensors in the order of `inputs`."""
    import torch

    return tuple(torch.from_numpy(batch[spec.name]) for spec in inputs)


def run_module(
    module: Any, batch: Batch, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> Mapping[str, Array]:
    """Call a module: canonical output name -> array; `outputs` in the order of the flattened answer."""
    answer = _answer(module, tensors(inputs, batch))
    return {spec.name: tensor.numpy() for spec, tensor in zip(outputs, flattened(answer), strict=True)}


def _answer(module: Any, example: tuple[Any, ...]) -> Any:
    import torch

    with torch.inference_mode():
        return module(*example)


def flattened(answer: Any) -> list[Any]:
    """A network's answer as a list of tensors, in the order in which exporters see them."""
    if isinstance(answer, Mapping):
        return list(answer.values())
    return list(answer) if isinstance(answer, tuple | list) else [answer]


def _flat_order(answer: Any, outputs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Exporters keep a mapping's own order, which need not be that of the specs."""
    if isinstance(answer, Mapping):
        by_native = {spec.native_name: spec for spec in outputs}
        return tuple(by_native[name] for name in answer)
    count = len(flattened(answer))
    if count != len(outputs):
        raise ValueError(f"the module gives {count} outputs and the model has {len(outputs)}")
    return tuple(outputs)
