"""Counts and times for Prometheus, under the names that TensorFlow Serving exports (its util.cc and batching_util.cc).

Times are in microseconds, in its buckets: 10, 18, 32.4 ... each 1.8 times the one before.
"""

from __future__ import annotations

import bisect
import threading
import time
from collections.abc import Iterator, Sequence

_PREFIX = ":tensorflow:serving:"
_LATENCY_BUCKETS_US = tuple(10 * 1.8**power for power in range(33))
_BATCH_BUCKETS = tuple(2.0**power for power in range(13))

Labels = tuple[tuple[str, str], ...]


class _Histogram:
    def __init__(self, buckets: Sequence[float]) -> None:
        self.buckets = buckets
        self.counts = [0] * (len(buckets) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect.bisect_left(self.buckets, value)] += 1
        self.total += value


class Metrics:
    """What happened so far; nothing is kept unless `is_enabled`."""

    def __init__(self, *, is_enabled: bool) -> None:
        self._is_enabled = is_enabled
        self._lock = threading.Lock()
        self._counts: dict[Labels, int] = {}
        self._histograms: dict[tuple[str, Labels], _Histogram] = {}

    def observe_request(self, model: str, api: str, entrypoint: str, status: str, received_ns: int) -> None:
        """One request that has ended now."""
        if not self._is_enabled:
            return
        with self._lock:
            labels: Labels = (("model_name", model), ("status", status))
            self._counts[labels] = self._counts.get(labels, 0) + 1
            labels = (("model_name", model), ("API", api), ("entrypoint", entrypoint))
            self._histogram("request_latency", labels).add((time.perf_counter_ns() - received_ns) / 1e3)

    def observe_runtime(self, model: str, api: str, duration_ns: int) -> None:
        """One call of a model."""
        if self._is_enabled:
            with self._lock:
                labels = (("model_name", model), ("API", api))
                self._histogram("runtime_latency", labels).add(duration_ns / 1e3)

    def observe_batch(self, model: str, size: int) -> None:
        """One batch that was formed."""
        if self._is_enabled:
            with self._lock:
                name = "batching_session:processed_batch_size"
                self._histogram(name, (("model_name", model),), _BATCH_BUCKETS).add(size)

    def page(self) -> str:
        """All of it in Prometheus' text format."""
        with self._lock:
            return "".join(f"{line}\n" for line in self._lines())

    def _histogram(self, name: str, labels: Labels, buckets: Sequence[float] = _LATENCY_BUCKETS_US) -> _Histogram:
        found = self._histograms.get((name, labels))
        if found is None:
            found = self._histograms[name, labels] = _Histogram(buckets)
        return found

    def _lines(self) -> Iterator[str]:
        yield f"# TYPE {_PREFIX}request_count counter"
        for labels, count in sorted(self._counts.items()):
            yield f"{_PREFIX}request_count{_braced(labels)} {count}"
        for name in sorted({name for name, _ in self._histograms}):
            yield f"# TYPE {_PREFIX}{name} histogram"
            for (each, labels), histogram in sorted(self._histograms.items(), key=lambda item: item[0]):
                if each == name:
                    yield from _histogram_lines(f"{_PREFIX}{name}", labels, histogram)


def _histogram_lines(name: str, labels: Labels, histogram: _Histogram) -> Iterator[str]:
    below = 0
    for bound, count in zip((*map(str, histogram.buckets), "+Inf"), histogram.counts, strict=True):
        below += count
        yield f"{name}_bucket{_braced((*labels, ('le', bound)))} {below}"
    yield f"{name}_sum{_braced(labels)} {histogram.total}"
    yield f"{name}_count{_braced(labels)} {below}"


def _braced(labels: Labels) -> str:
    escaped = ((name, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")) for name, value in labels)
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped) + "}"
