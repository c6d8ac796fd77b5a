"""Rules that call two programs different or not, all judging the same recorded sessions, and how often they are right.

The rules of other tools are written down here from their published sources: Student's test of pyperf 2.10
(`pyperf compare_to`), and of asv 0.6 the test and the factor of `asv continuous`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.core.block import Block
from bench.core.cell import Measurement
from bench.measure.comparison import compare
from bench.measure.schedule import looks

Values = NDArray[np.float64]

SLOWDOWN = 1.05
MEASUREMENT = Measurement(warm_up_min_s=0.2)
#: What the tools that measure in a row take per process: values of so long, the first of pyperf's being its warm-up.
PYPERF_VALUE_NS, PYPERF_VALUES = 100e6, 4
ASV_SAMPLE_NS, ASV_SAMPLES = 10e6, 5

_EXACT_UP_TO = 20  # as asv does


@dataclass(frozen=True, kw_only=True)
class Session:
    """Three fresh workers that lived at the same time: what each yielded in turns, and in a row (ns per call)."""

    interleaved: dict[str, tuple[Block, ...]]
    in_a_row: dict[str, Values]

    def swapped(self) -> Session:
        """With the equal sides exchanged."""
        names = {"a": "b", "b": "a"}
        return Session(
            interleaved={names.get(side, side): blocks for side, blocks in self.interleaved.items()},
            in_a_row={names.get(side, side): calls for side, calls in self.in_a_row.items()},
        )

    def with_scaled(self) -> Session:
        """With a side `scaled`: `b` as if each call had taken 5 % longer."""
        blocks = tuple(
            replace(block, latencies_ns=tuple(round(value * SLOWDOWN) for value in block.latencies_ns))
            for block in self.interleaved["b"]
        )
        return Session(
            interleaved={**self.interleaved, "scaled": blocks},
            in_a_row={**self.in_a_row, "scaled": self.in_a_row["b"] * SLOWDOWN},
        )


Says = Callable[[Sequence[Session], str], int]
"""Sessions, and the side to compare with `a` -> 1 slower, -1 faster, 0 no difference claimed."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A way to compare that takes `sessions` at a time; `in_order` when it depends on which session came first."""

    name: str
    sessions: int
    says: Says
    in_order: bool = True


def our_rule(sessions: Sequence[Session], side: str) -> int:
    """`bench.measure.comparison.compare` at 5 pairs, and while it is undecided at 10 and 20 where so many are given."""
    planned = looks(MEASUREMENT)
    for look, pairs in enumerate(planned, start=1):
        if pairs <= len(sessions):
            found = compare(
                _renumbered(sessions[:pairs], "a"),
                _renumbered(sessions[:pairs], side),
                reference_id="a",
                measurement=MEASUREMENT,
                look=look,
                looks_total=len(planned),
            )
            if found.verdict != "inconclusive":
                return {"slower": 1, "faster": -1}.get(found.direction, 0)
    return 0


def _renumbered(sessions: Sequence[Session], side: str) -> list[list[Block]]:
    """Rounds as `compare` pairs them: numbered by their place, for a draw may hold any sessions."""
    return [
        [replace(block, round=place) for block in session.interleaved[side]] for place, session in enumerate(sessions)
    ]


def rank_test(calls_a: Values, calls_b: Values, *, alpha: float) -> int:
    """Mann-Whitney's two-sided test on calls as if they were independent."""
    from scipy import stats

    method: Literal["exact", "asymptotic"] = (
        "exact" if max(len(calls_a), len(calls_b)) <= _EXACT_UP_TO else "asymptotic"
    )
    found = stats.mannwhitneyu(calls_a, calls_b, method=method)
    if found.pvalue >= alpha:
        return 0
    return 1 if found.statistic < len(calls_a) * len(calls_b) / 2 else -1  # the pairs in which a's call was the longer


def pooled_in_a_row(sessions: Sequence[Session], side: str) -> int:
    """All calls of A, then all calls of B, one process each."""
    return rank_test(sessions[0].in_a_row["a"], sessions[0].in_a_row[side], alpha=0.05)


def pooled_interleaved(sessions: Sequence[Session], side: str) -> int:
    """The same test on blocks in turns."""
    calls = [
        np.concatenate([np.asarray(block.steady_ns, dtype=np.float64) for block in sessions[0].interleaved[name]])
        for name in ("a", side)
    ]
    return rank_test(calls[0], calls[1], alpha=0.05)


def pyperf_rule(sessions: Sequence[Session], side: str) -> int:
    """Student's t test with pooled variance, 95 %, on all values of all processes: `pyperf compare_to`."""
    half = len(sessions) // 2
    values_a = np.concatenate([pyperf_values(session.in_a_row["a"]) for session in sessions[:half]])
    values_b = np.concatenate([pyperf_values(session.in_a_row[side]) for session in sessions[half:]])
    return student_test(values_a, values_b)


