"""Realistic records, blocks and runs for the tests of every room: deterministic, and built without any framework."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.core.artifact import Artifact, Change, LineageStep, TensorSpec
from bench.core.block import Block, Counters
from bench.core.cell import Cell, Dimension, Limits, ModelRef, StepCall, Variant
from bench.core.record import Record
from bench.core.results import (
    Accuracy,
    Comparison,
    Costs,
    Estimate,
    Fidelity,
    Flag,
    InForce,
    Interval,
    Outcome,
    OutputFidelity,
    SamplesRef,
    Statistics,
    Status,
)
from bench.records import Journal, RunDirectory, create, write_samples
from tests.examples.requests import store_example

RUN_ID = "20261120-153012-example-0a1b"
STARTED_AT = "2026-11-20T15:30:12+00:00"

REFERENCE = Variant(name="keras", source="keras", adapter="tensorflow")
VARIANTS = (
    REFERENCE,
    Variant(
        name="onnx",
        source="keras",
        adapter="onnxruntime",
        steps=(StepCall(name="keras_to_saved_model"), StepCall(name="saved_model_to_onnx", options=(("opset", 17),))),
        adapter_options=(("providers", ("CPUExecutionProvider",)),),
    ),
    Variant(
        name="onnx-int8",
        source="keras",
        adapter="onnxruntime",
        steps=(
            StepCall(name="keras_to_saved_model"),
            StepCall(name="saved_model_to_onnx", options=(("opset", 17),)),
            StepCall(name="quantize_dynamic", options=(("per_channel", True), ("threshold", 0.5))),
        ),
    ),
)

_REASONS: dict[Status, Outcome] = {
    "ok": Outcome(status="ok"),
    "invalid": Outcome(
        status="invalid",
        reason="output logits: relative error 0.031 is above the tolerance 0.001",
        hint="loosen tolerance.relative_error, or leave the step out",
        culprit="step quantize_dynamic",
        phase="fidelity",
    ),
    "failed": Outcome(
        status="failed",
        reason="ValueError: opset 99 is not supported",
        hint="choose an opset from 13 to 21",
        culprit="step saved_model_to_onnx",
        phase="build",
        log_tail='Traceback (most recent call last):\n  File "<stdin>"\nValueError: opset 99 "é" \\ is not supported\n',
    ),
    "crashed": Outcome(status="crashed", reason="SIGSEGV in load", culprit="target", phase="load"),
    "oom": Outcome(status="oom", reason="limit 300 MiB, peak 300 MiB", culprit="target", phase="warm-up"),
    "timeout": Outcome(status="timeout", reason="no answer in measure after 60 s", culprit="target", phase="measure"),
    "cancelled": Outcome(status="cancelled", reason="interrupted by signal 2", culprit="operator"),
    "skipped": Outcome(status="skipped", reason="needs openvino, not installed", hint="pip install openvino"),
    "refused": Outcome(
        status="refused",
        reason="model.pt2: the format exported_program runs code when it is loaded",
        culprit="security",
    ),
}


def make_cell(model: str = "digits", variant: Variant = REFERENCE, *, batch: int = 1, threads: int = 1) -> Cell:
    """A cell of a zoo model; `minilm` has a dynamic sequence length."""
    dimensions = (Dimension(name="sequence", kind="uniform", values=(8, 64)),) if model == "minilm" else ()
    return Cell(
        model=ModelRef(name=model, kind="zoo", location=model),
        variant=variant,
        limits=Limits(threads=threads),
        batch=batch,
        dimensions=dimensions,
    )


def make_estimate(value: float, spread_ratio: float = 0.02) -> Estimate:
    """An estimate with a symmetric 95 % interval."""
    interval = Interval(low=value * (1 - spread_ratio), high=value * (1 + spread_ratio), confidence=0.95)
    return Estimate(value=value, interval=interval)


def make_statistics(p50_ms: float = 1.25, *, batch: int = 1) -> Statistics:
    """Statistics with a tail that has too little evidence for its p99."""
    return Statistics(
        calls=2000,
        rounds=5,
        p25_ms=make_estimate(p50_ms * 0.97),
        p50_ms=make_estimate(p50_ms),
        p90_ms=make_estimate(p50_ms * 1.1, 0.04),
        p95_ms=make_estimate(p50_ms * 1.2, 0.06),
        p99_ms=Estimate(value=None, reason="needs 3000 calls for an interval, has 2000"),
        min_ms=p50_ms * 0.92,
        mean_ms=make_estimate(p50_ms * 1.03),
        throughput_per_s=make_estimate(batch * 1000 / (p50_ms * 1.03)),
        warm_up="warm-up",
    )


def make_artifact(cell: Cell) -> Artifact:
    """What the cell's variant would run, with one lineage link for each step."""
    lineage = tuple(
        LineageStep(
            step=step.name,
            options=step.options,
            source_id=f"{place:064x}",
            versions=(("onnx", "1.23.2"), ("tf2onnx", "1.17.0")),
            changes=(Change(what="nodes", before=120, after=87), Change(what="bytes", before=4e6, after=1.1e6)),
            duration_s=3.25,
        )
        for place, step in enumerate(cell.variant.steps)
    )
    return Artifact(
        id="ab" * 32,
        format="onnx" if cell.variant.steps else cell.variant.source,
        path=f"/cache/cas/{'ab' * 32}/content/model.onnx",
        size_bytes=1_100_000,
        inputs=(TensorSpec(name="image", dtype="float32", shape=("batch", 8, 8, 1), native="serving_default_image:0"),),
        outputs=(TensorSpec(name="logits", dtype="float32", shape=("batch", 10)),),
        lineage=lineage,
    )


