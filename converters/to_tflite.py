"""Write a TensorFlow graph for TensorFlow Lite: in float, with smaller weights, or in 8-bit integers throughout."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.core.artifact import Artifact, Change, TensorSpec
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.formats.examples import batches_of, check_batches, require_sound
from bench.formats.frozen_graph import graph_function, read_graph
from bench.formats.saved_model import frozen_function, serving_function, with_signature_names
from bench.formats.steps import only_step_failures, require_dimensions, table_blockers
from bench.formats.tflite_file import by_position, constant_bytes_by_type, open_interpreter, operator_counts, run_tflite

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch, Examples

_NAME = "to_tflite"
_NAME_INT8 = "to_tflite_int8"
_SIZE = re.compile(r"[^=]+=0*[1-9][0-9]*")
_HINT = "an operator may have no TensorFlow Lite form, or none with dynamic sizes: try the option sizes"
_HINT_INT8 = f"{_HINT}, or float_fallback for operators without an integer form"

_EIGHT_BITS = ("INT8", "INT4")
#: Types of which there must be constants after converting, where the precision asks for any.
_NARROW: Mapping[str, tuple[str, ...]] = {"float32": (), "float16": ("FLOAT16",), "dynamic_int8": _EIGHT_BITS}

Prepare = Callable[[Any], None]
"""Sets up a `tf.lite.TFLiteConverter`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ToTfliteOptions:
    """`precision`: `float16` halves the weights, `dynamic_int8` stores them in 8 bits and quantizes activations at run
    time. `sizes` fixes dynamic dimensions, as "sequence=128", where the converter cannot leave them open."""

    precision: Literal["float32", "float16", "dynamic_int8"] = "float32"
    sizes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ToTfliteInt8Options:
    """`samples` are shown to the model one by one to find the ranges of its activations. `float_fallback` lets
    operators that have no integer form stay in float. `sizes` fixes dynamic dimensions, as "sequence=128"."""

    samples: int = 128
    float_fallback: bool = False
    sizes: tuple[str, ...] = ()


class ToTflite:
    """`TFLiteConverter.from_concrete_functions` over the frozen graph, and never with the model beside it."""

    Options = ToTfliteOptions

    def blockers(self, source_format: str, options: ToTfliteOptions) -> Sequence[str]:
        """What the table line says is missing, and sizes that are none."""
        return [*table_blockers(_NAME, source_format), *_wrong_sizes(options.sizes)]

    def apply(self, source: Artifact, options: ToTfliteOptions, out_dir: Path, examples: Examples | None) -> StepResult:
        """Write `model.tflite` with float inputs and outputs; its answers were seen to be as sound as the source's."""

        def prepare(converter: Any) -> None:
            import tensorflow as tf

            if options.precision != "float32":
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if options.precision == "float16":
                converter.target_spec.supported_types = [tf.float16]

        with only_step_failures(_NAME, source, hint=_HINT):
            sizes, narrow = _sizes(options.sizes), _NARROW[options.precision]
            return _convert(_NAME, source, sizes, prepare, out_dir, examples, narrow)


