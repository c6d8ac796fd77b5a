"""Replace the parts of a transformer encoder in an ONNX graph by the fused operators of ONNX Runtime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.artifact import Artifact
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.formats.onnx_file import operator_counts
from bench.formats.steps import only_step_failures, table_blockers

from .onnx_models import FILE_NAME, OWN_OPERATORS_NOTE, checked_result, counts_of, save_model

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "fuse_transformer"
_DOMAIN = "com.microsoft"
_HINT = "give num_heads and hidden_size of the encoder; the log holds the library's own words"
_ATTENTION = ("Attention", "MultiHeadAttention")
_FUSED = (
    *_ATTENTION,
    "BiasGelu",
    "EmbedLayerNormalization",
    "FastGelu",
    "Gelu",
    "LayerNormalization",
    "SkipLayerNormalization",
)
_WAY_OUT = "export the encoder by torch_to_onnx with exporter: legacy, the one whose graphs are recognized"


@dataclass(frozen=True, kw_only=True, slots=True)
class FuseTransformerOptions:
    """`num_heads` of each attention and `hidden_size` of a token; 0: read from the graph."""

    num_heads: int = 0
    hidden_size: int = 0


class FuseTransformer:
    """`onnxruntime.transformers.optimizer.optimize_model` for encoders of BERT's kind, by its fusions alone."""

    Options = FuseTransformerOptions

    def blockers(self, source_format: str, options: FuseTransformerOptions) -> Sequence[str]:
        """What the table line says is missing."""
        return table_blockers(_NAME, source_format)

    def apply(
        self, source: Artifact, options: FuseTransformerOptions, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write `model.onnx` with fused attention, normalization and activations, as far as they are recognized."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _fuse(source, options, out_dir, examples)


def _fuse(source: Artifact, options: FuseTransformerOptions, out_dir: Path, examples: Examples | None) -> StepResult:
    import onnx
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model

    model = onnx.load(source.path)
    before = operator_counts(model)
    fusions = FusionOptions("bert")
    # By default a mask becomes the number of its ones: another meaning for texts that are padded on the left.
    fusions.use_raw_attention_mask(True)
    fused = optimize_model(
        model,
        model_type="bert",
        num_heads=options.num_heads,
        hidden_size=options.hidden_size,
        optimization_options=fusions,
        opt_level=0,
    )
    if not any(imported.domain == _DOMAIN for imported in fused.model.opset_import):
        fused.model.opset_import.append(onnx.helper.make_opsetid(_DOMAIN, 1))  # forgotten where no attention is fused
    path = out_dir / FILE_NAME
    save_model(source, fused.model, path)
    return checked_result(_NAME, source, before, path, examples, _notes(source, before, counts_of(path)))


def _notes(source: Artifact, before: Counter[str], after: Counter[str]) -> list[str]:
    gained = [name for name in _FUSED if after[name] > before[name]]
    if not gained:
        raise StepFailed(f"{_NAME}: nothing in {source.path} was recognized, nothing is fused", hint=_WAY_OUT)
    notes = [OWN_OPERATORS_NOTE]
    if not any(after[name] for name in _ATTENTION):
        notes.append(f"no attention was recognized, only {', '.join(gained)}: {_WAY_OUT}")
    return notes


STEP = FuseTransformer()
