"""A run as the quantized matrix gives it: many variants of each model, labels, notes, an engine that could not run."""

from __future__ import annotations

import json
from pathlib import Path

from bench.core.cell import Cell
from bench.explain.speed import COVERAGE_FORMULA, Explanation, KindDelta, OperatorTime, Share, Side
from bench.records import RunDirectory, write_explanation
from tests.report.synthetic import Models, Shape, write_synthetic_run

_BUILT_NOT_RUN = (
    "built by tensorrt_rtx 1.2.0 for sm_80, sm_89",
    "no CUDA device is visible; the engine was built and never run",
)
_MACHINE_SPECIFIC = "the file holds layouts for this machine's processor: make it anew on another one"
_NO_KERNEL = "no binary kernel is used: signs are computed as float32"

MODELS: Models = {
    "seed_cnn": (
        41.0,
        False,
        (
            Shape("frozen", "tensorflow", 1.0, 27.1),
            Shape("frozen-folded", "tensorflow", 0.97, 26.9, 4e-7),
            Shape("frozen-int8", "tensorflow", 1.31, 6.9, 0.021, 0.9971),
            Shape("tflite", "litert", 0.62, 26.7, 9e-7),
            Shape("tflite-int8", "litert", 0.41, 6.8, 0.04, 0.9987, notes=("ranges were learned from 64 samples",)),
            Shape("torch", "torch", 0.92, 27.0, 9.2e-7, spread=0.06),
            Shape("torch-int8", "torch", 0.51, 6.9, 0.05, 0.9962, compile_s=14.2, build_s=31.0),
            Shape("onnx", "onnxruntime", 0.44, 26.8, 1.3e-6, notes=(_MACHINE_SPECIFIC,)),
            Shape("onnx-int8-static", "onnxruntime", 0.27, 6.8, 0.03, 0.9981, build_s=18.4),
            Shape("openvino", "openvino", 0.42, 26.8, 1.1e-6),
            Shape("openvino-bf16", "openvino", 0.28, 26.8, 0.008, 0.99996),
            Shape(
                "openvino-int8", "openvino", 0.272, 6.9, 0.03, 0.9989, spread=0.03,
                notes=("ranges of activations were learned from 128 samples, one at a time",),
            ),
            Shape("binarized", "torch", 1.1, 1.2, 0.9, 0.31, status="invalid", notes=(_NO_KERNEL,)),
            Shape(
                "tensorrt-int8", "tensorrt", 1.0, 12.4, status="skipped", notes=_BUILT_NOT_RUN, build_s=74.0,
                format="tensorrt_engine",
            ),
        ),
    ),
    "digits": (
        0.31,
        True,
        (
            Shape("keras", "tensorflow", 1.0, 0.38, wrong=11),
            Shape("frozen-int8", "tensorflow", 0.71, 0.12, 0.008, 0.9993, wrong=12),
            Shape("tflite-int8", "litert", 0.056, 0.11, 0.02, 0.998, wrong=13),
            Shape("onnx", "onnxruntime", 0.082, 0.36, 2e-7, wrong=11),
            Shape("onnx-int8", "onnxruntime", 0.0855, 0.11, 0.02, 0.998, wrong=15, spread=0.03),
            Shape("onnx-int8-static", "onnxruntime", 0.057, 0.11, 0.02, 0.998, wrong=12, spread=0.03),
            Shape("openvino-int8", "openvino", 0.21, 0.12, 0.02, 0.998, wrong=12),
            Shape("torch-int8", "torch", 0.29, 0.13, 0.02, 0.998, wrong=14),
        ),
    ),
    "mnist": (
        0.92,
        True,
        (
            Shape("torch", "torch", 1.0, 1.7, wrong=11),
            Shape("pruned", "torch", 1.01, 1.7, 0.2, 0.99, wrong=13),
            Shape("pruned-structured", "torch", 0.55, 0.5, 0.3, 0.98, wrong=16),
            Shape("distilled", "torch", 0.31, 0.2, 0.5, 0.95, wrong=17),
            Shape("binarized", "torch", 1.12, 0.07, 0.9, 0.4, wrong=180, status="invalid", notes=(_NO_KERNEL,)),
            Shape("torch-int8", "torch", 0.83, 0.5, 0.02, 0.998, wrong=11, compile_s=9.1),
            Shape("onnx-int8-static", "onnxruntime", 0.305, 0.45, 0.02, 0.998, wrong=12, spread=0.03),
            Shape("openvino-int8", "openvino", 0.4, 0.46, 0.02, 0.998, wrong=12),
        ),
    ),
    "basic_pitch": (
        55.0,
        False,
        (
            Shape("saved_model", "tensorflow", 1.0, 0.23),
            Shape("frozen-folded", "tensorflow", 0.995, 0.22, 0.0),
            Shape("tflite-int8-dynamic", "litert", 1.09, 0.08, 0.03, 0.9991),
            Shape("onnx", "onnxruntime", 1.17, 0.23, 3.1e-5),
            Shape("onnx-int8", "onnxruntime", 1.0, 0.1, status="failed"),
            Shape("openvino-bf16", "openvino", 0.96, 0.23, 0.01, 0.9997, spread=0.05),
        ),
    ),
}  # fmt: skip


