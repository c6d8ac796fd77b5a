"""Write a torch module made of plain layers in a row as a Keras model, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.artifact import Artifact, Change, TensorSpec
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.core.files import tree_size_bytes
from bench.formats.examples import check_batches, require_sound
from bench.formats.keras_file import in_order_of_specs, load_keras, prefer_tensorflow
from bench.formats.networks import Network, network_of, weights_of, write_keras
from bench.formats.steps import only_step_failures, table_blockers
from bench.formats.torch_source import load_source

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "torch_to_keras"
_HINT = "write it as ONNX with torch_to_onnx, and from there as a SavedModel"
_INPUT, _OUTPUT = "input", "output"  # what `write_keras` calls them


@dataclass(frozen=True, kw_only=True, slots=True)
class TorchToKerasOptions:
    """There is nothing to choose."""


class TorchToKeras:
    """A Keras model of the same layers, which is given the weights one layer after another."""

    Options = TorchToKerasOptions

    def blockers(self, source_format: str, options: TorchToKerasOptions) -> Sequence[str]:
        """What the table line says is missing."""
        return table_blockers(_NAME, source_format)

    def apply(
        self, source: Artifact, options: TorchToKerasOptions, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write `model.keras`; its input stays [batch, height, width, channels]."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _convert(source, out_dir, examples)


def _convert(source: Artifact, out_dir: Path, examples: Examples | None) -> StepResult:
    prefer_tensorflow()

    torch_source = load_source(source, examples)
    module = torch_source.module
    network = _plain_network(source, network_of(module))
    weights = weights_of(module)
    path = write_keras(network.layers, network.input_shape, weights, out_dir / "model.keras", "converted")
    inputs, outputs = _named(source.inputs, _INPUT), _named(source.outputs, _OUTPUT)

    model = load_keras(path)
    call = in_order_of_specs(model, inputs, outputs)
    batches = check_batches(source.inputs, examples)
    for batch, expected in zip(batches, torch_source.answers(batches, source.inputs), strict=True):
        answers = call(*(batch[spec.name] for spec in inputs))
        require_sound(
            _NAME, expected, {spec.name: tensor.numpy() for spec, tensor in zip(outputs, answers, strict=True)}
        )
    changes = (
        Change(what="bytes", before=source.size_bytes, after=tree_size_bytes(path)),
        Change(what="tensors", before=len(module.state_dict()), after=len(model.weights)),
    )
    return StepResult(format="keras", path=path, inputs=inputs, outputs=outputs, changes=changes)


def _plain_network(source: Artifact, network: Network | None) -> Network:
    if network is None:
        raise StepFailed(
            f"{_NAME}: {source.path} is not a network of plain layers in a row, the only kind that is copied layer by "
            "layer",
            hint=_HINT,
        )
    if any(kind == "sign" for kind, _ in network.layers):
        raise StepFailed(
            f"{_NAME}: {source.path} has layers that keep only signs, and Keras has none that loads without code",
            hint="binarize it without the option activations",
        )
    return network


def _named(specs: Sequence[TensorSpec], native: str) -> tuple[TensorSpec, ...]:
    return tuple(replace(spec, native="" if spec.name == native else native) for spec in specs)


STEP = TorchToKeras()