def student_test(values_a: Values, values_b: Values) -> int:
    """Two samples of equal size, two-sided at 5 %."""
    from scipy import stats

    found = stats.ttest_ind(values_b, values_a)
    return int(np.sign(found.statistic)) if found.pvalue <= 0.05 else 0


def pyperf_values(calls_ns: Values) -> Values:
    """Means of stretches of 100 ms, without the first, which warms up."""
    return means_of(calls_ns, PYPERF_VALUE_NS, PYPERF_VALUES)[1:]


def asv_rule(sessions: Sequence[Session], side: str) -> int:
    """`asv continuous`: the medians differ by a factor of 1.1, and Mann-Whitney's p is below 0.002."""
    half = len(sessions) // 2
    samples_a = np.concatenate([means_of(s.in_a_row["a"], ASV_SAMPLE_NS, ASV_SAMPLES) for s in sessions[:half]])
    samples_b = np.concatenate([means_of(s.in_a_row[side], ASV_SAMPLE_NS, ASV_SAMPLES) for s in sessions[half:]])
    return asv_test(samples_a, samples_b)


def asv_test(samples_a: Values, samples_b: Values, *, factor: float = 1.1) -> int:
    """Samples are means of stretches of 10 ms, 5 in each of 2 processes."""
    ratio = float(np.median(samples_b) / np.median(samples_a))
    if 1 / factor <= ratio <= factor:
        return 0
    return rank_test(samples_a, samples_b, alpha=0.002)


def means_of(calls_ns: Values, stretch_ns: float, stretches: int) -> Values:
    """Mean time of a call in each of the first `stretches` runs of equally many calls that last about `stretch_ns`;
    where the calls do not reach so far, of equal parts of them all."""
    calls = math.ceil(stretch_ns / float(np.median(calls_ns)))
    calls = max(1, min(calls, len(calls_ns) // stretches))
    return np.asarray(calls_ns[: calls * stretches].reshape(stretches, calls).mean(axis=1))


RULES = (
    Rule(name="ours, 5 pairs", sessions=5, says=our_rule, in_order=False),
    Rule(name="ours, 10 and 20 pairs while undecided", sessions=20, says=our_rule, in_order=False),
    Rule(name="Mann-Whitney p<.05, calls in a row", sessions=1, says=pooled_in_a_row),
    Rule(name="Mann-Whitney p<.05, calls interleaved", sessions=1, says=pooled_interleaved),
    Rule(name="pyperf, 5 processes a side", sessions=10, says=pyperf_rule),
    Rule(name="pyperf, 20 processes a side", sessions=40, says=pyperf_rule),
    Rule(name="asv, 2 processes a side", sessions=4, says=asv_rule),
)


@dataclass(frozen=True, kw_only=True)
class Share:
    """So many of so many, with the exact binomial interval of 95 %; none of none where nothing could be counted."""

    hits: int
    total: int

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper and Pearson's; anything is possible where nothing was counted."""
        from scipy import stats

        if not self.total:
            return 0.0, 1.0
        found = stats.binomtest(self.hits, self.total).proportion_ci(0.95, method="exact")
        return float(found.low), float(found.high)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"hits": self.hits, "total": self.total, "interval": self.interval}


def disjoint(rule: Rule, sessions: Sequence[Session], side: str) -> Share:
    """The rule on groups of consecutive sessions that share none: independent answers."""
    starts = range(0, len(sessions) - rule.sessions + 1, rule.sessions)
    return _count([rule.says(sessions[start : start + rule.sessions], side) for start in starts], side)


def overlapping(rule: Rule, sessions: Sequence[Session], side: str, *, draws: int, seed: int) -> Share:
    """The rule on every run of consecutive sessions, or on random draws where their order does not matter."""
    if rule.in_order:
        starts = range(len(sessions) - rule.sessions + 1)
        groups = [list(sessions[start : start + rule.sessions]) for start in starts]
    elif len(sessions) >= rule.sessions:
        rng = random.Random(seed)
        groups = [rng.sample(sessions, rule.sessions) for _ in range(draws)]
        if side == "b":
            groups = [[rng.choice((session, session.swapped())) for session in group] for group in groups]
    else:
        groups = []
    return _count([rule.says(group, side) for group in groups], side)


def _count(answers: Sequence[int], side: str) -> Share:
    """Equal sides: any claim is a false alarm. Slower sides: only "slower" is right."""
    return Share(hits=sum(answer != 0 if side == "b" else answer == 1 for answer in answers), total=len(answers))
