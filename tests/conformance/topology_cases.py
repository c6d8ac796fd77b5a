"""What each topology needs for the conformance suite: options to try, and whether it serves the null model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class TopologyCase:
    """One way to use a topology. `not_here` says why nothing can be started for it in a test of the null model."""

    options: Mapping[str, Any]
    not_here: str = ""


#: name -> its cases; every topology of the table has at least one.
CASES: Mapping[str, tuple[TopologyCase, ...]] = {
    "direct": (TopologyCase(options={}, not_here="nothing is started in process"),),
    "external": (
        TopologyCase(
            options={"url": "http://127.0.0.1:9", "model": "m"}, not_here="the server is somebody else's: see its tests"
        ),
    ),
    "multiprocess": (
        TopologyCase(options={"workers": 2, "balance": "reuse_port"}),
        TopologyCase(options={"workers": 2, "balance": "shared_memory"}),
    ),
    "nginx": (
        TopologyCase(options={"servers": 2, "method": "round_robin"}),
        TopologyCase(options={"servers": 2, "method": "least_conn", "encoding": "npy"}),
    ),
    "queue": (
        TopologyCase(options={"broker": "rabbitmq", "workers": 2}),
        TopologyCase(options={"broker": "redis", "workers": 2}),
    ),
    "simple": (
        *(
            TopologyCase(options={"encoding": name})
            for name in ("binary", "npy", "json", "kserve", "kserve_binary", "tfs_row", "tfs_columns")
        ),
        TopologyCase(options={"max_batch": 4, "batch_delay_ms": 1.0}),
        TopologyCase(options={"compression": "gzip"}),
    ),
    "tf_serving": (TopologyCase(options={}, not_here="it serves SavedModels only: see its tests"),),
    "tfs_protocol": tuple(
        TopologyCase(options={"encoding": name}) for name in ("tfs_grpc", "tfs_row", "tfs_columns", "kserve_grpc")
    ),
    "triton": (TopologyCase(options={}, not_here="it serves ONNX files only: see its tests"),),
}
