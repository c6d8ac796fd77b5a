"""Save an ONNX model as ONNX Runtime's own graph optimizer leaves it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.core.artifact import Artifact
from bench.core.contracts import StepResult
from bench.formats.onnx_file import EXTERNAL_DATA_FROM_BYTES, EXTERNAL_DATA_SUFFIX
from bench.formats.steps import only_step_failures, table_blockers

from .onnx_models import FILE_NAME, OWN_OPERATORS_NOTE, checked_result, counts_of, has_own_operators

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "optimize_onnx"
_HINT = "give it an ONNX file that ONNX Runtime can open; the log holds the library's own words"
_MACHINE_SPECIFIC = (
    "laid out for the vector units of the CPU that made it: slow or not readable on another kind of CPU, and no other "
    "tool reads it"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizeOnnxOptions:
    """`level`: `basic` stays within ONNX, `extended` fuses to operators of ONNX Runtime's own, `all` also changes
    layouts for this machine's CPU."""

    level: Literal["basic", "extended", "all"] = "extended"


class OptimizeOnnx:
    """`SessionOptions.optimized_model_filepath` at the chosen level."""

    Options = OptimizeOnnxOptions

    def blockers(self, source_format: str, options: OptimizeOnnxOptions) -> Sequence[str]:
        """What the table line says is missing."""
        return table_blockers(_NAME, source_format)

    def apply(
        self, source: Artifact, options: OptimizeOnnxOptions, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write `model.onnx` with the same inputs and outputs and a smaller graph."""
        with only_step_failures(_NAME, source, hint=_HINT):
            before = counts_of(source.path)
            path = out_dir / FILE_NAME
            _optimize(source, options, path)
            return checked_result(_NAME, source, before, path, examples, _notes(before, path, options))


def _optimize(source: Artifact, options: OptimizeOnnxOptions, path: Path) -> None:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    level = f"ORT_ENABLE_{options.level.upper()}"
    settings.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    settings.optimized_model_filepath = str(path)
    if source.size_bytes > EXTERNAL_DATA_FROM_BYTES:
        beside = path.name + EXTERNAL_DATA_SUFFIX
        settings.add_session_config_entry("session.optimized_model_external_initializers_file_name", beside)
    onnxruntime.InferenceSession(str(Path(source.path).resolve()), settings, providers=["CPUExecutionProvider"])


def _notes(before: Counter[str], path: Path, options: OptimizeOnnxOptions) -> list[str]:
    import onnx

    notes = []
    if counts_of(path) == before:
        notes.append(f"{_NAME} found nothing to do: the graph holds the same operators as before")
    if options.level == "all":
        notes.append(_MACHINE_SPECIFIC)
    elif has_own_operators(onnx.load(path, load_external_data=False)):
        notes.append(OWN_OPERATORS_NOTE)
    return notes


STEP = OptimizeOnnx()
