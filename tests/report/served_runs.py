"""A run with a model behind every kind of server, and with every way in which a load can end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.core.artifact import Options
from bench.core.cell import LoadPlan, Variant
from bench.core.record import Record
from bench.core.results import Estimate, Flag, Interval, Outcome
from bench.core.served import Attribution, LoadPoint, Served, Verdict
from bench.records import RunDirectory
from tests.examples.records import make_cell, make_estimate, make_record, write_run
from tests.examples.served import (
    make_attribution,
    make_load_point,
    make_served,
    make_served_cell,
    make_served_record,
)

ONNX = Variant(name="onnx", source="keras", adapter="onnxruntime")
_POISSON = LoadPlan(kind="poisson", rate_per_s=50.0)
_CO_LOCATED = Flag(
    name="noisy-co-located", text="client and server share processors, so each slows the other", affects=("p50_ms",)
)
#: Verdict of the headline -> how the cell ends, and the flag that says so.
_ENDINGS: dict[Verdict, tuple[str, str]] = {
    "client-limited": ("invalid", "the client was the limit, not the server: it sent late (p99 4.20 ms); offer less"),
    "saturated": ("invalid", "the queue grew through the whole load: 41.2 of 50 requests per second were done"),
    "errors": ("failed", "31 of 3000 requests failed (31 errors, 0 timed out), 0.00% may: read the servers' logs"),
    "wrong answers": ("invalid", "3 of 120 sampled answers are wrong: compare one with the answer in process"),
}


@dataclass(frozen=True)
class Behind:
    """How a topology does; `p99_ms` is None where there is no evidence for one."""

    topology: str
    options: Options = ()
    p50_ms: float = 7.1
    p99_ms: float | None = 12.3
    in_time: float = 1.0
    cpu_us: float = 6900.0
    most_per_s: float = 140.0
    verdict: Verdict = "ok"
    stamps: bool = True
    notes: tuple[str, ...] = ()
    load: LoadPlan = _POISSON
    in_process_ms: float = 6.6


SEED_CNN = (
    Behind("simple"),
    Behind("simple", (("encoding", "json"),), p50_ms=9.9, p99_ms=None, in_time=0.999, cpu_us=9800.0, most_per_s=96.0),
    Behind("multiprocess", (("balance", "reuse_port"), ("workers", 2)), p50_ms=7.6, cpu_us=7100.0, most_per_s=248.0),
    Behind("multiprocess", (("balance", "shared_memory"), ("workers", 2)), p50_ms=8.3, cpu_us=7700.0, most_per_s=239.0),
    Behind("nginx", (("method", "round_robin"), ("servers", 2)), verdict="client-limited"),
    Behind(
        "queue", (("broker", "rabbitmq"), ("workers", 2)), p50_ms=210.0, p99_ms=None, verdict="saturated", cpu_us=9100.0
    ),
    Behind("queue", (("broker", "redis"), ("workers", 2)), verdict="errors"),
    Behind("triton", p50_ms=11.2, p99_ms=66.0, in_time=0.962, stamps=False, notes=("its queue is part of the server",)),
)
DIGITS = (
    Behind(
        "tfs_protocol", (("encoding", "tfs_grpc"),), p50_ms=2.2, p99_ms=3.5, cpu_us=2025.0, most_per_s=550.0,
        in_process_ms=1.9,
        notes=("a server of ours that speaks TensorFlow Serving's protocol, not TensorFlow Serving",),
    ),
)  # fmt: skip


def write_served_run(
    results_dir: Path, *, slo_ms: float | None = 50.0, loads: Sequence[LoadPlan] = (_POISSON,)
) -> RunDirectory:
    """seed_cnn in process and behind eight servers; digits behind two, of which one is not installed."""
    records = [make_record(make_cell("seed_cnn", ONNX), p50_ms=6.6, reference=make_cell("seed_cnn", ONNX))]
    for load in loads:
        records += [served_record("seed_cnn", ONNX, replace(behind, load=load), slo_ms) for behind in SEED_CNN]
    saved_model = replace(ONNX, name="saved_model", adapter="tensorflow")
    records += [served_record("digits", saved_model, behind, slo_ms) for behind in DIGITS]
    skipped = make_record(make_served_cell("digits", saved_model, topology="tf_serving", options=()), status="skipped")
    way_out = Outcome(
        status="skipped",
        reason="needs tensorflow_model_server, not on the PATH",
        hint="name the program in $TF_MODEL_SERVER, or take topology tfs_protocol",
    )
    return write_run(results_dir, [*records, replace(skipped, outcome=way_out)])


def served_record(model: str, variant: Variant, behind: Behind, slo_ms: float | None = 50.0) -> Record:
    """The record of one topology that does as it is said to."""
    cell = make_served_cell(model, variant, topology=behind.topology, options=behind.options, load=behind.load)
    status, reason = _ENDINGS.get(behind.verdict, ("ok", ""))
    shown = f"CLIENT-LIMITED: {reason}" if behind.verdict == "client-limited" else reason
    return make_served_record(cell, _served(behind, slo_ms), outcome=Outcome(status=status, reason=shown))  # type: ignore[arg-type]


def _served(behind: Behind, slo_ms: float | None) -> Served:
    headline = _headline(behind, slo_ms)
    alone_ms = min(behind.p50_ms, 12.0) * 0.95
    alone = make_load_point(alone_ms, kind="closed", rate_per_s=950 / alone_ms, requests=290)
    most, cost_ms = behind.most_per_s, alone_ms - behind.in_process_ms
    attribution = make_attribution(behind.p50_ms * 1.05)
    if not behind.stamps:
        attribution = Attribution(client_ms=0.02, server_ms=behind.p50_ms, end_to_end_ms=behind.p50_ms + 0.02)
    return replace(
        make_served(behind.p50_ms),
        notes=behind.notes,
        headline=headline,
        zero_load=alone,
        saturation=replace(alone, concurrency=4, offered_per_s=most, achieved_per_s=most),
        x_max_per_s=most,
        curve=tuple(
            replace(
                make_load_point(alone_ms * scale, rate_per_s=most * ratio, requests=600),
                p99_ms=Estimate(value=None, reason="not established: needs about 60000 requests, has 540")
                if ratio > 0.8
                else make_estimate(alone_ms * scale * 1.6),
            )
            for ratio, scale in ((0.3, 1.02), (0.6, 1.25), (0.9, 2.9))
        ),
        search=None,
        attribution=attribution,
        in_process_p50_ms=make_estimate(behind.in_process_ms),
        server_cost_ms=replace(make_estimate(cost_ms), interval=_around(cost_ms, 0.05)),
        co_located=True,
        slo_ms=slo_ms,
        flags=(_CO_LOCATED,),
    )


def _headline(behind: Behind, slo_ms: float | None) -> LoadPoint:
    point = make_load_point(behind.p50_ms)
    ratio = behind.in_time
    no_p99 = Estimate(value=None, reason="not established: needs about 20000 requests, has 2700")
    point = replace(
        point,
        p99_ms=no_p99 if behind.p99_ms is None else make_estimate(behind.p99_ms, 0.1),
        goodput_ratio=replace(make_estimate(ratio), interval=_around(ratio, 0.0008))
        if slo_ms is not None
        else Estimate(value=None, reason="there is no objective"),
        server_cpu_us_per_request=behind.cpu_us,
        verdict=behind.verdict,
    )
    if behind.verdict == "ok":
        return point
    flag = Flag(
        name=f"invalid-{behind.verdict.replace(' ', '-')}", text=_ENDINGS[behind.verdict][1], affects=("p50_ms",)
    )
    failed = 31 if behind.verdict == "errors" else 0
    return replace(
        point,
        achieved_per_s=41.2 if behind.verdict == "saturated" else point.achieved_per_s,
        answered=point.answered - failed,
        errors=failed,
        statuses=((200, point.requests - failed), (500, failed)) if failed else point.statuses,
        wrong=3 if behind.verdict == "wrong answers" else 0,
        lag_p99_us=4200.0 if behind.verdict == "client-limited" else 85.0,
        flags=(flag,),
    )


def _around(value: float, half: float) -> Interval:
    return Interval(low=value - half, high=value + half, confidence=0.95)
