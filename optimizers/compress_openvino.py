"""Store the weights of OpenVINO IR in 8 or 4 bits; they are expanded when the model runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.core.artifact import Artifact
from bench.core.contracts import StepResult
from bench.formats.openvino_ir import read_ir
from bench.formats.steps import only_step_failures, table_blockers

from .openvino_model import save_checked

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "compress_openvino"
_HINT = "give it OpenVINO IR of float precision; the log holds NNCF's own words"


@dataclass(frozen=True, kw_only=True, slots=True)
class CompressOpenvinoOptions:
    """`mode`: bits and symmetry of the stored weights. `group_size`: weights that share a scale with INT4_SYM, -1 for
    all of an output channel. `all_layers`: with INT4_SYM also embeddings and the last layer, which else get 8 bits."""

    mode: Literal["INT8_ASYM", "INT8_SYM", "INT4_SYM"] = "INT8_ASYM"
    group_size: int = -1
    all_layers: bool = False


class CompressOpenvino:
    """`nncf.compress_weights` on the model in memory, without any samples."""

    Options = CompressOpenvinoOptions

    def blockers(self, source_format: str, options: CompressOpenvinoOptions) -> Sequence[str]:
        """What the table line says is missing, a group size that no weights can have, and what 8 bits know not."""
        reasons = table_blockers(_NAME, source_format)
        if options.group_size != -1 and options.group_size < 1:
            reasons.append(f"{_NAME} groups at least one weight: choose a group_size above 0, or -1")
        if options.mode != "INT4_SYM" and (options.group_size != -1 or options.all_layers):
            reasons.append(
                f"{_NAME}: group_size and all_layers are for INT4_SYM alone: leave them out of {options.mode}"
            )
        return reasons

    def apply(
        self, source: Artifact, options: CompressOpenvinoOptions, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write `model.xml` and `model.bin` with the same inputs and outputs and narrow weights."""
        with only_step_failures(_NAME, source, hint=_HINT):
            model = _compressed(read_ir(source), options)
            return save_checked(_NAME, source, model, out_dir, examples, ())


def _compressed(model: Any, options: CompressOpenvinoOptions) -> Any:
    import nncf

    only_for_4_bits: dict[str, Any] = {}
    if options.mode == "INT4_SYM":
        only_for_4_bits = {"group_size": options.group_size, "all_layers": options.all_layers}
    return nncf.compress_weights(model, mode=nncf.CompressWeightsMode[options.mode], **only_for_4_bits)


STEP = CompressOpenvino()
