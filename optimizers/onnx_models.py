"""ONNX models as the steps need them: what counts as quantized, and the check that ends every step."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import Artifact
from bench.core.contracts import StepResult
from bench.formats.examples import check_batches, require_sound
from bench.formats.onnx_file import (
    EXTERNAL_DATA_FROM_BYTES,
    EXTERNAL_DATA_SUFFIX,
    all_graphs,
    model_size_bytes,
    operator_counts,
    run_onnx,
)
from bench.formats.steps import count_changes

if TYPE_CHECKING:
    from bench.core.contracts import Examples

FILE_NAME = "model.onnx"
OWN_OPERATORS_NOTE = "holds fused operators of ONNX Runtime, which other runtimes do not know"
_OWN_DOMAIN = "com.microsoft"


def save_model(source: Artifact, model: Any, path: Path) -> None:
    """Write a ModelProto; the weights of one made from a source beyond the limit of a message lie beside it."""
    import onnx

    if source.size_bytes > EXTERNAL_DATA_FROM_BYTES:
        beside = path.name + EXTERNAL_DATA_SUFFIX
        onnx.save(model, path, save_as_external_data=True, all_tensors_to_one_file=True, location=beside)
    else:
        onnx.save(model, path)


def counts_of(path: str | Path) -> Counter[str]:
    """How often each operator stands in the file."""
    import onnx

    return operator_counts(onnx.load(path, load_external_data=False))


def has_own_operators(model: Any) -> bool:
    """Whether a ModelProto holds operators that only ONNX Runtime knows."""
    return any(node.domain.startswith(_OWN_DOMAIN) for graph in all_graphs(model.graph) for node in graph.node)


def quantized_nodes(counts: Counter[str]) -> int:
    """MatMulInteger, DynamicQuantizeLinear, DequantizeLinear, QAttention ... in ONNX and in ONNX Runtime's domain."""
    return sum(count for name, count in counts.items() if re.search(r"Quantize|Integer|NBits|^Q[A-Z]", name))


def checked_result(
    step: str,
    source: Artifact,
    before: Counter[str],
    path: Path,
    examples: Examples | None,
    notes: Sequence[str] = (),
) -> StepResult:
    """Run the file that a step wrote beside its source on tiny batches; StepFailed unless it answers soundly."""
    batches = check_batches(source.inputs, examples)
    expected = run_onnx(Path(source.path), batches, source.inputs, source.outputs)
    for reference, answer in zip(expected, run_onnx(path, batches, source.inputs, source.outputs), strict=True):
        require_sound(step, reference, answer)
    return StepResult(
        format="onnx",
        path=path,
        inputs=source.inputs,
        outputs=source.outputs,
        changes=count_changes(before, counts_of(path), source.size_bytes, model_size_bytes(path)),
        notes=tuple(notes),
    )