def make_fidelity(*, passed: bool = True) -> Fidelity:
    """One output against the reference's."""
    return Fidelity(
        outputs=(
            OutputFidelity(
                name="logits",
                max_abs_error=1.2e-6 if passed else 0.4,
                mean_abs_error=2e-7 if passed else 0.08,
                relative_error=9e-8 if passed else 0.031,
                cosine=1.0 if passed else 0.987,
                top1_agreement_ratio=1.0 if passed else 0.94,
                not_finite=0,
                values=80,
            ),
        ),
        deterministic="bitwise",
        passed=passed,
        problem="" if passed else _REASONS["invalid"].reason,
    )


def make_record(
    cell: Cell | None = None,
    *,
    status: Status = "ok",
    p50_ms: float = 1.25,
    ratio: float | None = None,
    reference: Cell | None = None,
    run_id: str = RUN_ID,
) -> Record:
    """A full record of `cell`; statuses other than ok and invalid have no numbers. `ratio` is against `reference`."""
    cell = cell or make_cell()
    reference_id = (reference or replace(cell, variant=REFERENCE)).id
    record = Record(
        run_id=run_id,
        cell=cell,
        cell_id=cell.id,
        group_id=cell.group_id,
        reference_id=reference_id,
        outcome=_REASONS[status],
        started_at=STARTED_AT,
        source_sha256="cd" * 32,
        environment_id="e1f2a3b4c5d6",
    )
    if status not in ("ok", "invalid"):
        return record
    comparison = None
    if cell.id != reference_id:
        value = ratio if ratio is not None else 0.52
        comparison = Comparison(
            reference_id=reference_id,
            ratio=make_estimate(value),
            p50_ratio=make_estimate(value * 1.01),
            verdict="same" if abs(value - 1) < 0.05 else "changed",
            looks=3,
        )
    return replace(
        record,
        inputs_sha256="ef" * 32,
        artifact=make_artifact(cell),
        fidelity=make_fidelity(passed=status == "ok"),
        accuracy=Accuracy(
            correct=349, total=360, ratio=make_estimate(349 / 360, 0.01), reference_only_right=2, p_value=0.5
        ),
        statistics=make_statistics(p50_ms, batch=cell.batch),
        comparison=comparison,
        costs=Costs(
            import_s=0.19,
            load_s=0.034,
            first_call_ms=4.7,
            warm_up_s=0.61,
            peak_memory_bytes=183_500_800,
            cpu_ms_per_call=p50_ms,
            artifact_size_bytes=1_100_000,
            build_s=6.5,
        ),
        in_force=InForce(
            cpu_ids=(0, 1),
            threads_requested=cell.limits.threads,
            threads_seen=4,
            isolation="group",
            limiter="affinity",
            provider="CPUExecutionProvider",
            versions=(("numpy", "2.4.6"), ("onnxruntime", "1.31.1")),
            worker_environment=(("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"), ("ORT_DISABLE_TELEMETRY", "1")),
        ),
        flags=(Flag(name="noisy-neighbour", text="another process took 3 % of the time", affects=("p90", "p99")),),
        samples=SamplesRef(path=f"samples/{cell.id}.0123abcd.npz", sha256="01" * 32, calls=2000),
    )


