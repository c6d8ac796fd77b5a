"""OpenVINO's counters are means since the model was compiled: what the watched calls took follows from two readings."""

from __future__ import annotations

import sys
import types
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from bench.core.artifact import Artifact
from bench.core.cell import Cell, ModelRef, Variant
from bench.core.contracts import Session
from bench.core.profiling import Profile, Subject
from bench.profile.host import WARM_UP_CALLS
from bench.profile.openvino import PROFILER

_WARM_US, _WATCHED_US, _FOLLOWED_US = 50, 10, 900
_RUNS = 4


class Request:
    """A request whose one node takes longer while it is warmed up, and longest while Python is followed."""

    def __init__(self) -> None:
        self._taken_us: list[int] = []

    def infer(self) -> None:
        warming = len(self._taken_us) < WARM_UP_CALLS
        self._taken_us.append(_FOLLOWED_US if sys.getprofile() else _WARM_US if warming else _WATCHED_US)

    @property
    def profiling_info(self) -> list[Any]:
        mean = timedelta(microseconds=sum(self._taken_us) / len(self._taken_us))
        executed = types.SimpleNamespace(name="EXECUTED")
        return [
            types.SimpleNamespace(
                node_name="n", node_type="MatMul", exec_type="gemm_f32", real_time=mean, status=executed
            )
        ]


class Core:
    def compile_model(self, *_: Any, **__: Any) -> Any:
        return types.SimpleNamespace(create_infer_request=Request)


def opened() -> Session:
    request = sys.modules["openvino"].Core().compile_model("net.xml", "CPU", {}).create_infer_request()
    return cast("Session", types.SimpleNamespace(bind=lambda _: partial(request.infer), close=lambda: None))


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    library = types.ModuleType("openvino")
    library.__dict__["Core"] = Core
    monkeypatch.setitem(sys.modules, "openvino", library)
    subject = Subject(
        cell=Cell(
            model=ModelRef(name="m", kind="path", location="net.xml", format="openvino_ir"),
            variant=Variant(name="v", source="openvino_ir", adapter="openvino"),
        ),
        artifact=Artifact(id="0", format="openvino_ir", path="net.xml", size_bytes=1, inputs=(), outputs=()),
        batch={},
        runs=_RUNS,
        out_dir=tmp_path,
        adapter_module="bench.adapters.openvino",
        open=opened,
    )
    return PROFILER.profile(subject)


def test_neither_the_warm_up_nor_the_followed_call_counts_in_the_time_of_a_node(profile: Profile) -> None:
    assert profile.ops is not None
    (op,) = profile.ops.ops
    assert op.ns_per_call == pytest.approx(_WATCHED_US * 1000, abs=2000)  # counters are of whole microseconds


def test_the_followed_call_counts_in_no_wall_time(profile: Profile) -> None:
    assert profile.ops is not None
    watched = [event for event in profile.events if event.category == "call"][:_RUNS]
    assert profile.ops.wall_ns_per_run == pytest.approx(sum(event.duration_ns for event in watched) / _RUNS)
