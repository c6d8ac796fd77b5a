"""The events of one pass as a Chrome trace: one JSON file that Perfetto and chrome://tracing open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from bench.core.profiling import Profile, TraceEvent

#: The host's row is shown above those of the runtime.
_HOST = "host"


def shown(profiles: Sequence[Profile]) -> Profile | None:
    """The pass whose events are worth a trace: one with operators, else the one that noted most of the host."""
    with_events = [profile for profile in profiles if profile.events]
    return max(with_events, key=lambda each: (each.ops is not None, len(each.events)), default=None)


def chrome_trace(profile: Profile, cell_id: str) -> dict[str, Any]:
    """The trace as JSON values: `ts` and `dur` in us of CLOCK_MONOTONIC since its first event.

    All rows lie on that one clock; `otherData` says how the runtime's was mapped to it, and how well.
    """
    zero_ns = min(event.start_ns for event in profile.events)
    tracks = sorted({event.track for event in profile.events}, key=lambda track: (track != _HOST, track))
    threads = {track: number for number, track in enumerate(tracks, start=1)}
    return {
        "displayTimeUnit": "ns",
        "otherData": {
            "cell": cell_id,
            "profiler": profile.profiler,
            "clock": "CLOCK_MONOTONIC",
            "zero_ns": zero_ns,
            "runtime_clock": None if profile.anchor is None else asdict(profile.anchor),
            "notes": list(_notes(profile)),
        },
        "traceEvents": [
            *_names(profile, cell_id, threads.items()),
            *(
                _event(event, profile.pid, threads[event.track], zero_ns)
                for event in sorted(profile.events, key=lambda event: (event.start_ns, -event.duration_ns))
            ),
        ],
    }


def _notes(profile: Profile) -> Iterator[str]:
    yield from profile.notes
    if profile.ops is not None:
        yield from profile.ops.notes


def _names(profile: Profile, cell_id: str, threads: Iterable[tuple[str, int]]) -> Iterator[dict[str, Any]]:
    yield _meta("process_name", profile.pid, 0, {"name": f"{cell_id} under {profile.profiler}"})
    for track, number in threads:
        yield _meta("thread_name", profile.pid, number, {"name": track})
        yield _meta("thread_sort_index", profile.pid, number, {"sort_index": number})


def _meta(name: str, pid: int, tid: int, args: dict[str, Any]) -> dict[str, Any]:
    return {"ph": "M", "name": name, "pid": pid, "tid": tid, "args": args}


def _event(event: TraceEvent, pid: int, tid: int, zero_ns: int) -> dict[str, Any]:
    return {
        "ph": "X",
        "name": event.name,
        "cat": event.category,
        "ts": (event.start_ns - zero_ns) / 1000,
        "dur": event.duration_ns / 1000,
        "pid": pid,
        "tid": tid,
        "args": dict(event.args),
    }
