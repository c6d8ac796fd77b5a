"""What the steps on OpenVINO IR share: the last words after NNCF has changed a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import Artifact
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.formats.examples import check_batches, require_sound
from bench.formats.openvino_ir import model_size_bytes, operator_counts, read_ir, run_openvino, save_ir
from bench.formats.steps import count_changes

if TYPE_CHECKING:
    from bench.core.contracts import Examples


def save_checked(
    step: str, source: Artifact, model: Any, out_dir: Path, examples: Examples | None, notes: tuple[str, ...]
) -> StepResult:
    """Write the model that a step made, read it back and run it beside its source; StepFailed where nothing became
    narrower."""
    path = save_ir(model, out_dir, compress_to_float16=False)
    before, after = operator_counts(read_ir(source)), operator_counts(model)
    if after["narrow constants"] <= before["narrow constants"]:
        raise StepFailed(
            f"{step}: {source.path} has no operator with constant weights that can be quantized",
            hint="leave the variant out",
        )
    batches = check_batches(source.inputs, examples)
    expected = run_openvino(Path(source.path), batches, source.inputs, source.outputs)
    for reference, answer in zip(expected, run_openvino(path, batches, source.inputs, source.outputs), strict=True):
        require_sound(step, reference, answer)
    return StepResult(
        format="openvino_ir",
        path=path,
        inputs=source.inputs,
        outputs=source.outputs,
        changes=count_changes(before, after, source.size_bytes, model_size_bytes(path)),
        notes=notes,
    )
