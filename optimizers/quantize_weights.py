"""Store the large constants of a frozen graph in 8 bits, with TensorFlow's own graph transform."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import Artifact
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.formats.frozen_graph import node_names, operator_counts, read_graph
from bench.formats.steps import only_step_failures, table_blockers

from .fold import folded
from .frozen_graph import save_checked

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "quantize_weights"
_HINT = "give it a frozen graph that runs (the step freeze makes one); the log holds TensorFlow's own words"
_NO_ENTRY_POINT = (
    "this TensorFlow has no graph transforms (tensorflow/python/util/_pywrap_transform_graph): "
    "pip install tensorflow==2.21.0, which has them"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizeWeightsOptions:
    """`minimum_size`: constants with fewer values stay as they are. `fold`: do what the step fold does first,
    so that the statistics of batch normalization disappear into weights: quantized alone they give NaN."""

    minimum_size: int = 1024
    fold: bool = True


class QuantizeWeights:
    """The graph transform `quantize_weights`, through the compiled entry point that the wheel still carries."""

    Options = QuantizeWeightsOptions

    def blockers(self, source_format: str, options: QuantizeWeightsOptions) -> Sequence[str]:
        """What the table line says is missing, a wheel without graph transforms, and a size below one."""
        reasons = table_blockers(_NAME, source_format)
        if options.minimum_size < 1:
            reasons.append(f"minimum_size is {options.minimum_size}: give 1 or more")
        if not reasons and not _has_entry_point():
            reasons.append(_NO_ENTRY_POINT)
        return reasons

    def apply(
        self, source: Artifact, options: QuantizeWeightsOptions, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write `model.pb` with the same inputs and outputs and 8-bit constants."""
        with only_step_failures(_NAME, source, hint=_HINT):
            graph = read_graph(Path(source.path))
            quantized = _quantized(folded(graph, source) if options.fold else graph, source, options.minimum_size)
            return save_checked(_NAME, source, graph, quantized, out_dir, examples)


def _has_entry_point() -> bool:
    """Whether the wheel carries the compiled module, seen without importing TensorFlow."""
    package = importlib.util.find_spec("tensorflow")
    folders = package.submodule_search_locations if package is not None else None
    return any(any(Path(f, "python", "util").glob("_pywrap_transform_graph.*so")) for f in folders or ())


def _quantized(graph: Any, source: Artifact, minimum_size: int) -> Any:
    try:
        from tensorflow.python.util import _pywrap_transform_graph as transforms
    except ImportError as error:
        raise StepFailed(f"{_NAME}: {_NO_ENTRY_POINT.partition(':')[0]}", hint=_NO_ENTRY_POINT) from error

    content = transforms.TransformGraphWithStringInputs(
        graph.SerializeToString(),
        ",".join(node_names(source.inputs)),
        ",".join(node_names(source.outputs)),
        f"quantize_weights(minimum_size={minimum_size})",
    )
    quantized = type(graph).FromString(content)
    if operator_counts(quantized)["Dequantize"] == operator_counts(graph)["Dequantize"]:
        raise StepFailed(
            f"{_NAME}: {source.path} has no float constant of {minimum_size} values or more to quantize",
            hint="choose a smaller minimum_size, or leave the variant out",
        )
    return quantized


STEP = QuantizeWeights()
