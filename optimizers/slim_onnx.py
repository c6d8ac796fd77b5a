"""Simplify an ONNX graph with onnxslim: fold constants, drop dead and doubled nodes, stay within ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.artifact import Artifact
from bench.core.contracts import StepResult
from bench.formats.onnx_file import operator_counts
from bench.formats.steps import only_step_failures, table_blockers

from .onnx_models import FILE_NAME, checked_result, counts_of, save_model

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "slim_onnx"
_HINT = "leave the variant out; the log holds onnxslim's own words"


@dataclass(frozen=True, kw_only=True, slots=True)
class SlimOnnxOptions:
    """There is nothing to choose."""


class SlimOnnx:
    """`onnxslim.slim` on the model in memory."""

    Options = SlimOnnxOptions

    def blockers(self, source_format: str, options: SlimOnnxOptions) -> Sequence[str]:
        """What the table line says is missing."""
        return table_blockers(_NAME, source_format)

    def apply(self, source: Artifact, options: SlimOnnxOptions, out_dir: Path, examples: Examples | None) -> StepResult:
        """Write `model.onnx` with the same inputs and outputs and fewer nodes where any were superfluous."""
        with only_step_failures(_NAME, source, hint=_HINT):
            import onnx
            import onnxslim

            model = onnx.load(source.path)
            before = operator_counts(model)
            path = out_dir / FILE_NAME
            save_model(source, onnxslim.slim(model), path)
            idle = counts_of(path) == before
            notes = [f"{_NAME} found nothing to do: the graph holds the same operators as before"] if idle else []
            return checked_result(_NAME, source, before, path, examples, notes)


STEP = SlimOnnx()
