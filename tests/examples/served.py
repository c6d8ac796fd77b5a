"""Records of cells behind a server: deterministic, and built without any server."""

from __future__ import annotations

from dataclasses import replace

from bench.core.artifact import Options
from bench.core.cell import Cell, LoadPlan, Variant
from bench.core.record import Record
from bench.core.results import Estimate, Flag, Interval, Outcome
from bench.core.served import Attribution, LoadPoint, ProbeResult, SearchResult, Served
from tests.examples.records import REFERENCE, RUN_ID, make_cell, make_estimate, make_record, make_records


def make_served_records(run_id: str = RUN_ID) -> tuple[Record, ...]:
    """A cell with all that can be known of a deployment, and one whose server is not installed."""
    skipped = make_record(make_served_cell(topology="tf_serving", options=()), status="skipped", run_id=run_id)
    return (make_served_record(run_id=run_id), skipped)


def make_all_records(run_id: str = RUN_ID) -> tuple[Record, ...]:
    """The cells in process, then those behind a server."""
    return (*make_records(run_id), *make_served_records(run_id))


def make_served_cell(
    model: str = "digits",
    variant: Variant = REFERENCE,
    *,
    topology: str = "multiprocess",
    options: Options = (("balance", "reuse_port"), ("workers", 2)),
    load: LoadPlan | None = None,
) -> Cell:
    """A cell behind a server, by default at 50 requests per second that arrive at random."""
    load = load or LoadPlan(kind="poisson", rate_per_s=50.0)
    return replace(make_cell(model, variant), topology=topology, topology_options=options, load=load)


def make_load_point(
    p50_ms: float = 7.1, *, kind: str = "poisson", rate_per_s: float = 50.0, requests: int = 3000
) -> LoadPoint:
    """A load without a fault, with evidence for its p99, which is at 1.7 of its p50."""
    is_closed = kind == "closed"
    return LoadPoint(
        kind=kind,
        offered_per_s=rate_per_s,
        achieved_per_s=rate_per_s,
        duration_s=requests / rate_per_s,
        concurrency=1 if is_closed else None,
        requests=requests,
        answered=requests,
        checked=120,
        p50_ms=make_estimate(p50_ms),
        p90_ms=make_estimate(p50_ms * 1.3, 0.05),
        p95_ms=make_estimate(p50_ms * 1.5, 0.06),
        p99_ms=make_estimate(p50_ms * 1.7, 0.1),
        mean_ms=p50_ms * 1.05,
        max_ms=p50_ms * 2.4,
        service_p50_ms=p50_ms * 0.98,
        service_p99_ms=p50_ms * 1.6,
        lag_p50_us=None if is_closed else 2.1,
        lag_p99_us=None if is_closed else 85.0,
        goodput_ratio=Estimate(value=0.999, interval=Interval(low=0.997, high=0.9996, confidence=0.95)),
        goodput_per_s=rate_per_s * 0.999,
        server_cpu_us_per_request=1310.0,
        client_cpu_us_per_request=160.0,
        client_cpu_ratio=0.008,
        statuses=((200, requests),),
        variance_inflation=1.4,
        verdict="ok",
    )


def make_served(p50_ms: float = 7.1) -> Served:
    """A deployment with everything that can be known of one; two workers."""
    alone = make_load_point(p50_ms * 0.97, kind="closed", rate_per_s=145.0, requests=290)
    return Served(
        notes=("requests are not batched",),
        protocol="http",
        encoding="binary",
        headline=make_load_point(p50_ms),
        zero_load=alone,
        saturation=replace(alone, concurrency=4, offered_per_s=260.0, achieved_per_s=260.0),
        x_max_per_s=260.0,
        knee_concurrency=2,
        curve=tuple(
            make_load_point(p50_ms * scale, rate_per_s=260.0 * ratio, requests=600)
            for ratio, scale in ((0.3, 1.05), (0.6, 1.4), (0.9, 3.1))
        ),
        search=SearchResult(
            slo_ms=50.0,
            confirmed_per_s=231.0,
            fitted_per_s=235.0,
            held_per_s=231.0,
            failed_per_s=239.0,
            x_max_per_s=260.0,
            knee_concurrency=2,
            in_time_ratio=make_estimate(0.995, 0.001),
            requests=81_500,
            confidence="kept in a load of its own of 20000 requests",
            probes=(ProbeResult(rate_per_s=231.0, requests=20_000, p99_ms=47.5, in_time_ratio=make_estimate(0.995)),),
            flags=(Flag(name="search-shortened", text="the budget paid for 90%", affects=("confirmed_per_s",)),),
        ),
        attribution=make_attribution(p50_ms * 1.05),
        in_process_p50_ms=make_estimate(p50_ms * 0.9),
        server_cost_ms=Estimate(
            value=p50_ms * 0.07, interval=Interval(low=p50_ms * 0.06, high=p50_ms * 0.08, confidence=0.95)
        ),
        start_s=1.4,
        import_s=0.19,
        load_s=0.034,
        worker_counts=((4021, 2310), (4022, 2290)),
        server_received=4600,
        server_answered=4600,
        client_sent=4600,
        server_memory_bytes=310_000_000,
        server_processes=3,
        caching_ratio=make_estimate(1.01, 0.03),
        agreement="bitwise",
        co_located=True,
        slo_ms=50.0,
        samples_path="samples/example.requests.01234567.npz",
        flags=(Flag(name="noisy-co-located", text="client and server share processors", affects=("p50_ms",)),),
    )


def make_attribution(end_to_end_ms: float) -> Attribution:
    """Layers that add up to `end_to_end_ms`; inference is most of it."""
    return Attribution(
        client_ms=0.01 * end_to_end_ms,
        transport_ms=0.04 * end_to_end_ms,
        queue_ms=0.02 * end_to_end_ms,
        deserialise_ms=0.02 * end_to_end_ms,
        infer_ms=0.9 * end_to_end_ms,
        serialise_ms=0.01 * end_to_end_ms,
        end_to_end_ms=end_to_end_ms,
        requests=2700,
    )


def make_served_record(
    cell: Cell | None = None, served: Served | None = None, *, outcome: Outcome | None = None, run_id: str = RUN_ID
) -> Record:
    """The record of a cell behind a server: no statistics and no comparison, flags of the deployment and its load."""
    cell = cell or make_served_cell()
    served = served or make_served()
    headline = served.headline
    cpu_us = headline.server_cpu_us_per_request if headline is not None else None
    record = make_record(cell, reference=cell, run_id=run_id)
    return replace(
        record,
        outcome=outcome or Outcome(status="ok"),
        accuracy=None,
        statistics=None,
        comparison=None,
        costs=replace(
            record.costs,
            peak_memory_bytes=served.server_memory_bytes,
            cpu_ms_per_call=None if cpu_us is None else cpu_us / 1e3,
        ),
        flags=(*served.flags, *(headline.flags if headline is not None else ())),
        samples=None,
        served=served,
    )
