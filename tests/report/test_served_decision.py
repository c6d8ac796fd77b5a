"""Which topology is taken, what a row is called, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from bench.core.cell import LoadPlan
from bench.core.record import Record
from bench.core.results import Estimate, Flag, Interval, Outcome
from bench.report.row import Row
from bench.report.served import ServedRow, ServedSection, gather
from bench.report.served.headline import headlines
from bench.report.served.words import cells, cost_text, rate_text
from bench.report.settings import load_text, topology_text
from tests.examples.records import make_cell, make_record
from tests.examples.served import make_served_cell, make_served_record
from tests.report.served_runs import ONNX, Behind, served_record


def section(*behind: Behind, slo_ms: float | None = 50.0) -> ServedSection:
    return gathered([served_record("seed_cnn", ONNX, each, slo_ms) for each in behind])


def gathered(records: Sequence[Record]) -> ServedSection:
    (found,) = gather([Row(record=record, tolerance=None, has_sound_reference=True) for record in records])
    return found


def said(found: ServedSection) -> str:
    (headline,) = headlines(found)
    return headline.sentence


def only(**changes: Any) -> ServedRow:
    (row,) = section(replace(Behind("simple"), **changes)).rows
    return row


def test_with_an_objective_the_least_server_cpu_of_those_that_keep_it_is_taken() -> None:
    found = section(
        Behind("quick", p50_ms=5.0, p99_ms=9.0, cpu_us=6000.0),
        Behind("thrifty", p50_ms=9.0, p99_ms=49.0, cpu_us=3000.0),
        Behind("late", p50_ms=4.0, p99_ms=51.0, in_time=0.95, cpu_us=100.0),
    )

    assert [row.topology for row in found.rows if found.is_taken(row)] == ["thrifty"]
    assert said(found) == (
        "poisson 50/s: thrifty keeps p99 within 50 ms (49 ms) with 3 ms of server CPU a request, the least;"
        " most: quick, 6 ms (2x)"
    )
    assert headlines(found)[0].also == ("objective missed: late (p99 51 ms)",)


def test_without_an_objective_the_lowest_p50_is_taken() -> None:
    found = section(Behind("slow", p50_ms=14.2, cpu_us=1.0), Behind("quick"), slo_ms=None)

    assert [row.topology for row in found.rows if found.is_taken(row)] == ["quick"]
    assert said(found) == "poisson 50/s: quick has a p50 of 7.1 ms, the lowest; highest: slow, 14.2 ms (2x)"


@pytest.mark.parametrize(("in_time", "keeps"), [(0.999, True), (0.98, False), (0.9905, None)])
def test_where_no_p99_is_established_the_share_in_time_says_whether_the_objective_is_kept(
    in_time: float, keeps: bool | None
) -> None:
    assert only(p99_ms=None, in_time=in_time).keeps_objective is keeps


def test_what_needs_hardly_more_cpu_is_named() -> None:
    found = section(Behind("a", cpu_us=1000.0), Behind("b", cpu_us=1090.0), Behind("c", cpu_us=1110.0))

    assert headlines(found)[0].also == ("hardly more CPU, within 10 %: b (1.09 ms)",)


def test_where_nothing_keeps_the_objective_what_comes_near_is_told() -> None:
    found = section(Behind("a", p99_ms=60.0, p50_ms=8.0), Behind("b", p99_ms=70.0, p50_ms=9.0))

    assert not any(found.is_taken(row) for row in found.rows)
    assert said(found).endswith("nothing is known to keep p99 within 50 ms; lowest p50: a, 8 ms, p99 60 ms")


def test_a_load_that_is_not_the_servers_doing_is_never_ranked() -> None:
    found = section(Behind("ok", p50_ms=9.0), Behind("client", p50_ms=1.0, cpu_us=1.0, verdict="client-limited"))
    alone = section(Behind("client", verdict="client-limited"), Behind("full", verdict="saturated"))

    assert "client" not in said(found)
    assert "there is nothing to compare it with" in said(found)
    assert not any(found.is_taken(row) for row in found.rows), "of one nothing is the best"
    assert said(alone).endswith("no ranking, for no cell has numbers of its server (1 CLIENT-LIMITED, 1 saturated)")


@pytest.mark.parametrize(
    ("verdict", "standing"),
    [
        ("ok", "ok"),
        ("client-limited", "CLIENT-LIMITED"),
        ("saturated", "saturated"),
        ("errors", "errors"),
        ("wrong answers", "wrong answers"),
    ],
)
def test_the_verdict_of_a_row_is_how_its_load_ended(verdict: Any, standing: str) -> None:
    assert only(verdict=verdict).standing == standing


def test_a_fault_of_the_deployment_is_named_and_a_cell_that_never_ran_has_its_status() -> None:
    record = served_record("seed_cnn", ONNX, Behind("simple"))
    flag = Flag(name="invalid-counts-mismatch", text="somebody else asks them", affects=())
    caught = replace(record, outcome=Outcome(status="invalid"), flags=(*record.flags, flag))
    skipped = make_record(make_served_cell("seed_cnn", ONNX, topology="triton", options=()), status="skipped")
    crashed = replace(record, outcome=Outcome(status="crashed", phase="load"))

    standings = [row.standing for row in gathered([caught, skipped, crashed]).rows]

    assert standings == ["invalid: counts mismatch", "skipped", "crashed"]


def test_loads_are_decided_one_by_one_and_variants_are_named_where_there_are_several() -> None:
    slow, fast = LoadPlan(kind="poisson", rate_per_s=10.0), LoadPlan(kind="closed", concurrency=4)
    records = [
        served_record("seed_cnn", replace(ONNX, name=name), Behind("simple", p50_ms=p50_ms, load=load), slo_ms=None)
        for load in (slow, fast)
        for name, p50_ms in (("onnx", 9.0), ("int8", 4.5))
    ]

    found = gathered(records)

    assert [each.sentence for each in headlines(found)] == [
        f"{load}: simple, int8 has a p50 of 4.5 ms, the lowest; highest: simple, onnx, 9 ms (2x)"
        for load in ("poisson 10/s", "closed, 4 callers")
    ]
    assert found.rows[0].name == "onnx behind simple, poisson 10/s"


def test_a_served_row_stands_beside_its_own_variant_and_setting_in_process() -> None:
    inside = [make_record(make_cell("seed_cnn", ONNX, threads=threads)) for threads in (1, 2)]
    behind = [make_served_record(replace(make_served_cell("seed_cnn", ONNX), limits=r.cell.limits)) for r in inside]
    other = make_served_record(make_served_cell("seed_cnn", replace(ONNX, name="other")))

    rows = [Row(record=record, tolerance=None, has_sound_reference=True) for record in (*inside, *behind, other)]
    one, two = gather(rows)

    assert [row.in_process.record if row.in_process else None for row in one.rows] == [inside[0], None]
    assert [row.record for row in two.in_process] == [inside[1]]
    assert one.label == "seed_cnn (batch 1, 1 thread)"


def test_topologies_and_loads_are_told_in_few_words() -> None:
    def told(*options: tuple[str, Any]) -> str:
        return topology_text(make_served_cell(topology="queue", options=options))

    assert told() == "queue"
    assert told(("broker", "redis"), ("workers", 2)) == "queue (redis, 2 workers)"
    assert told(("compression", "none"), ("keep_alive", False), ("lazy", True)) == (
        "queue (compression none, no keep_alive, lazy)"
    )
    plans = (
        LoadPlan(kind="constant", load_ratio=0.5),
        LoadPlan(kind="burst", rate_per_s=100.0, burst_size=10),
        LoadPlan(kind="ramp", rate_per_s=10.0, end_rate_per_s=90.0),
        LoadPlan(kind="trace", trace_path="/srv/models/arrivals.npy"),
    )
    assert [load_text(plan) for plan in plans] == [
        "constant 50 % of the most", "burst 100/s, 10 at once", "ramp 10/s to 90/s", "trace arrivals.npy",
    ]  # fmt: skip


def test_numbers_are_as_exact_as_they_are_known() -> None:
    cost = Estimate(value=-0.123, interval=Interval(low=-0.173, high=-0.073, confidence=0.95))

    assert cost_text(cost) == "-0.12 ms ±0.05"
    assert cost_text(Estimate(value=0.4321)) == "+0.432 ms"
    assert (rate_text(50.126), rate_text(1234.5)) == ("50.1/s", "1234/s")


def test_a_most_that_the_client_could_not_exceed_is_at_least_so_much() -> None:
    record = served_record("seed_cnn", ONNX, Behind("simple"))
    assert record.served is not None
    assert record.served.saturation is not None
    limited = replace(record.served, saturation=replace(record.served.saturation, verdict="client-limited"))
    found = gathered([record, replace(record, served=limited)])

    assert [cells(found, row)["most"] for row in found.rows] == ["140/s", ">140/s"]
