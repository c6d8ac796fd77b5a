"""A run of four models and nineteen cells with varied, plausible numbers, and a run whose every name is hostile."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.core.block import Block, Counters
from bench.core.cell import Cell, Dimension, Measurement, ModelRef, StepCall, Variant
from bench.core.record import Record
from bench.core.results import Accuracy, Comparison, Fidelity, Flag, Outcome, OutputFidelity
from bench.measure.comparison import compare
from bench.measure.fidelity import accuracy
from bench.measure.statistics import summarise
from bench.records import Journal, RunDirectory, create, write_samples
from tests.examples.records import make_artifact, make_blocks, make_record

_MEASUREMENT = Measurement()
_EXACT = {"relative_error": 1e-3, "cosine": None, "top1_agreement_ratio": None, "accuracy_loss_ratio": None}
_QUANTIZED = {"relative_error": None, "cosine": 0.98, "top1_agreement_ratio": None, "accuracy_loss_ratio": 0.02}

HOSTILE_NAMES = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "=cmd()",
    "[/bold][link=https://example.org]x",
    "\x1b[31mred\x1b]8;;https://example.org\x07",
    "nul\0name",
    "two\nlines\u202egnp.exe",
    "{{ 7*7 }} {% raw %}",
    "a|b`c*d_e@someone https://example.org #1",
    "<b>${x}$ %{y}",
)


@dataclass(frozen=True)
class Shape:
    """How a variant does, against its model's first."""

    variant: str
    adapter: str
    ratio: float
    size_mb: float
    error: float = 0.0
    cosine: float = 1.0
    wrong: int = 0  # of 360 labelled samples
    status: str = "ok"
    spread: float = 0.01  # between processes
    notes: tuple[str, ...] = ()
    build_s: float = 6.5
    compile_s: float | None = None
    format: str = "onnx"


#: Model -> ms of its reference, whether samples are labelled, variants.
Models = Mapping[str, tuple[float, bool, tuple[Shape, ...]]]

MODELS: Models = {
    "seed_cnn": (
        41.0,
        False,
        (
            Shape("keras", "tensorflow", 1.0, 27.1),
            Shape("frozen", "tensorflow", 0.83, 26.9, 4e-7),
            Shape("frozen-int8", "tensorflow", 1.31, 6.9, 0.021, 0.9971),
            Shape("onnx", "onnxruntime", 0.44, 26.8, 1.3e-6),
            Shape("onnx-int8", "onnxruntime", 0.36, 6.8, 0.19, 0.93, status="invalid"),
            Shape("torch", "torch", 0.92, 27.0, 9.2e-7, spread=0.09),
        ),
    ),
    "digits": (
        0.31,
        True,
        (
            Shape("keras", "tensorflow", 1.0, 0.38, wrong=11),
            Shape("frozen-int8", "tensorflow", 0.71, 0.12, 0.008, 0.9993, wrong=12),
            Shape("onnx", "onnxruntime", 0.082, 0.36, 2e-7, wrong=11),
            Shape("onnx-int8", "onnxruntime", 0.0855, 0.11, 0.02, 0.998, wrong=15, spread=0.03),
            Shape("torch", "torch", 0.29, 0.37, 3e-7, wrong=11),
        ),
    ),
    "basic_pitch": (
        55.0,
        False,
        (
            Shape("saved_model", "tensorflow", 1.0, 0.23),
            Shape("frozen", "tensorflow", 0.995, 0.22, 0.0),
            Shape("onnx", "onnxruntime", 1.17, 0.23, 3.1e-5),
            Shape("onnx-int8", "onnxruntime", 1.0, 0.1, status="failed"),
        ),
    ),
    "minilm": (
        18.5,
        False,
        (
            Shape("torch", "torch", 1.0, 90.9),
            Shape("exported", "torch", 1.01, 90.9, 0.0, spread=0.08),
            Shape("onnx", "onnxruntime", 0.77, 90.4, 6e-7),
            Shape("onnx-int8", "onnxruntime", 0.43, 22.9, 0.11, 0.987),
        ),
    ),
}


