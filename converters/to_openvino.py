"""Write a model as OpenVINO IR."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.artifact import Artifact, Change
from bench.core.contracts import StepResult
from bench.core.plugins import install_hint, lookup
from bench.formats.examples import check_batches, require_sound
from bench.formats.openvino_ir import model_size_bytes, name_border, operator_counts, run_openvino, save_ir
from bench.formats.steps import only_step_failures, table_blockers

from .openvino_sources import PACKAGES, read_source

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "to_openvino"
_HINT = "an operator may have no OpenVINO form; the log holds the library's own words"


@dataclass(frozen=True, kw_only=True, slots=True)
class ToOpenvinoOptions:
    """`compress_to_float16` stores float weights in half precision, as `openvino.save_model` itself does by default."""

    compress_to_float16: bool = False


class ToOpenvino:
    """`openvino.convert_model` and `openvino.save_model`, canonical names, every named dimension dynamic."""

    Options = ToOpenvinoOptions

    def blockers(self, source_format: str, options: ToOpenvinoOptions) -> Sequence[str]:
        """What the table line says is missing, and the framework that the source is checked with."""
        missing = replace(lookup("steps", _NAME), needs=PACKAGES.get(source_format, ())).missing_packages()
        reason = f"{_NAME} from {source_format} needs {', '.join(missing)}, not installed: {install_hint(missing)}"
        return [*table_blockers(_NAME, source_format), *([reason] if missing else [])]

    def apply(
        self, source: Artifact, options: ToOpenvinoOptions, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write `model.xml` and `model.bin`, named by canonical names."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _convert(source, options, out_dir, examples)


def _convert(source: Artifact, options: ToOpenvinoOptions, out_dir: Path, examples: Examples | None) -> StepResult:
    read = read_source(source, examples)
    inputs = tuple(replace(spec, native="") for spec in source.inputs)
    outputs = tuple(replace(spec, native="") for spec in source.outputs)
    name_border(read.model, inputs, outputs, read.input_ports, read.output_ports)
    path = save_ir(read.model, out_dir, compress_to_float16=options.compress_to_float16)

    batches = check_batches(inputs, examples)
    for expected, answer in zip(read.run(batches), run_openvino(path, batches, inputs, outputs), strict=True):
        require_sound(_NAME, expected, answer)
    changes = (
        Change(what="bytes", before=source.size_bytes, after=model_size_bytes(path)),
        Change(what="operators", before=0, after=operator_counts(read.model).total()),
    )
    notes = ("float weights are stored in half precision",) if options.compress_to_float16 else ()
    return StepResult(format="openvino_ir", path=path, inputs=inputs, outputs=outputs, changes=changes, notes=notes)


STEP = ToOpenvino()