class ToTfliteInt8:
    """The same with weights and activations in 8 bits, over ranges seen on examples; inputs and outputs stay float."""

    Options = ToTfliteInt8Options

    def blockers(self, source_format: str, options: ToTfliteInt8Options) -> Sequence[str]:
        """What the table line says is missing, sizes that are none, and fewer than one sample."""
        reasons = [*table_blockers(_NAME_INT8, source_format), *_wrong_sizes(options.sizes)]
        if options.samples < 1:
            reasons.append(f"samples is {options.samples}: give 1 or more")
        return reasons

    def apply(
        self, source: Artifact, options: ToTfliteInt8Options, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write `model.tflite`; its answers were seen to be as sound as the source's."""
        with only_step_failures(_NAME_INT8, source, hint=_HINT_INT8):
            sizes = _sizes(options.sizes)
            samples = _samples(source, options, _fixed(source.inputs, sizes), examples)

            def prepare(converter: Any) -> None:
                import tensorflow as tf

                kernels = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
                if options.float_fallback:
                    kernels.append(tf.lite.OpsSet.TFLITE_BUILTINS)
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
                converter.representative_dataset = lambda: _in_order(samples, source.inputs)
                converter.target_spec.supported_ops = kernels

            return _convert(_NAME_INT8, source, sizes, prepare, out_dir, examples, _EIGHT_BITS)


def _samples(
    source: Artifact, options: ToTfliteInt8Options, inputs: Sequence[TensorSpec], examples: Examples | None
) -> Sequence[Batch]:
    """Of one sample each, or of as many as a fixed batch holds."""
    if examples is None:
        raise StepFailed(f"{_NAME_INT8} was given no examples to find ranges on", hint="name examples in the matrix")
    require_dimensions(_NAME_INT8, "sizes", _sizes(options.sizes), source.inputs)
    samples = batches_of(examples, inputs, size=1, count=options.samples)
    if not samples:
        count = len(next(iter(examples.inputs.values())))
        raise StepFailed(
            f"{_NAME_INT8}: the examples have {count} samples, fewer than one batch of the model holds",
            hint="name more examples in the matrix, or leave the batch open",
        )
    _require_sizes(inputs, examples)
    return samples


def _require_sizes(inputs: Sequence[TensorSpec], examples: Examples) -> None:
    for spec in inputs:
        given = examples.inputs[spec.name].shape
        for axis, size in enumerate(spec.shape[1:], start=1):
            if isinstance(size, int) and given[axis] != size:
                raise StepFailed(
                    f"{_NAME_INT8}: input {spec.name!r} takes {size} on axis {axis}, the examples have {given[axis]}",
                    hint=f"say that size in sizes, or give examples of size {size}",
                )


def _in_order(samples: Sequence[Batch], inputs: Sequence[TensorSpec]) -> Iterator[list[Array]]:
    for sample in samples:
        yield [sample[spec.name] for spec in inputs]


def _convert(
    step: str,
    source: Artifact,
    sizes: Mapping[str, int],
    prepare: Prepare,
    out_dir: Path,
    examples: Examples | None,
    narrow: Sequence[str],
) -> StepResult:
    import tensorflow as tf

    require_dimensions(step, "sizes", sizes, source.inputs)
    inputs, outputs = _fixed(source.inputs, sizes), _fixed(source.outputs, sizes)
    function = _with_shapes(_function(source), inputs)
    # Frozen, and without the model that it came from: given both, the converter loses the variables of Keras 3 and
    # writes a small file whose answers are not numbers, without any error.
    frozen = frozen_function(function, lower_control_flow=False)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    prepare(converter)
    path = out_dir / "model.tflite"
    path.write_bytes(converter.convert())
    before, after = _constant_bytes_by_type(frozen.graph), constant_bytes_by_type(path)
    if narrow and sum(after[name] - before[name] for name in narrow) <= 0:
        raise StepFailed(
            f"{step}: {source.path} has no weights that became {' or '.join(narrow)}",
            hint="small weights stay in float, and so do operators without another form; leave the variant out",
        )

    interpreter = open_interpreter(path, threads=1)
    inputs = by_position(interpreter, inputs, kind="input")
    outputs = by_position(interpreter, outputs, kind="output")
    batches = check_batches(inputs, examples)
    for batch, answer in zip(batches, run_tflite(path, batches, inputs, outputs), strict=True):
        expected = function(*(tf.constant(batch[spec.name]) for spec in inputs))
        named = {spec.name: value.numpy() for spec, value in zip(outputs, expected, strict=True)}
        require_sound(step, named, answer)
    changes = (
        Change(what="bytes", before=source.size_bytes, after=path.stat().st_size),
        Change(what="nodes", before=len(frozen.graph.get_operations()), after=operator_counts(path).total()),
        *(
            Change(what=f"bytes of {name} constants", before=before[name], after=after[name])
            for name in sorted(before.keys() | after.keys())
        ),
    )
    return StepResult(format="tflite", path=path, inputs=inputs, outputs=outputs, changes=changes)


def _function(source: Artifact) -> Any:
    """The source as a function from tensors in the order of its inputs to those of its outputs."""
    if source.format == "saved_model":
        return serving_function(Path(source.path), source.inputs, source.outputs)
    return graph_function(read_graph(Path(source.path)), source.inputs, source.outputs)


def _with_shapes(function: Any, inputs: Sequence[TensorSpec]) -> Any:
    import tensorflow as tf

    signature = [
        tf.TensorSpec([None if isinstance(size, str) else size for size in spec.shape], spec.dtype, spec.native)
        for spec in with_signature_names(inputs)
    ]
    return tf.function(lambda *tensors: list(function(*tensors)), input_signature=signature, autograph=False)


def _wrong_sizes(sizes: Sequence[str]) -> list[str]:
    return [
        f'sizes has {entry!r}: write dimension and size, as "sequence=128"'
        for entry in sizes
        if not _SIZE.fullmatch(entry)
    ]


def _sizes(entries: Sequence[str]) -> dict[str, int]:
    return {entry.partition("=")[0]: int(entry.partition("=")[2]) for entry in entries}


def _fixed(specs: Sequence[TensorSpec], sizes: Mapping[str, int]) -> tuple[TensorSpec, ...]:
    """The specs with sizes instead of the named dimensions in `sizes`."""
    return tuple(
        replace(spec, shape=tuple(sizes.get(size, size) if isinstance(size, str) else size for size in spec.shape))
        for spec in specs
    )


def _constant_bytes_by_type(graph: Any) -> Counter[str]:
    counts: Counter[str] = Counter()
    for operation in graph.get_operations():
        if operation.type == "Const":
            (value,) = operation.outputs
            counts[value.dtype.name.upper()] += value.dtype.size * (value.shape.num_elements() or 0)
    return counts


STEP = ToTflite()
STEP_INT8 = ToTfliteInt8()
