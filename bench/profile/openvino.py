"""OpenVINO's counters: for each node of the compiled graph the kernel that was chosen and how long it takes.

OpenVINO says how long a node takes, not when, and says it as the mean over all calls since the model was compiled: the
mean of the watched calls follows from what two readings differ by. In the trace the nodes stand one after the other
from the beginning of each call, in the order of the graph.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import fmean
from typing import Any, NamedTuple

from bench.core.errors import TargetError
from bench.core.profiling import OpProfile, OpTime, Profile, Subject, TraceEvent

from .host import WARM_UP_CALLS, Span, watch
from .ops import disturbance

_TRACK = "openvino (mean durations, one after the other)"
_NOTES = (
    "a node's time is the mean of the watched calls, from counters of whole microseconds: right to about 2 us",
    "nodes that OpenVINO fused into others, or computed when it compiled the model, are not listed",
)


class _Node(NamedTuple):
    """One node as the counters name it."""

    name: str
    kind: str
    kernel: str


class OpenVino:
    """Looks into models compiled by OpenVINO for the CPU."""

    def profile(self, subject: Subject) -> Profile:
        """Nodes of the compiled graph with their kernels, such as brgconv_avx512_bf16."""
        requests: list[Any] = []
        warm_ns: dict[_Node, int] = {}
        all_ns: dict[_Node, int] = {}

        def read_warm(_: Callable[[], Any]) -> None:
            warm_ns.update(_mean_ns(requests, subject))

        def read_all() -> None:
            all_ns.update(_mean_ns(requests, subject))

        watched = watch(subject, opening=_counting(requests), warmed_up=read_warm, all_watched=read_all)
        runs = len(watched.calls)
        ns_per_call = {
            node: max(0.0, (mean_ns * (WARM_UP_CALLS + runs) - warm_ns[node] * WARM_UP_CALLS) / runs)
            for node, mean_ns in all_ns.items()
        }
        watched.session.close()
        wall_ns = fmean(span.duration_ns for span in watched.calls)
        ops = [
            OpTime(
                name=node.name,
                kind=node.kind,
                kernel=node.kernel,
                dtype=node.kernel.rpartition("_")[2],
                ns_per_call=ns,
                calls_per_run=1.0,
            )
            for node, ns in ns_per_call.items()
        ]
        return Profile(
            profiler="openvino",
            pid=os.getpid(),
            ops=OpProfile(
                runtime="openvino",
                runs=runs,
                wall_ns_per_run=wall_ns,
                ops=tuple(sorted(ops, key=lambda op: -op.ns_per_run)),
                notes=(*_NOTES, *disturbance(watched.calls, wall_ns, "all")),
            ),
            events=(*watched.events, *_drawn(ns_per_call, (*watched.calls, watched.followed))),
        )


@contextmanager
def _counting(requests: list[Any]) -> Iterator[None]:
    """Models compiled in the block count what they run, and every request made of them is noted."""
    import openvino

    plain = openvino.Core.compile_model

    def compile_model(core: Any, model: Any, device_name: Any = None, config: Any = None, **arguments: Any) -> Any:
        compiled = plain(core, model, device_name, {**(config or {}), "PERF_COUNT": True}, **arguments)
        make = compiled.create_infer_request

        def create_infer_request() -> Any:
            requests.append(make())
            return requests[-1]

        compiled.create_infer_request = create_infer_request
        return compiled

    openvino.Core.compile_model = compile_model
    try:
        yield
    finally:
        openvino.Core.compile_model = plain


def _mean_ns(requests: Sequence[Any], subject: Subject) -> dict[_Node, int]:
    """Executed nodes in the order of the graph, with their mean duration so far."""
    if len(requests) != 1:
        raise TargetError(f"{subject.artifact.path}: the adapter made {len(requests)} requests, one was expected")
    return {
        _Node(counter.node_name, counter.node_type, counter.exec_type): round(counter.real_time.total_seconds() * 1e9)
        for counter in requests[0].profiling_info
        if counter.status.name == "EXECUTED"
    }


def _drawn(ns_per_call: Mapping[_Node, float], calls: Sequence[Span]) -> Iterator[TraceEvent]:
    """The nodes inside each call; where a call was shorter than they are on average, they are drawn shorter."""
    total_ns = sum(ns_per_call.values())
    for span in calls:
        scale = min(1.0, span.duration_ns / total_ns) if total_ns else 0.0
        at_ns = float(span.start_ns)
        for node, ns in ns_per_call.items():
            yield TraceEvent(
                name=node.name,
                category="op",
                start_ns=int(at_ns),
                duration_ns=int(ns * scale),
                track=_TRACK,
                args=(("op", node.kind), ("kernel", node.kernel)),
            )
            at_ns += ns * scale


PROFILER = OpenVino()
