"""Latency by percentile from the raw samples of a cell, as far up as its calls are evidence for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.core.results import SamplesRef
from bench.measure.statistics import tail_percentile
from bench.measure.warm_up import steady_rounds
from bench.records import read_samples

_POINTS = 60
#: Where a curve may end.
_ENDS_PERCENT = (75.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.8, 99.9, 99.95, 99.99)


@dataclass(frozen=True, kw_only=True, slots=True)
class TailCurve:
    """`latencies_ms` at `nines` = -log10(1 - quantile): 0 is the minimum, 1 the 90th percentile, 2 the 99th."""

    nines: tuple[float, ...]
    latencies_ms: tuple[float, ...]
    end_percent: float
    calls: int


def tail_curve(run_dir: Path, samples: SamplesRef) -> TailCurve:
    """The curve over the steady calls of all rounds, up to the last percentile that has an interval.

    StoreError: the samples are missing or are not those of the record. ValueError: there is no steady call.
    """
    _, rounds = steady_rounds(read_samples(run_dir, samples))
    calls_ns = [[np.asarray(block.steady_ns, dtype=np.float64) for block in blocks] for blocks in rounds]
    if not calls_ns:
        raise ValueError(f"{samples.path}: no steady call")
    end_percent = 50.0
    for percent in _ENDS_PERCENT:
        if tail_percentile(calls_ns, percent).value is None:
            break
        end_percent = percent
    nines = np.linspace(0, -np.log10(1 - end_percent / 100), _POINTS)
    pooled_ns = np.concatenate([block for blocks in calls_ns for block in blocks])
    latencies_ns = np.quantile(pooled_ns, 1 - 10**-nines)
    return TailCurve(
        nines=tuple(round(float(value), 4) for value in nines),
        latencies_ms=tuple(float(f"{value / 1e6:.5g}") for value in latencies_ns),
        end_percent=end_percent,
        calls=len(pooled_ns),
    )
