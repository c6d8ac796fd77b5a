"""When each request is due and which payload it carries: pure arithmetic, known before the first byte is sent."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.core.errors import MatrixError

if TYPE_CHECKING:
    import numpy as np

    Ints = np.ndarray[Any, np.dtype[np.int64]]
    Floats = np.ndarray[Any, np.dtype[np.float64]]

ArrivalKind = Literal["poisson", "constant", "burst", "ramp", "trace"]

_NS = 1e9
_DRAWS = 1 << 14  # gaps drawn at a time where only the duration is known
_ALMOST = 1e-9  # so that 0.1 s at 30/s are 3 requests and not 4, for want of exact fractions


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrivals:
    """How requests arrive in an open loop, for `duration_s` or until `count` have; ValueError when that says nothing.

    poisson: independent gaps with mean 1 / `rate_per_s`, drawn with `seed`. constant: equal gaps. burst: `burst_size`
    at once, bursts so far apart that the mean rate is `rate_per_s`. ramp: from `rate_per_s` to `end_rate_per_s`,
    linearly in time and without chance. trace: the offsets in `trace_path`, seconds from the start in ascending order,
    one a line or an .npy file of one axis; `duration_s` and `count` may end it early.
    """

    kind: ArrivalKind
    rate_per_s: float = 0.0
    duration_s: float | None = None
    count: int | None = None
    seed: int = 0
    burst_size: int = 1
    end_rate_per_s: float = 0.0
    trace_path: str = ""

    def __post_init__(self) -> None:
        if self.kind == "trace":
            if not self.trace_path:
                raise ValueError("arrivals of kind trace need trace_path")
            return
        if (self.duration_s is None) == (self.count is None):
            raise ValueError(f"arrivals of kind {self.kind} end after duration_s or after count: give one of them")
        if self.burst_size < 1:
            raise ValueError("burst_size is at least 1")
        rates = (self.rate_per_s, self.end_rate_per_s) if self.kind == "ramp" else (self.rate_per_s,)
        if not (min(rates) >= 0 and 0 < max(rates) < math.inf):
            raise ValueError(f"arrivals of kind {self.kind} need a rate above 0 requests per second")


def offsets_ns(arrivals: Arrivals) -> Ints:
    """When each request is due, in ns from the start, ascending; equal arrivals give identical bytes.

    A longer plan of the same seed begins with the shorter one. MatrixError when a trace cannot be used.
    """
    import numpy as np

    seconds: Floats = {
        "poisson": _poisson, "constant": _constant, "burst": _burst, "ramp": _ramp, "trace": _trace,
    }[arrivals.kind](arrivals)  # fmt: skip
    if arrivals.duration_s is not None:
        seconds = seconds[seconds < arrivals.duration_s]
    if arrivals.count is not None:
        seconds = seconds[: arrivals.count]
    return np.rint(seconds * _NS).astype(np.int64)


def inputs_in_turn(count: int, inputs: int, seed: int) -> Ints:
    """The payload, 0 to `inputs` - 1, of each of `count` requests: every round carries each once, in a drawn order."""
    import numpy as np

    rounds = np.tile(np.arange(inputs, dtype=np.int64), (-(-count // inputs), 1))
    return np.random.default_rng(seed).permuted(rounds, axis=1).ravel()[:count]


def _wanted(arrivals: Arrivals, per_s: float) -> int:
    """How many requests there are at a mean rate, the one at the very start included."""
    if arrivals.count is not None:
        return arrivals.count
    return math.ceil((arrivals.duration_s or 0.0) * per_s - _ALMOST)


def _poisson(arrivals: Arrivals) -> Floats:
    """Sums of exponential gaps; the first request comes after the first gap."""
    import numpy as np

    rng = np.random.default_rng(arrivals.seed)
    if arrivals.count is not None:
        gaps = rng.standard_exponential(arrivals.count)
    else:
        drawn, total, wanted = [], 0.0, (arrivals.duration_s or 0.0) * arrivals.rate_per_s
        while total <= wanted:
            drawn.append(rng.standard_exponential(_DRAWS))
            total += float(drawn[-1].sum())
        gaps = np.concatenate(drawn)
    seconds: Floats = np.cumsum(gaps) / arrivals.rate_per_s
    return seconds


def _constant(arrivals: Arrivals) -> Floats:
    import numpy as np

    return np.arange(_wanted(arrivals, arrivals.rate_per_s), dtype=np.float64) / arrivals.rate_per_s


def _burst(arrivals: Arrivals) -> Floats:
    import numpy as np

    size = arrivals.burst_size
    bursts = math.ceil(_wanted(arrivals, arrivals.rate_per_s) / size)
    starts = np.arange(bursts, dtype=np.float64) * (size / arrivals.rate_per_s)
    return np.repeat(starts, size)


def _ramp(arrivals: Arrivals) -> Floats:
    """Request i is due when the integral of the rate reaches i: the root of a t^2 + r t = i, in its stable form."""
    import numpy as np

    first, last = arrivals.rate_per_s, arrivals.end_rate_per_s
    mean = (first + last) / 2
    count = _wanted(arrivals, mean)
    duration_s = arrivals.duration_s if arrivals.duration_s is not None else count / mean
    numbers = np.arange(1, count, dtype=np.float64)
    # The square is that of the rate at the time; rounding may take it below 0 at the end of a ramp down to 0.
    rates = np.sqrt(np.maximum(first * first + 2 * (last - first) / duration_s * numbers, 0.0))
    return np.concatenate([np.zeros(min(count, 1)), 2 * numbers / (first + rates)])


def _trace(arrivals: Arrivals) -> Floats:
    import numpy as np

    path = Path(arrivals.trace_path)
    seconds: Floats
    try:
        if path.suffix == ".npy":
            seconds = np.load(path, allow_pickle=False).astype(np.float64)
        else:
            seconds = np.array([float(line) for line in path.read_text().split()], dtype=np.float64)
    except (OSError, ValueError) as error:
        raise MatrixError(
            f"{path}: not a trace of arrivals: {error}", hint="one line a request, its time in seconds from the start"
        ) from error
    if seconds.ndim != 1 or not len(seconds) or not (np.isfinite(seconds).all() and seconds[0] >= 0):
        raise MatrixError(f"{path}: a trace is a list of times in seconds, none below 0", hint="see its first lines")
    if (np.diff(seconds) < 0).any():
        line = int(np.argmax(np.diff(seconds) < 0)) + 2
        raise MatrixError(f"{path}: request {line} comes before the one above it", hint="sort the trace by time")
    return seconds
