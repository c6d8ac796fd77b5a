"""Build a TensorRT engine of an ONNX model, ahead of time: no GPU is needed for that."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import Artifact, Change, TensorSpec
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.formats.onnx_file import operator_counts
from bench.formats.steps import only_step_failures, require_dimensions, table_blockers
from bench.formats.tensorrt_engine import (
    FILE_NAME,
    builders,
    cuda_device_count,
    keeping_logger,
    ladder,
    load_library,
)

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "onnx_to_tensorrt"
_HINT = "the log holds TensorRT's own words"
_HINT_QUANTIZED = (
    "TensorRT reads symmetric QDQ, and no quantized Gather: quantize_static with symmetric: true and op_types"
)
_HINT_OPERATORS = (
    "replace or fold these operators (slim_onnx, optimize_onnx with level: basic), or leave the variant out"
)
_RANGE = re.compile(r"(?P<name>.+)=(?P<min>\d+):(?P<opt>\d+):(?P<max>\d+)")
_MESSAGE_MAX_CHARS = 240
_TF32_OFF = "float products are computed in full precision (TF32 is off)"
_TF32_ON = "float products may be computed with factors rounded to TF32"


@dataclass(frozen=True, kw_only=True, slots=True)
class OnnxToTensorrtOptions:
    """`compute_capabilities`: the GPUs to build for, with tensorrt_rtx; tensorrt builds for the GPU that is here.
    `min_batch`, `opt_batch`, `max_batch`: sizes of the batch that the engine takes, and the one it is made for.
    `ranges`: the same for any named dimension, as `sequence=1:32:128`, which is what one gets that is not listed.
    `tf32` lets the GPU round the factors of float products to 10 bits of mantissa, as the builder itself does."""

    compute_capabilities: tuple[str, ...] = ("SM86", "SM89", "SM120")
    min_batch: int = 1
    opt_batch: int = 1
    max_batch: int = 32
    ranges: tuple[str, ...] = ()
    tf32: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class _Coverage:
    """How many nodes the parser takes, and the kinds of those it does not."""

    nodes: int
    taken: int
    missing: tuple[str, ...]


class OnnxToTensorrt:
    """`OnnxParser` and `build_serialized_network` of tensorrt, or of tensorrt_rtx, which needs no GPU to build."""

    Options = OnnxToTensorrtOptions

    def blockers(self, source_format: str, options: OnnxToTensorrtOptions) -> Sequence[str]:
        """What the table line says is missing, sizes that are none, and a host with no library that can build."""
        reasons = [*table_blockers(_NAME, source_format), *_wrong_ranges(options)]
        if not reasons and not builders():
            ways = "; ".join(f"{rung.name}: {rung.reason}" for rung in ladder())
            reasons.append(f"{_NAME} finds no way to TensorRT ({ways}): pip install tensorrt-rtx")
        return reasons

    def apply(
        self, source: Artifact, options: OnnxToTensorrtOptions, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write `model.engine` with the source's names; nothing runs it here unless there is a GPU."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _build(source, options, out_dir)


def _build(source: Artifact, options: OnnxToTensorrtOptions, out_dir: Path) -> StepResult:
    import onnx

    counts = operator_counts(onnx.load(source.path, load_external_data=False))
    require_dimensions(_NAME, "ranges", _named_ranges(options), source.inputs)
    name = next(iter(builders()), "")
    if not name:
        raise StepFailed(f"{_NAME}: no library here can build an engine", hint="pip install tensorrt-rtx")
    library = load_library(name)
    logger = keeping_logger(library)
    builder = library.Builder(logger)
    coverage = _coverage(library, logger, builder, source)
    network, _owner = _parsed(library, logger, builder, source, coverage)
    config = builder.create_builder_config()
    if not options.tf32:
        config.clear_flag(library.BuilderFlag.TF32)
    config.add_optimization_profile(_profile(builder, network, source.inputs, _ranges_of(source.inputs, options)))
    targets = _set_targets(library, config, options, name)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        is_quantized = any("QuantizeLinear" in operator for operator in counts)
        raise StepFailed(_said(f"for {targets} no engine was built", logger), hint=_hint(is_quantized))
    path = out_dir / FILE_NAME
    path.write_bytes(plan)
    _require_readable(library, logger, path)
    changes = (
        Change(what="bytes", before=source.size_bytes, after=path.stat().st_size),
        Change(what="layers", before=counts.total(), after=network.num_layers),
        Change(what="operators that TensorRT takes", before=coverage.nodes, after=coverage.taken),
    )
    notes = (f"built by {name} {library.__version__} for {targets}", _TF32_ON if options.tf32 else _TF32_OFF)
    return StepResult(
        format="tensorrt_engine",
        path=path,
        inputs=source.inputs,
        outputs=source.outputs,
        changes=changes,
        notes=notes,
    )


def _coverage(library: Any, logger: Any, builder: Any, source: Artifact) -> _Coverage:
    """On a parser of its own: one that was asked for support must not parse."""
    import onnx

    nodes = onnx.load(source.path, load_external_data=False).graph.node
    network = builder.create_network(0)  # a parser does not keep its network alive, and crashes without it
    parser = library.OnnxParser(network, logger)
    parser.supports_model_v2(Path(source.path).read_bytes(), source.path)
    taken: set[int] = set()
    for index in range(parser.num_subgraphs):
        if parser.is_subgraph_supported(index):
            taken |= set(parser.get_subgraph_nodes(index))
    missing = {node.op_type for index, node in enumerate(nodes) if index not in taken}
    logger.messages.clear()  # what it says of single operators is said again, better, by parsing
    return _Coverage(nodes=len(nodes), taken=len(taken), missing=tuple(sorted(missing)))


def _parsed(library: Any, logger: Any, builder: Any, source: Artifact, coverage: _Coverage) -> tuple[Any, Any]:
    """The network and its parser, which owns the weights and must live until the engine is built."""
    network = builder.create_network(0)
    parser = library.OnnxParser(network, logger)
    if not parser.parse_from_file(source.path):
        problem = f"{coverage.taken} of {coverage.nodes} operators are taken, not {', '.join(coverage.missing)}"
        hint = _HINT_OPERATORS
        if any("QuantizeLinear" in operator for operator in coverage.missing):
            hint = _HINT_QUANTIZED
        raise StepFailed(_said(problem, logger), hint=hint)
    return network, parser


def _profile(
    builder: Any, network: Any, inputs: Sequence[TensorSpec], ranges: Mapping[str, tuple[int, int, int]]
) -> Any:
    profile = builder.create_optimization_profile()
    specs = {spec.native_name: spec for spec in inputs}
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        if -1 not in tuple(tensor.shape):
            continue
        sizes = [
            [
                ranges.get(size, (1, 32, 128))[limit] if isinstance(size, str) else size
                for size in specs[tensor.name].shape
            ]
            for limit in range(3)
        ]
        profile.set_shape(tensor.name, *sizes)
    return profile


def _set_targets(library: Any, config: Any, options: OnnxToTensorrtOptions, name: str) -> str:
    """Say which GPUs to build for, where the library can build for others than the one that is here."""
    if name != "tensorrt_rtx":
        return "the GPU of this machine"
    known = library.ComputeCapability.__members__
    unknown = [capability for capability in options.compute_capabilities if capability not in known]
    if unknown or not options.compute_capabilities:
        raise StepFailed(
            f"{_NAME}: compute_capabilities has {', '.join(unknown) or 'nothing'}",
            hint=f"choose from {', '.join(each for each in known if each.startswith('SM'))}",
        )
    config.num_compute_capabilities = len(options.compute_capabilities)
    for index, capability in enumerate(options.compute_capabilities):
        config.set_compute_capability(known[capability], index)
    return ", ".join(options.compute_capabilities)


def _require_readable(library: Any, logger: Any, path: Path) -> None:
    """Without a GPU an engine cannot be loaded; what the library can tell all the same is that it is malformed."""
    runtime = library.Runtime(logger)
    if cuda_device_count() == 0:
        _, diagnostics = runtime.get_engine_validity(path.read_bytes())
        is_broken = bool(int(diagnostics) & int(library.EngineInvalidityDiagnostics.MALFORMED_ENGINE))
    else:
        is_broken = runtime.deserialize_cuda_engine(path.read_bytes()) is None
    if is_broken:
        raise StepFailed(_said("the engine cannot be read back", logger), hint=_HINT)


def _ranges_of(inputs: Sequence[TensorSpec], options: OnnxToTensorrtOptions) -> dict[str, tuple[int, int, int]]:
    """By dimension; where none is called batch, it is the first axis."""
    named = {size for spec in inputs for size in spec.shape if isinstance(size, str)}
    first = named & {spec.shape[0] for spec in inputs if spec.shape}
    return dict.fromkeys(named & {"batch"} or first, _batch_range(options)) | _named_ranges(options)


def _batch_range(options: OnnxToTensorrtOptions) -> tuple[int, int, int]:
    return options.min_batch, options.opt_batch, options.max_batch


def _named_ranges(options: OnnxToTensorrtOptions) -> dict[str, tuple[int, int, int]]:
    matches = filter(None, map(_RANGE.fullmatch, options.ranges))
    return {match["name"]: (int(match["min"]), int(match["opt"]), int(match["max"])) for match in matches}


def _wrong_ranges(options: OnnxToTensorrtOptions) -> list[str]:
    ranges = {"the batch": _batch_range(options), **_named_ranges(options)}
    reasons = [
        f"ranges has {text!r}: write a dimension as sequence=1:32:128"
        for text in options.ranges
        if not _RANGE.fullmatch(text)
    ]
    reasons += [
        f"the sizes of {name} are {least}, {best}, {most}: give them in this order, the least 1 or more"
        for name, (least, best, most) in ranges.items()
        if not 1 <= least <= best <= most
    ]
    return reasons


def _said(problem: str, logger: Any) -> str:
    words = next(iter(logger.messages), "TensorRT says nothing more")
    return f"{_NAME}: {problem}: {words[:_MESSAGE_MAX_CHARS]}"


def _hint(is_quantized: bool) -> str:  # noqa: FBT001
    return _HINT_QUANTIZED if is_quantized else _HINT


STEP = OnnxToTensorrt()