def write_quantized_run(results_dir: Path) -> RunDirectory:
    """The run, with two explanations and a profile of what was measured."""
    run = write_synthetic_run(results_dir, MODELS, blocks=4)
    records, _ = run.records()
    cells = {(record.cell.model.name, record.cell.variant.name): record.cell for record in records}
    for a, b in (("frozen", "frozen-int8"), ("frozen", "openvino-bf16")):
        first, second = cells["seed_cnn", a], cells["seed_cnn", b]
        write_explanation(run.path, "explanations", first.id, second.id, _explanation(first, second))
    write_profile(run, cells["seed_cnn", "openvino-bf16"].id)
    return run


def write_profile(run: RunDirectory, cell_id: str, names: tuple[str, ...] = ("trace.json", "ops.csv")) -> None:
    """An index with files beside it, as a look at one cell leaves them."""
    home = run.path / "profiles" / cell_id
    home.mkdir(parents=True)
    for name in names:
        if "/" not in name:
            (home / name).write_text("{}")
    files = [{"path": name, "what": "what a profiler saw", "profiler": ""} for name in names]
    (home / "index.json").write_text(json.dumps({"schema_version": 1, "cell_id": cell_id, "files": files}))


def _explanation(a: Cell, b: Cell) -> Explanation:
    faster = b.variant.name != "frozen-int8"
    walls_ms = (41.2, 11.5 if faster else 54.0)
    gap_ms = walls_ms[1] - walls_ms[0]
    kinds = tuple(
        KindDelta(
            kind=kind,
            a_ms=a_ms,
            b_ms=a_ms + share * gap_ms,
            delta_ms=share * gap_ms,
            gap_ratio=share,
            a_operators=(OperatorTime(kind=kind, operator="_FusedConv2D", count=16, ms=a_ms),),
            b_operators=(OperatorTime(kind=kind, operator="brgconv_avx512_bf16", count=16, ms=a_ms + share * gap_ms),),
        )
        for kind, a_ms, share in (("Convolution", 33.0, 0.83), ("Elementwise", 4.1, 0.09), ("Layout", 1.2, 0.02))
    )
    word = "faster" if faster else "slower"
    headline = f"{b.variant.name} is {max(walls_ms) / min(walls_ms):.3g}x {word} than {a.variant.name}"
    return Explanation(
        model="seed_cnn",
        a=_side(a, walls_ms[0]),
        b=_side(b, walls_ms[1]),
        gap_ms=gap_ms,
        ratio=walls_ms[1] / walls_ms[0],
        kinds=kinds,
        coverage_ratio=0.94,
        coverage_formula=COVERAGE_FORMULA,
        cpu_flags=("avx512_bf16",),
        missing_cpu_flags=(),
        timed_by="run 20261120",
        words=(
            headline,
            "Convolution: 16 operators in both make 83.0 % of the gap",
            "differences between operators cover 94.0 % of the gap",
            "operator times come from profiled calls, which took 1.08x of the timed ones",
        ),
    )


def _side(cell: Cell, wall_ms: float) -> Side:
    none = Share(count=0, ms=0, ratio=0)
    return Side(
        variant=cell.variant.name,
        cell_id=cell.id,
        runtime=cell.variant.adapter,
        threads=1,
        steps=cell.variant.steps,
        wall_ms=wall_ms,
        profiled_wall_ms=wall_ms * 1.08,
        overhead_ratio=1.08,
        operators_ms=wall_ms * 0.97,
        integer=none,
        quantize=none,
        cast=none,
        layout=none,
        reference_kernels=none,
        instruction_sets=(),
        operators=(),
    )
