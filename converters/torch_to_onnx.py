"""Write a torch module as ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.core.artifact import Artifact, Change, TensorSpec
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.formats.examples import check_batches, require_sound
from bench.formats.onnx_file import EXTERNAL_DATA_FROM_BYTES, model_size_bytes, run_onnx
from bench.formats.steps import only_step_failures, table_blockers
from bench.formats.torch_source import TorchSource, load_source, run_module

from .onnx_interface import name_interface

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "torch_to_onnx"
_HINT = "try the option exporter: legacy (or dynamo, if that was it); the log holds torch's own words"
_LEGACY_OPSET = 18


@dataclass(frozen=True, kw_only=True, slots=True)
class TorchToOnnxOptions:
    """`exporter`: dynamo is the maintained one; legacy traces, and is the one whose attention ONNX Runtime's
    transformer optimizer recognizes."""

    exporter: Literal["dynamo", "legacy"] = "dynamo"


class TorchToOnnx:
    """`torch.onnx.export` with every named dimension dynamic."""

    Options = TorchToOnnxOptions

    def blockers(self, source_format: str, options: TorchToOnnxOptions) -> Sequence[str]:
        """What the table line says is missing."""
        return table_blockers(_NAME, source_format)

    def apply(
        self, source: Artifact, options: TorchToOnnxOptions, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write `model.onnx` (from 2 GB on with `model.onnx.data` beside it), named by canonical names."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _convert(source, options, out_dir, examples)


def _convert(source: Artifact, options: TorchToOnnxOptions, out_dir: Path, examples: Examples | None) -> StepResult:
    import onnx

    torch_source = load_source(source, examples)
    path = out_dir / "model.onnx"
    export = _export_dynamo if options.exporter == "dynamo" else _export_legacy
    export(torch_source, path)
    model = onnx.load(path, load_external_data=False)
    name_interface(_NAME, model, source.inputs, torch_source.outputs)
    onnx.save(model, path)

    inputs, outputs = _without_natives(source.inputs), _without_natives(source.outputs)
    batches = check_batches(inputs, examples)
    for batch, answer in zip(batches, run_onnx(path, batches, inputs, outputs), strict=True):
        require_sound(_NAME, run_module(torch_source.module, batch, inputs, torch_source.outputs), answer)
    changes = (
        Change(what="bytes", before=source.size_bytes, after=model_size_bytes(path)),
        Change(what="tensors", before=len(torch_source.module.state_dict()), after=len(model.graph.initializer)),
    )
    return StepResult(format="onnx", path=path, inputs=inputs, outputs=outputs, changes=changes)


def _export_dynamo(source: TorchSource, path: Path) -> None:
    """Names are left to the exporter: those it is given can clash with values inside, and it does not notice."""
    import torch

    # A string asks for a dynamic axis of that name whose range the exporter finds out; a Dim with a range of ours
    # is refused as soon as the network has a limit of its own, such as a table of positions.
    program = torch.onnx.export(
        source.module, source.example, dynamo=True, dynamic_shapes=source.dimensions, verbose=False
    )
    program.save(path, external_data=_parameter_bytes(source.module) > EXTERNAL_DATA_FROM_BYTES)


def _export_legacy(source: TorchSource, path: Path) -> None:
    import torch

    if _parameter_bytes(source.module) > EXTERNAL_DATA_FROM_BYTES:
        raise StepFailed(
            f"{_NAME}: the legacy exporter scatters the tensors of a model above 2 GB over hundreds of files",
            hint="choose exporter: dynamo",
        )
    names = [f"deploybench_input_{position}" for position in range(len(source.example))]
    torch.onnx.export(
        source.module,
        source.example,
        path,
        dynamo=False,
        opset_version=_LEGACY_OPSET,
        input_names=names,
        output_names=[f"deploybench_output_{position}" for position in range(len(source.outputs))],
        dynamic_axes=dict(zip(names, source.dimensions, strict=True)),
    )


def _parameter_bytes(module: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())


def _without_natives(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    return tuple(replace(spec, native="") for spec in specs)


STEP = TorchToOnnx()
