"""Quantize the dense and embedding layers of a Keras model, with Keras's own `quantize`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.core.artifact import Artifact, Change
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.formats.examples import check_batches, require_sound
from bench.formats.keras_file import in_order_of_specs, load_keras, prefer_tensorflow
from bench.formats.steps import only_step_failures, table_blockers

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "quantize_keras"
_HINT = "save the model with model.save('model.keras'), without custom objects; the log holds Keras's own words"


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizeKerasOptions:
    """`mode` is the type that the weights are stored in."""

    mode: Literal["int8", "int4"] = "int8"


class QuantizeKeras:
    """`model.quantize(mode)`, saved as a Keras archive that every backend reads."""

    Options = QuantizeKerasOptions

    def blockers(self, source_format: str, options: QuantizeKerasOptions) -> Sequence[str]:
        """What the table line says is missing."""
        return table_blockers(_NAME, source_format)

    def apply(
        self, source: Artifact, options: QuantizeKerasOptions, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write `model.keras` with the same inputs and outputs; convolutions stay as they are."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _quantize(source, options, out_dir, examples)


def _quantize(source: Artifact, options: QuantizeKerasOptions, out_dir: Path, examples: Examples | None) -> StepResult:
    prefer_tensorflow()
    model = load_keras(Path(source.path))
    batches = check_batches(source.inputs, examples)
    expected = [_answers(model, source, batch) for batch in batches]
    model.quantize(options.mode)
    layers, quantized = len(_layers(model)), _quantized_layers(model)
    if not quantized:
        raise StepFailed(
            f"{_NAME}: {source.path} has no dense or embedding layer to quantize",
            hint="Keras quantizes no convolutions; quantize the TensorFlow Lite or ONNX file instead",
        )
    path = out_dir / "model.keras"
    model.save(path)

    reloaded = load_keras(path)
    for batch, reference in zip(batches, expected, strict=True):
        require_sound(_NAME, reference, _answers(reloaded, source, batch))
    changes = (
        Change(what="bytes", before=source.size_bytes, after=path.stat().st_size),
        Change(what="quantized layers", before=0, after=quantized),
        Change(what="layers", before=layers, after=len(_layers(reloaded))),
    )
    notes = (f"{quantized} of {layers} layers are quantized: Keras leaves convolutions in float",)
    return StepResult(
        format="keras", path=path, inputs=source.inputs, outputs=source.outputs, changes=changes, notes=notes
    )


def _answers(model: Any, source: Artifact, batch: Any) -> dict[str, Any]:
    call = in_order_of_specs(model, source.inputs, source.outputs)
    answers = call(*(batch[spec.name] for spec in source.inputs))
    return {spec.name: answer.numpy() for spec, answer in zip(source.outputs, answers, strict=True)}


def _layers(model: Any) -> list[Any]:
    """The layers that hold no others, also those inside nested models and layers: what `quantize` looks at."""
    return [layer for layer in model._flatten_layers() if len(list(layer._flatten_layers())) == 1]  # noqa: SLF001


def _quantized_layers(model: Any) -> int:
    """Layers whose policy of types Keras made one of quantization."""
    return sum(getattr(layer, "quantization_mode", None) is not None for layer in _layers(model))


STEP = QuantizeKeras()
