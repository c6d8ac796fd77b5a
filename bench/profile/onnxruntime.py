"""ONNX Runtime's own profiling: one event for every node that its executor runs, after all graph rewriting."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.core.errors import TargetError
from bench.core.profiling import Profile, Subject

from .clock import anchor
from .host import WARM_UP_CALLS, Span, watch
from .ops import Executed, by_call, innermost, op_events, op_profile

_RUN = "model_run"
_NODE_SUFFIX = "_kernel_time"
_BLOCKED_SUFFIX = "_nchwc"
_FILE = "onnxruntime.json"
#: Nodes that hold graphs, whose nodes are noted as well.
_HOLDERS = frozenset({"If", "Loop", "Scan", "SequenceMap", "BeamSearch", "GreedySearch", "Sampling"})
_NBITS = "MatMulNBits"
_INT8_LEVEL = 4  # of its attribute accuracy_level: products may be computed on 8-bit integers
_NOTES = (
    "kernel is the execution provider, and NCHWc where it computes in its own blocked layout",
    "times are whole microseconds",
    "of loops and branches the nodes inside are listed, not the loop itself",
)


class OnnxRuntime:
    """Looks into sessions of ONNX Runtime."""

    def profile(self, subject: Subject) -> Profile:
        """Nodes as executed, with the execution provider of each; ONNX Runtime's own file is kept."""
        made: list[Any] = []
        watched = watch(subject, opening=_profiling_sessions(subject.out_dir, made))
        if len(made) != 1:
            raise TargetError(f"{subject.artifact.path}: the adapter made {len(made)} sessions, one was expected")
        noted = Path(made[0].end_profiling())
        watched.session.close()
        os.replace(noted, subject.out_dir / _FILE)
        events = json.loads((subject.out_dir / _FILE).read_bytes())
        runs = [_span(event) for event in events if event["name"] == _RUN][WARM_UP_CALLS:]
        found = anchor("ONNX Runtime's profiler", (*watched.calls, watched.followed), runs)
        nodes = (_executed(event) for event in events if event["cat"] == "Node")
        executed = by_call(_with_precision(innermost(nodes, _HOLDERS), subject.artifact.path), runs)
        return Profile(
            profiler="onnxruntime",
            pid=os.getpid(),
            ops=op_profile("onnxruntime", watched, executed, notes=_NOTES),
            events=(*watched.events, *(event for ops in executed for event in op_events(ops, found))),
            anchor=found,
            files=(_FILE,),
        )


@contextmanager
def _profiling_sessions(directory: Path, made: list[Any]) -> Iterator[None]:
    """Sessions made in the block note what they run: the switch must be set before a session is made."""
    import onnxruntime

    plain = onnxruntime.InferenceSession

    def make(path: Any, sess_options: Any = None, **arguments: Any) -> Any:
        settings = sess_options or onnxruntime.SessionOptions()
        settings.enable_profiling = True
        settings.profile_file_prefix = str(directory / "onnxruntime")
        made.append(plain(path, settings, **arguments))
        return made[-1]

    onnxruntime.InferenceSession = make
    try:
        yield
    finally:
        onnxruntime.InferenceSession = plain


def _with_precision(nodes: Iterator[Executed], path: str) -> list[Executed]:
    """Nodes with weights of few bits bear what their products are computed in: their attribute tells, no event does."""
    listed = list(nodes)
    levels = _accuracy_levels(path) if any(op.kind == _NBITS for op in listed) else {}
    return [
        replace(op, kernel=f"{op.kernel}, {'int8' if levels[op.name] == _INT8_LEVEL else 'float32'}")
        if op.kind == _NBITS and op.name in levels
        else op
        for op in listed
    ]


def _accuracy_levels(path: str) -> dict[str, int]:
    """The attribute of each such node of the file; none where it cannot be read without a package that is missing."""
    try:
        import onnx
    except ImportError:
        return {}
    graph = onnx.load(path, load_external_data=False).graph
    return {
        node.name: next((attribute.i for attribute in node.attribute if attribute.name == "accuracy_level"), 0)
        for node in graph.node
        if node.op_type == _NBITS
    }


def _span(event: Mapping[str, Any]) -> Span:
    return Span(event["ts"] * 1000, (event["ts"] + event["dur"]) * 1000)


def _executed(event: Mapping[str, Any]) -> Executed:
    name, args = event["name"].removesuffix(_NODE_SUFFIX), event["args"]
    blocked = ", NCHWc" if name.endswith(_BLOCKED_SUFFIX) else ""
    return Executed(
        name=name,
        kind=args["op_name"],
        span=_span(event),
        track=f"onnxruntime thread {event['tid']}",
        kernel=f"{args['provider'].removesuffix('ExecutionProvider')}{blocked}",
        dtype=_dtype(args.get("input_type_shape", ())),
    )


def _dtype(inputs: Sequence[Mapping[str, Any]]) -> str:
    """The element type of the first input: that of what flows through the node."""
    return next((dtype for each in inputs for dtype in each), "")


PROFILER = OnnxRuntime()
