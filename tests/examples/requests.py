"""Requests as a load generator leaves them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.core.requests import Requests, write_requests
from bench.records import store_requests


def make_requests(requests: int = 20, *, rate_per_s: float = 50.0) -> Requests:
    """Answered requests at equal distances, 7 ms each, with stamps."""
    import numpy as np

    planned_ns = 1_000_000_000 + (np.arange(requests) * 1e9 / rate_per_s).astype(np.int64)
    sent_ns, done_ns = planned_ns + 2_000, planned_ns + 7_000_000
    between_ns = np.linspace(sent_ns + 100_000, done_ns - 100_000, 6, axis=1).astype(np.int64)
    return Requests(
        planned_ns=planned_ns,
        sent_ns=sent_ns,
        done_ns=done_ns,
        status=np.full(requests, 200),
        input=np.arange(requests) % 8,
        verdict=np.where(np.arange(requests) % 5 == 0, 1, -1),
        stamps=np.column_stack((np.full(requests, 4021), between_ns)),
    )


def store_example(run_dir: Path, cell_id: str) -> str:
    """Keep example requests for a cell; returns the path that its record names."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "requests.npz")
        write_requests(path, make_requests())
        return store_requests(run_dir, cell_id, path)