def write_synthetic_run(
    results_dir: Path, models: Models = MODELS, *, rounds: int = 5, blocks: int = 6, calls: int = 30
) -> RunDirectory:
    """The run on disk, with samples from which its statistics and comparisons were really computed."""
    cells = {model: [_cell(model, shape) for shape in shapes] for model, (_, _, shapes) in models.items()}
    run = create(
        results_dir,
        name="synthetic",
        command=("bench", "run", "--quick"),
        matrix_text="name: synthetic\n",
        resolved_matrix={
            "name": "synthetic",
            "models": {model: _resolved(shapes) for model, (_, _, shapes) in models.items()},
        },
        environment=ENVIRONMENT,
        environment_id="14723242be860e5c",
        planned_cell_ids=[cell.id for members in cells.values() for cell in members],
        versions=(("numpy", "2.4.6"), ("onnxruntime", "1.31.1"), ("torch", "2.13.0+cpu")),
    )
    with Journal(run.journal_path) as journal:
        for model, (base_ms, labelled, shapes) in models.items():
            source = random.Random(model)
            drift = [source.gauss(0, 0.01) for _ in range(rounds)]
            reference_blocks: list[list[Block]] = []
            for cell, shape in zip(cells[model], shapes, strict=True):
                measured = _rounds(base_ms * shape.ratio, shape.spread, drift, blocks, calls, source)
                reference_blocks = reference_blocks or measured
                record = _record(run, cells[model][0], cell, shape, measured, reference_blocks, labelled)
                journal.append(record)
    return run


def _cell(model: str, shape: Shape) -> Cell:
    steps: tuple[StepCall, ...] = (
        (StepCall(name="saved_model_to_onnx", options=(("opset", 17),)),) if "onnx" in shape.variant else ()
    )
    if "int8" in shape.variant or shape.notes:
        steps += (StepCall(name="quantize_dynamic"),)
    return Cell(
        model=ModelRef(name=model, kind="zoo", location=model),
        variant=Variant(name=shape.variant, source="keras", adapter=shape.adapter, steps=steps),
        dimensions=(Dimension(name="sequence", kind="fixed", values=(32,)),) if model == "minilm" else (),
    )


def _resolved(shapes: Sequence[Shape]) -> dict[str, Any]:
    return {
        "variants": {
            shape.variant: {
                "tolerance": _EXACT if shape.cosine == 1.0 and shape.wrong == shapes[0].wrong else _QUANTIZED
            }
            for shape in shapes
        }
    }


def _rounds(
    p25_ms: float, spread: float, drift: Sequence[float], blocks: int, calls: int, source: random.Random
) -> list[list[Block]]:
    """Log-normal calls over a level per process, with a slow call in fifty."""
    measured = []
    for number, common in enumerate(drift):
        level_ns = p25_ms * 1e6 * (1 + common + source.gauss(0, spread))
        one_round = []
        for index in range(blocks):
            latencies = tuple(
                round(level_ns * source.lognormvariate(0.02, 0.02) * (1 + (source.random() < 0.02) * source.random()))
                for _ in range(calls)
            )
            one_round.append(
                Block(
                    round=number,
                    index=index,
                    latencies_ns=latencies,
                    settling_calls=1,
                    wall_ns=sum(latencies),
                    counters=Counters(cpu_ns=sum(latencies), threads=2),
                )
            )
        measured.append(one_round)
    return measured


def _record(
    run: RunDirectory,
    reference: Cell,
    cell: Cell,
    shape: Shape,
    measured: list[list[Block]],
    reference_blocks: list[list[Block]],
    labelled: bool,
) -> Record:
    record = make_record(cell, status=shape.status, reference=reference, run_id=run.manifest.run_id)  # type: ignore[arg-type]
    if shape.status == "failed":
        return record
    size_bytes = round(shape.size_mb * 1e6)
    artifact = replace(make_artifact(cell), format=shape.format, size_bytes=size_bytes)
    if artifact.lineage:
        last = replace(artifact.lineage[-1], notes=shape.notes, duration_s=shape.build_s)
        artifact = replace(artifact, lineage=(*artifact.lineage[:-1], last))
    if shape.status == "skipped":
        why = "execution unavailable: no CUDA device on this machine"
        return replace(record, artifact=artifact, outcome=Outcome(status="skipped", reason=why, hint="run it on a GPU"))
    (run.jobs_dir / f"{cell.id}.r0.json").write_text("{}")
    is_reference = cell == reference
    p50_ms = summarise(measured, 1).p50_ms.value or 0.0
    return replace(
        record,
        artifact=artifact,
        outcome=replace(record.outcome, reason=f"outputs: output 'logits': cosine {shape.cosine} is below 0.98")
        if shape.status == "invalid"
        else Outcome(status="ok"),
        statistics=summarise(measured, 1),
        comparison=None if is_reference else _compare(reference, reference_blocks, measured),
        fidelity=_fidelity(shape),
        accuracy=_accuracy(shape) if labelled else None,
        costs=replace(
            record.costs,
            artifact_size_bytes=size_bytes,
            build_s=shape.build_s,
            compile_s=shape.compile_s,
            peak_memory_bytes=round(8e7 + shape.size_mb * 4e6 + (3e8 if shape.adapter == "tensorflow" else 0)),
            load_s=0.02 + shape.size_mb / 200,
            first_call_ms=p50_ms * 3.1,
            cpu_ms_per_call=p50_ms * 0.99,
        ),
        flags=_flags(cell, shape),
        samples=write_samples(run.path, cell.id, measured),
    )


