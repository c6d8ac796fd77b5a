"""TensorFlow's profiler: every kernel that its executor or XLA runs, read from the XSpace that it writes."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.core.errors import TargetError
from bench.core.profiling import Profile, Subject

from .clock import anchor
from .host import Span, watch
from .ops import Executed, by_call, innermost, op_events, op_profile

_CALL = "deploybench call"
_FILE = "tensorflow.xplane.pb"
_HOST_PLANE = "/host:CPU"
#: `node:Kernel`, as the executor names its notes; `a::b` and `text: more` are of other layers.
_KERNEL_NOTE = re.compile(r"^(?P<node>[^: ]+):(?P<kernel>[A-Za-z_]\w*)$")
_FUNCTION = "__inference_"
_NUMBER = re.compile(r"\.\d+$")
_NOTES = (
    "the graph is the one TensorFlow executes after its own rewriting: names starting with _Mkl are oneDNN's kernels",
    "the profiler does not say element types",
)


class TensorFlow:
    """Looks into graph functions of TensorFlow, with XLA and without."""

    def profile(self, subject: Subject) -> Profile:
        """Kernels as executed; the XSpace file is kept for TensorBoard."""
        with tempfile.TemporaryDirectory(prefix="xplane-", dir=subject.out_dir) as log_dir:
            watched = watch(subject, calling=_profiling(log_dir), mark=_mark)
            watched.session.close()
            written = sorted(Path(log_dir).rglob("*.xplane.pb"))
            if not written:
                raise TargetError("TensorFlow's profiler wrote nothing", hint="is another profiler active?")
            shutil.move(written[-1], subject.out_dir / _FILE)
        noted = list(_noted(subject.out_dir / _FILE))
        runs = [each.span for each in noted if each.name == _CALL]
        found = anchor("TensorFlow's profiler", (*watched.calls, watched.followed), runs)
        executed = by_call(innermost(_executed(noted)), runs)
        return Profile(
            profiler="tensorflow",
            pid=os.getpid(),
            ops=op_profile("tensorflow", watched, executed, notes=_NOTES),
            events=(*watched.events, *(event for ops in executed for event in op_events(ops, found))),
            anchor=found,
            files=(_FILE,),
        )


@contextmanager
def _profiling(log_dir: str) -> Iterator[None]:
    import tensorflow as tf

    tf.profiler.experimental.start(log_dir)
    try:
        yield
    finally:
        tf.profiler.experimental.stop()


def _mark() -> AbstractContextManager[Any]:
    import tensorflow as tf

    trace: AbstractContextManager[Any] = tf.profiler.experimental.Trace(_CALL)
    return trace


@dataclass(frozen=True, kw_only=True, slots=True)
class _Noted:
    """One event of the XSpace; `hlo_op` is the instruction of XLA that ran, where one did."""

    name: str
    span: Span
    line: str
    hlo_op: str


def _noted(path: Path) -> Iterator[_Noted]:
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    space.ParseFromString(path.read_bytes())
    for plane in space.planes:
        if plane.name != _HOST_PLANE:
            continue
        for line in plane.lines:
            for event in line.events:
                start_ns = line.timestamp_ns + event.offset_ps // 1000
                yield _Noted(
                    name=plane.event_metadata[event.metadata_id].name,
                    span=Span(start_ns, start_ns + event.duration_ps // 1000),
                    line=line.display_name or line.name,
                    hlo_op=_hlo_op(plane, event),
                )


def _hlo_op(plane: Any, event: Any) -> str:
    for stat in event.stats:
        if plane.stat_metadata[stat.metadata_id].name == "hlo_op":
            return str(stat.str_value or plane.stat_metadata[stat.ref_value].name)
    return ""


def _executed(noted: Sequence[_Noted]) -> Iterator[Executed]:
    """Kernels and XLA's instructions; functions that only call them are left out."""
    for each in noted:
        track = f"tensorflow {each.line}"
        kernel = _KERNEL_NOTE.match(each.name)
        if each.hlo_op:
            kind = _NUMBER.sub("", each.hlo_op)
            yield Executed(name=each.hlo_op, kind=kind, span=each.span, track=track, kernel="XLA")
        elif kernel is not None and not kernel["kernel"].startswith(_FUNCTION):
            kind = kernel["kernel"].removeprefix("_MklNative").removeprefix("_Mkl")
            yield Executed(name=kernel["node"], kind=kind, span=each.span, track=track, kernel=kernel["kernel"])


PROFILER = TensorFlow()
