"""One line for each cell that is recorded."""

from __future__ import annotations

import io
from dataclasses import replace

from bench.cli.progress import Progress
from bench.core.record import Record
from bench.core.results import Estimate, Outcome
from tests.examples.records import make_record
from tests.examples.served import make_load_point, make_served, make_served_cell, make_served_record


def line(record: Record) -> str:
    stream = io.StringIO()
    Progress(stream).recorded(record)
    return stream.getvalue()


def test_a_cell_in_process_is_told_with_its_median() -> None:
    record = make_record(p50_ms=1.25)

    assert line(record) == f"  ok        {record.cell_id}  1.25 ms\n"


def test_a_served_cell_is_told_with_its_rate_and_percentiles() -> None:
    record = make_served_record(make_served_cell("seed_cnn", topology="simple", options=()))

    assert line(record) == f"  ok        {record.cell_id}  50/s  p50 7.1 ms  p99 12.1 ms\n"


def test_a_p99_without_evidence_is_no_number_and_a_high_rate_is_no_power_of_ten() -> None:
    point = replace(make_load_point(rate_per_s=1234.5), p99_ms=Estimate(value=None, reason="not established"))

    told = line(make_served_record(served=replace(make_served(), headline=point)))

    assert told.endswith("  1234/s  p50 7.1 ms  p99 not established\n")


def test_what_went_wrong_is_told_in_place_of_numbers() -> None:
    outcome = Outcome(status="invalid", reason="CLIENT-LIMITED: it sent late")

    assert line(make_served_record(outcome=outcome)).endswith("  CLIENT-LIMITED: it sent late\n")