def _compare(reference: Cell, before: list[list[Block]], after: list[list[Block]]) -> Comparison:
    return compare(before, after, reference_id=reference.id, measurement=_MEASUREMENT, look=1, looks_total=3)


def _fidelity(shape: Shape) -> Fidelity:
    output = OutputFidelity(
        name="logits",
        max_abs_error=shape.error * 3,
        mean_abs_error=shape.error / 2,
        relative_error=shape.error,
        cosine=shape.cosine,
        top1_agreement_ratio=1 - shape.error / 2,
        not_finite=0,
        values=800,
    )
    return Fidelity(outputs=(output,), deterministic="bitwise", passed=shape.status == "ok")


def _accuracy(shape: Shape) -> Accuracy:
    import numpy as np

    labels = np.arange(360) % 10
    reference, predictions = labels.copy(), labels.copy()
    reference[:11] += 1
    predictions[2 : 2 + shape.wrong] += 1
    if shape.wrong == 11:
        predictions = reference
    return accuracy(predictions, labels, reference)


def _flags(cell: Cell, shape: Shape) -> tuple[Flag, ...]:
    flags = []
    if cell.model.name != "minilm":
        text = (
            f"ready to run but waiting for a processor {shape.ratio * 4:.1f}% of the time; stop what else runs on "
            "this machine, or give the cell processors of its own"
        )
        flags.append(Flag(name="noisy-contention", text=text, affects=("mean_ms", "throughput_per_s", "p99_ms")))
    if shape.spread > 0.05:
        text = f"its processes differ: the interval reaches {shape.spread:.0%} either way; measure more rounds"
        flags.append(Flag(name="noisy-wide-interval", text=text, affects=("p25_ms", "p50_ms")))
    return tuple(flags)


ENVIRONMENT: dict[str, Any] = {
    "processor": {
        "model": "AMD EPYC",
        "microcode": "0x1000065",
        "logical_cpus": 2,
        "threads_per_core": 1,
        "caches": [["L1d", "32K"], ["L2", "1024K"], ["L3", "32768K"]],
        "hypervisor": True,
        "governor": "",
    },
    "memory_gib": 24,
    "kernel": {"release": "6.18.44", "clock_source": "tsc", "transparent_huge_pages": "madvise"},
    "share": {"affinity": [0, 1], "cpuset": "0-1", "cpu_quota_cores": None, "memory_limit_bytes": None},
    "software": {
        "python": "CPython 3.11.7",
        "packages": [["numpy", "2.4.6"], ["onnxruntime", "1.31.1"], ["torch", "2.13.0+cpu"]],
        "variables": [["GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"]],
    },
    "gpus": [],
    "moment": {"started_at": "2026-11-20T16:08:19+00:00", "load_average": [0.4, 0.2, 0.1]},
}


def write_named_run(results_dir: Path, names: Sequence[str]) -> RunDirectory:
    """One model per name, each name in every place where a foreign text can stand."""
    records = []
    for name in names:
        reference = Cell(
            model=ModelRef(name=name, kind="path", location=name),
            variant=Variant(name="plain", source=name, adapter="onnxruntime"),
        )
        variant = replace(
            reference, variant=Variant(name=name, source=name, adapter=name, steps=(StepCall(name=name),))
        )
        flag = Flag(name=name, text=name, affects=(name,))
        records.append(replace(make_record(reference, p50_ms=2.0, reference=reference), flags=(flag,)))
        named = replace(make_record(variant, p50_ms=1.0, ratio=0.5, reference=reference), flags=(flag,))
        assert named.artifact is not None
        lineage = tuple(replace(link, notes=(name,)) for link in named.artifact.lineage)
        records.append(replace(named, artifact=replace(named.artifact, lineage=lineage)))
        broken = replace(variant, variant=replace(variant.variant, name=f"{name}2"))
        outcome = Outcome(status="failed", reason=name, hint=name, culprit=name, phase=name, log_tail=name)
        records.append(replace(make_record(broken, status="failed", reference=reference), outcome=outcome))
    run = create(
        results_dir,
        name=names[0],
        command=("bench", "run", *names),
        matrix_text="".join(names),
        resolved_matrix={"name": names[0]},
        environment={"processor": {"model": names[1]}, names[0]: list(names)},
        environment_id=names[0],
        planned_cell_ids=[record.cell_id for record in records],
        versions=((names[0], names[1]),),
    )
    with Journal(run.journal_path) as journal:
        for record in records:
            stored = replace(record, run_id=run.manifest.run_id, environment_id=names[0])
            if record.samples is not None:
                stored = replace(stored, samples=write_samples(run.path, record.cell_id, make_blocks()))
            journal.append(stored)
    return run