def make_records(run_id: str = RUN_ID) -> tuple[Record, ...]:
    """A small run: two models, three variants each at two batch sizes, then one cell for each way not to be ok."""
    records = []
    for model, base_ms in (("digits", 0.4), ("minilm", 11.0)):
        for batch in (1, 8):
            reference = make_cell(model, batch=batch)
            for variant, ratio in zip(VARIANTS, (1.0, 0.52, 0.98), strict=True):
                cell = make_cell(model, variant, batch=batch)
                p50_ms = base_ms * batch**0.8 * ratio
                records.append(make_record(cell, p50_ms=p50_ms, ratio=ratio, reference=reference, run_id=run_id))
    for status in _REASONS:
        if status != "ok":
            variant = replace(VARIANTS[2], name=f"onnx-{status}")
            records.append(make_record(make_cell("seed_cnn", variant), status=status, run_id=run_id))
    return tuple(records)


def make_blocks(*, rounds: int = 2, blocks: int = 3, calls: int = 20, seed: int = 0) -> tuple[tuple[Block, ...], ...]:
    """Rounds of blocks of calls near 1 ms, with a few settling calls at the start of each block."""
    source = random.Random(seed)
    return tuple(
        tuple(_make_block(round_number, index, calls, source) for index in range(blocks))
        for round_number in range(rounds)
    )


def _make_block(round_number: int, index: int, calls: int, source: random.Random) -> Block:
    latencies = tuple(round(source.lognormvariate(0, 0.05) * 1e6) for _ in range(calls))
    counters = Counters(
        cpu_ns=sum(latencies), run_delay_ns=source.randrange(10_000), voluntary_switches=calls, threads=4
    )
    return Block(
        round=round_number,
        index=index,
        latencies_ns=latencies,
        settling_calls=min(2, calls),
        wall_ns=sum(latencies) + calls * 300,
        counters=counters,
    )


def create_run(results_dir: Path, planned: Sequence[Record] = (), *, name: str = "example") -> RunDirectory:
    """An empty run that plans the cells of `planned` (by default those of `make_records`)."""
    cell_ids = [record.cell_id for record in planned or make_records()]
    return create(
        results_dir,
        name=name,
        command=("bench", "run", "matrices/example.yaml"),
        matrix_text="name: example\nmodels: [digits, minilm]\n",
        resolved_matrix={"name": name, "models": ["digits", "minilm"], "measurement": {"rounds": 5, "budget_s": None}},
        environment={"cpu": {"model": "example", "cores": 2}, "kernel": "6.1", "flags": ["avx2"]},
        environment_id="e1f2a3b4c5d6",
        planned_cell_ids=list(dict.fromkeys(cell_ids)),
        versions=(("deploybench", "0.1.0"), ("numpy", "2.4.6")),
    )


def write_run(results_dir: Path, records: Sequence[Record] = (), *, name: str = "example") -> RunDirectory:
    """A finished run on disk: its journal holds `records` (by default `make_records`), with samples where measured, and
    requests where served."""
    chosen = records or make_records()
    run = create_run(results_dir, chosen, name=name)
    with Journal(run.journal_path) as journal:
        for place, record in enumerate(chosen):
            stored = replace(record, run_id=run.manifest.run_id)
            if record.samples is not None:
                samples = write_samples(run.path, record.cell_id, make_blocks(seed=place))
                stored = replace(stored, samples=samples)
            if record.served is not None:
                path = store_example(run.path, record.cell_id)
                stored = replace(stored, served=replace(record.served, samples_path=path))
            journal.append(stored)
    return run
