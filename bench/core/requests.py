"""Every request of a load, as columns: when it was due, sent and answered, how it ended, and what the server told."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Ints = np.ndarray[Any, np.dtype[np.int64]]

#: Endings that no server answered with; others are HTTP's status, or 1000 + gRPC's.
TIMED_OUT = -1  # sent, and not answered before the load's time-out
DISCONNECTED = -2  # refused, reset, or closed before the answer was whole
MALFORMED = -3  # what came back is not the protocol
UNSENT = -4  # never sent: the load ended, or no connection could be had
OK_HTTP = 200
OK_GRPC = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Requests:
    """One entry per planned request, in the order in which they were due; all columns are int64 of equal length.

    Times are ns of CLOCK_MONOTONIC (`time.perf_counter_ns`). `sent_ns` is 0 where it was never sent, `done_ns` is when
    it ended, however it did. `input` is the payload's number. `verdict`: 1 the sampled answer is right, 0 it is wrong,
    -1 not sampled. `stamps` has the seven columns of `bench.core.serving.Stamps`, zeros where none came.
    In a closed loop `planned_ns` equals `sent_ns`, for nothing was planned.
    """

    planned_ns: Ints
    sent_ns: Ints
    done_ns: Ints
    status: Ints
    input: Ints
    verdict: Ints
    stamps: Ints  # [requests, 7]


def write_requests(path: Path, requests: Requests) -> None:
    """Store the columns as one compressed .npz file."""
    import numpy as np

    with open(path, "wb") as stream:
        np.savez_compressed(stream, **{field.name: getattr(requests, field.name) for field in fields(Requests)})


def read_requests(path: Path) -> Requests:
    """What `write_requests` stored; ValueError when the columns do not fit together."""
    import numpy as np

    with np.load(path, allow_pickle=False) as stored:
        columns = {field.name: stored[field.name].astype(np.int64) for field in fields(Requests)}
    count = len(columns["planned_ns"])
    if any(len(column) != count for column in columns.values()) or columns["stamps"].shape != (count, 7):
        raise ValueError(f"{path}: its columns do not fit together")
    return Requests(**columns)
