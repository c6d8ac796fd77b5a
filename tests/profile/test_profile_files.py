"""The trace that browsers open, the tables, and the index that reports link from."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from bench.core.profiling import ClockAnchor, LineTime, OpProfile, OpTime, Profile, TraceEvent
from bench.core.results import Outcome
from bench.profile.files import write_files

CELL = "m.v.direct.b1.t1.0123456789"


def event(name: str, category: Any, start_ns: int, duration_ns: int, track: str = "host") -> TraceEvent:
    return TraceEvent(name=name, category=category, start_ns=start_ns, duration_ns=duration_ns, track=track)


def runtime_profile() -> Profile:
    op = OpTime(name="n", kind="Conv", kernel="brgconv", dtype="float", ns_per_call=2000, calls_per_run=2)
    return Profile(
        profiler="onnxruntime",
        pid=77,
        ops=OpProfile(runtime="onnxruntime", runs=3, wall_ns_per_run=5000, ops=(op,), notes=("whole microseconds",)),
        events=(
            event("n", "op", 1_000_003_500, 1500, "worker 1"),
            event("call 0", "call", 1_000_002_000, 5000),
            event("open", "phase", 1_000_000_000, 1000),
        ),
        anchor=ClockAnchor(clock="its clock", offset_ns=12, residual_ns=3, method="by calls"),
        files=("onnxruntime.json",),
    )


def line(function: str, number: int, ns: int, phase: Any = "call") -> LineTime:
    return LineTime(file="a.py", line=number, function=function, hits=2, ns=ns, text=f"text {number}", phase=phase)


def python_profile() -> Profile:
    lines = (line("cold", 1, 10), line("hot", 7, 900), line("hot", 8, 100), line("opener", 3, 9999, "open"))
    return Profile(profiler="line_profiler", pid=78, lines=lines, events=(event("call 0", "call", 5, 1),))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    failure = Outcome(status="timeout", reason="took too long")
    write_files(tmp_path, CELL, [runtime_profile(), python_profile()], {"cprofile": failure})
    return tmp_path


def test_the_trace_is_one_that_browsers_open(written: Path) -> None:
    trace = json.loads((written / "trace.json").read_text())
    slices = [each for each in trace["traceEvents"] if each["ph"] == "X"]
    assert [(each["name"], each["ts"], each["dur"]) for each in slices] == [
        ("open", 0.0, 1.0),
        ("call 0", 2.0, 5.0),
        ("n", 3.5, 1.5),
    ]
    assert {each["pid"] for each in slices} == {77}
    names = {each["tid"]: each["args"]["name"] for each in trace["traceEvents"] if each["name"] == "thread_name"}
    assert [names[each["tid"]] for each in slices] == ["host", "host", "worker 1"]
    (process,) = [each for each in trace["traceEvents"] if each["name"] == "process_name"]
    assert process["args"]["name"] == f"{CELL} under onnxruntime"


def test_the_trace_says_how_the_clocks_were_made_one(written: Path) -> None:
    told = json.loads((written / "trace.json").read_text())["otherData"]
    assert (told["clock"], told["zero_ns"]) == ("CLOCK_MONOTONIC", 1_000_000_000)
    assert told["runtime_clock"] == {
        "clock": "its clock",
        "offset_ns": 12,
        "residual_ns": 3,
        "method": "by calls",
    }


def test_the_table_of_operators_holds_the_share_of_the_call(written: Path) -> None:
    with open(written / "ops.csv", newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["kernel"], row["ns_per_run"], row["wall_ratio"]) == ("brgconv", "4000", "0.8")
    assert json.loads((written / "ops.json").read_text())["ops"][0]["name"] == "n"


def test_hot_functions_come_before_cold_ones_and_calls_before_opening(written: Path) -> None:
    text = (written / "lines.txt").read_text()
    titles = [row.split()[0] for row in text.splitlines() if "a.py" in row]
    assert titles == ["hot", "cold", "opener"]
    assert "90.0%  text 7" in text


def test_the_index_names_every_file_and_what_failed(written: Path) -> None:
    index = json.loads((written / "index.json").read_text())
    assert index["cell_id"] == CELL
    listed = [each["path"] for each in index["files"]]
    assert listed == ["trace.json", "ops.json", "ops.csv", "lines.txt", "onnxruntime.json"]
    assert index["failures"]["cprofile"]["reason"] == "took too long"
    assert index["profilers"][0]["notes"] == ["whole microseconds"]


def test_a_cell_without_operators_still_has_its_hosts_trace(tmp_path: Path) -> None:
    names = write_files(tmp_path, CELL, [python_profile()], {})
    assert set(names) == {"trace.json", "lines.txt", "index.json"}
    trace = json.loads((tmp_path / "trace.json").read_text())
    assert trace["otherData"]["runtime_clock"] is None
